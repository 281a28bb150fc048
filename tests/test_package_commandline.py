"""What commands share: the umbrella command, errors as options, and the log."""

import ast
import logging
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import alignheads
from alignheads.__main__ import COMMANDS
from alignheads.commandline import say, show_log, with_options
from alignheads.errors import InputError

ROOT = Path(alignheads.__file__).parent
ROOMS = ("heads", "corpora", "runtime", "discovery", "evaluate", "calibrate", "reports")
COMMAND_FILES = {"cli.py", "environment_cli.py", "__main__.py", "options.py", "commandline.py"}
LIBRARY = sorted(
    path
    for path in (*ROOT.glob("*.py"), *(p for room in ROOMS for p in (ROOT / room).rglob("*.py")))
    # whisperlivekit/server.py is part of a command: it hands options on to another server.
    if path.name not in COMMAND_FILES and path != ROOT / "runtime" / "whisperlivekit" / "server.py"
)
OWN_NAMES = {own_name for _, own_name, _ in COMMANDS.values()}


def alignheads_command(*arguments):
    """Runs `python -m alignheads` with a width that does not depend on the terminal."""
    return subprocess.run(
        [sys.executable, "-m", "alignheads", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "100"},
    )


# Errors


@pytest.mark.parametrize(
    ("message", "arguments", "options", "shown"),
    [
        ("trials is 0, expected 1", ("trials",), {}, "--trials is 0, expected 1"),
        ("max_heads is 0", ("max_heads",), {}, "--max-heads is 0"),
        ("x.json exists; use force=True", ("force",), {}, "x.json exists; use --force"),
        ("out is a folder", ("out",), {"out": "--json"}, "--json is a folder"),
        ("out is 'out'", ("out",), {}, "--out is 'out'"),
        ("cannot write out/out.json: out", ("out",), {}, "cannot write out/out.json: --out"),
        ("the trials are over", (), {}, "the trials are over"),
        ("max_trials is 0", ("trials",), {}, "max_trials is 0"),
    ],
)
def test_arguments_are_shown_as_options(message, arguments, options, shown):
    error = InputError(message, arguments=arguments)
    assert str(error) == message
    assert with_options(error, options) == shown


def option_texts(path):
    """Each string literal of a module that holds an option, with its line; not docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts_of_f_strings = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = (v.value if isinstance(v, ast.Constant) else "VALUE" for v in node.values)
            yield node.lineno, "".join(str(value) for value in values)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings | parts_of_f_strings
        ):
            yield node.lineno, node.value


def stray_options(text):
    """Options in a text that stand in no command line: `NAME --a VALUE --b` is one."""
    line = ""
    words = re.split(r"\s+", text)
    for before, word in zip(["", *words], words, strict=False):
        if before.strip("(`'\"") in OWN_NAMES:
            line = before
        elif re.search(r"[.;:,)]$", before) or before in ("and", "or"):
            line = ""
        if re.match(r"[(`'\"]?--[a-z]", word) and not line:
            yield word


def test_stray_options_are_found():
    assert list(stray_options("give --force to overwrite")) == ["--force"]
    assert not list(stray_options("make one with: calibrate --model X --out FILE"))
    assert list(stray_options("run calibrate --model X, or --force it")) == ["--force"]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_messages_of_the_library_name_no_options(path):
    stray = [
        (line, word)
        for line, text in option_texts(path)
        if " " in text
        for word in stray_options(text)
    ]
    assert stray == []


def messages_with_arguments(path):
    """(line, message, arguments) of each InputError whose message stands in the call itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError"):
            continue
        names = [
            part.value
            for keyword in node.keywords
            if keyword.arg == "arguments"
            for part in ast.walk(keyword.value)
            if isinstance(part, ast.Constant)
        ]
        message = node.args[0]
        if names and isinstance(message, ast.Constant):
            yield node.lineno, message.value, names
        elif names and isinstance(message, ast.JoinedStr):
            parts = (
                part.value if isinstance(part, ast.Constant) else "…" for part in message.values
            )
            yield node.lineno, "".join(map(str, parts)), names


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_argument_stands_once_in_its_message(path):
    # Twice, and a word of the sentence would be shown as an option too.
    for line, message, names in messages_with_arguments(path):
        for name in names:
            assert len(re.findall(rf"\b{name}\b", message)) == 1, (line, name, message)


def printing_calls(path):
    """Calls that write to the terminal: print, a rich console of its own, a progress bar."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = {keyword.arg for keyword in node.keywords}
            if node.func.id in ("print", "Progress") or (
                node.func.id == "Console" and "file" not in given
            ):
                yield node.lineno, node.func.id


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_prints_nothing(path):
    assert list(printing_calls(path)) == []


def test_calls_that_print_are_found():
    assert {name for _, name in printing_calls(ROOT / "commandline.py")} == {
        "print", "Console", "Progress",
    }  # fmt: skip


# Log


def test_the_log_is_shown_once(capsys, monkeypatch):
    log = logging.getLogger("alignheads")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "level", log.level)
    monkeypatch.setattr(log, "propagate", log.propagate)
    show_log()
    show_log()
    logging.getLogger("alignheads.corpora.download").info("fetching")
    assert capsys.readouterr() == ("", "fetching\n")


def test_a_line_is_broken_between_words_at_a_terminal_and_nowhere_else(capsys, monkeypatch):
    line = f"wrote {'decoder_config.json, ' * 5}as it was asked for"
    say(line)
    assert capsys.readouterr().err == f"{line}\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    say(line)
    shown = capsys.readouterr().err
    assert max(map(len, shown.splitlines())) <= 40
    assert shown.split() == line.split()


# The umbrella command


def test_help_lists_every_command():
    done = alignheads_command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: alignheads COMMAND [OPTIONS]")
    for name, (_, own_name, what) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(what)} \({own_name}\)$", done.stdout, re.M)
    assert alignheads_command().returncode == 2


def test_the_version_is_that_of_the_package():
    done = alignheads_command("--version")
    assert (done.returncode, done.stdout) == (0, f"alignheads {version('alignheads')}\n")


@pytest.mark.parametrize(
    ("given", "hint"),
    [("calibrat", "did you mean calibrate?"), ("xyz", f"expected one of {', '.join(COMMANDS)}")],
)
def test_an_unknown_command_is_one_line_and_code_2(given, hint):
    done = alignheads_command(given)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"alignheads: there is no command '{given}'; {hint}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_one_usage_line(name):
    done = alignheads_command(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    own_name = COMMANDS[name][1]
    assert re.match(rf"\s*Usage: {own_name} \[OPTIONS\]", done.stdout)


def test_a_command_runs_under_the_package():
    done = alignheads_command("heads", "tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert "tiny" in done.stdout


# Completion


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["calibrate", "--see"], ["--seed"]),
        (["alignheads", "de"], ["decode"]),
        (["alignheads", "decode", "--max-l"], ["--max-line-chars", "--max-lines"]),
    ],
)
def test_the_tab_key_completes_commands_and_options(words, offered):
    variable = f"_{words[0].upper()}_COMPLETE"
    asked = {variable: "complete_bash", "COMP_WORDS": "\n".join(words),
             "COMP_CWORD": str(len(words) - 1)}  # fmt: skip
    program = Path(sys.executable).parent / words[0]
    done = subprocess.run(
        [program], env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, offered), done.stderr


def test_completion_is_installed_for_a_shell(tmp_path):
    program = Path(sys.executable).parent / "alignheads"
    done = subprocess.run(
        [program, "--install-completion", "bash"], capture_output=True, text=True, timeout=60,
        env=os.environ | {"HOME": str(tmp_path), "SHELL": "/bin/bash",
                          "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "_ALIGNHEADS_COMPLETE" in (tmp_path / ".bash_completions" / "alignheads.sh").read_text()
