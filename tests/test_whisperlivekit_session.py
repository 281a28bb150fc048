"""`wlk-alignheads` and its version check, without WhisperLiveKit; with it: the file `…_server`."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from alignheads import InputError
from alignheads.runtime.whisperlivekit import server as whisperlivekit
from alignheads.runtime.whisperlivekit.cli import main

OURS = metadata.version("alignheads")


@pytest.fixture
def installed(monkeypatch):
    """Have any version of WhisperLiveKit installed, or (None) no one."""
    real = metadata.version

    def install(version):
        def found(name):
            if name != "whisperlivekit":
                return real(name)
            if version is None:
                raise metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(metadata, "version", found)

    return install


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["wlk-alignheads", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return (stop.value.code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("version", ["0.2.26", "0.2.26.post1"])
def test_versions_that_were_tried(installed, version):
    installed(version)
    assert whisperlivekit.check_version() == version


@pytest.mark.parametrize(
    "version", ["0.2.25", "0.1.9", "0.2.27", "0.3.0", "1.0.0", "0.2.26rc1", "0.2.26.dev3", "odd"]
)
def test_other_versions_are_refused_and_both_are_named(installed, version):
    installed(version)
    with pytest.raises(InputError) as refused:
        whisperlivekit.register()
    told = str(refused.value)
    assert f"WhisperLiveKit {version} is installed" in told
    assert f"alignheads {OURS} works with 0.2.26 and later, before 0.2.27" in told
    assert told.endswith("pip install 'whisperlivekit>=0.2.26,<0.2.27'")


def test_the_extra_asks_for_the_versions_that_were_tried(installed):
    installed("0.1")
    with pytest.raises(InputError) as refused:
        whisperlivekit.check_version()
    requirements = [r.split(";")[0].strip() for r in metadata.requires("alignheads") or []]
    (wanted,) = (r for r in requirements if r.startswith("whisperlivekit"))
    told = str(refused.value).split("'")[1]
    assert told.startswith("whisperlivekit")
    assert sorted(told[14:].split(",")) == sorted(wanted[14:].split(","))


def test_a_missing_server_is_one_line_with_the_command_to_install_it(installed, command):
    installed(None)
    code, out, error = command("--pcm-input")
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert error.startswith("wlk-alignheads: WhisperLiveKit is not installed; ")
    assert f"alignheads {OURS} works with 0.2.26" in error
    assert "pip install '.[whisperlivekit]'" in error


def test_a_server_without_what_it_needs_is_one_line(installed, command, monkeypatch):
    installed("0.2.26")
    monkeypatch.setattr(whisperlivekit, "_is_registered", False)
    monkeypatch.setitem(sys.modules, "whisperlivekit", None)  # its import fails
    code, out, error = command()
    assert (code, out) == (2, "")
    assert error.count("\n") == 1
    assert "WhisperLiveKit 0.2.26 cannot be imported" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--border-s", "wide"], "wide"), (["--port"], "--port"), (["--step-s", ""], "--step-s")],
)
def test_wrong_values_are_told_before_anything_is_loaded(command, arguments, message):
    code, out, error = command(*arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_what_the_command_passes_on(command, monkeypatch):
    passed = []
    monkeypatch.setattr(whisperlivekit, "serve", passed.extend)
    code, _, _ = command(
        "--model", "0.6b", "--lan", "en", "-l", "INFO", "--border-s", ".3", "--diarization",
        "--decoder-config", "a b.json", "--pcm-input",
    )  # fmt: skip
    assert code == 0
    assert passed == [
        "--model=0.6b", "--decoder-config=a b.json", "--border-s=0.3", "--pcm-input",
        "--lan", "en", "-l", "INFO", "--diarization",
    ]  # fmt: skip


def test_the_package_s_own_module_does_not_import_the_server():
    code = (
        "import alignheads.runtime.whisperlivekit, sys;"
        "assert 'whisperlivekit' not in sys.modules and 'mlx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(sys.prefix))


def test_a_context_goes_to_the_server(command, monkeypatch):
    given = []
    monkeypatch.setattr(whisperlivekit, "serve", given.append)
    assert command("--context", "Anna Schmidt, @home", "--vac-chunk-size", "1")[0] == 0
    assert given == [["--context=Anna Schmidt, @home", "--vac-chunk-size", "1"]]
