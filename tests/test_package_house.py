"""The house as design has it: what is shipped, what imports what, and what help loads."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

import alignheads

ROOT = Path(alignheads.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = PROJECT["project"]["scripts"]
FLOORS = {
    "cluster": 0,
    "heads": 1,
    "corpora": 1,
    "runtime.models": 2,
    "runtime.models.cpu": 2,
    "runtime.models.qwen3": 2,
    "runtime.models.whisper": 2,
    "runtime.policy": 2,
    "runtime.stream": 3,
    "runtime.simulstream": 3,
    "runtime.whisperlivekit": 3,
    "discovery": 4,
    "evaluate": 4,
    "calibrate": 5,
    "calibrate.replay": 5,
    "calibrate.study": 5,
    "reports": 6,
    "reports.figures": 6,
    "reports.page": 6,
}
"""Each room's floor."""
ALSO = {
    ("runtime.models", "runtime.policy"),
    ("runtime.models", "runtime.models.cpu"),
    ("runtime.models", "runtime.models.qwen3"),
    ("runtime.models.qwen3", "runtime.models"),
    ("runtime.models.qwen3", "runtime.models.cpu"),
    ("runtime.models", "runtime.models.whisper"),
    ("runtime.models.whisper", "runtime.models"),
    ("runtime.models.whisper", "runtime.models.cpu"),
    ("runtime.models.cpu", "runtime.models"),
    ("runtime.simulstream", "runtime.stream"),
    ("runtime.whisperlivekit", "runtime.stream"),
    ("calibrate", "calibrate.replay"),
    ("calibrate", "calibrate.study"),
    ("calibrate.replay", "calibrate"),
    ("calibrate.study", "calibrate"),
    ("reports", "reports.figures"),
    ("reports.page", "reports"),
    ("reports.figures", "reports"),
    ("reports.page", "reports.figures"),
}
"""Rooms of one floor that know another: from, to."""
ROOMS = sorted({room.split(".")[0] for room in FLOORS})
MODULES = sorted([*ROOT.glob("*.py"), *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))])


def room_of(path):
    """The innermost room that a module is in; None at the root."""
    return room_named(".".join(path.relative_to(ROOT).parts[:-1]))


def room_named(module):
    """The innermost room that a dotted name lies in, as `runtime.models` for its `backend`."""
    parts = module.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name in FLOORS), None)


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def is_function(node):
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def imports_of(path, *leave_out):
    """Absolute names of all that a module imports, wherever in it: `alignheads.heads.load`.

    Parts of it for which a function in `leave_out` is true are not looked at.
    """
    package = ["alignheads", *path.relative_to(ROOT).parts[:-1]]
    waiting = [parsed(path)]
    for node in waiting:
        if any(is_left_out(node) for is_left_out in leave_out):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = [*above, *(node.module or "").split(".")]
            # `from .. import heads` names a room only in what is imported.
            yield from (".".join(filter(None, [*base, alias.name])) for alias in node.names)


@cache
def parsed(path):
    return ast.parse(path.read_text())


def named(path):
    return str(path.relative_to(ROOT))


# Imports


def test_the_rooms_are_those_of_the_house():
    folders = {path.parent.relative_to(ROOT) for path in MODULES if path.name == "__init__.py"}
    packages = {".".join(["alignheads", *folder.parts]) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages
    assert packages == {f"alignheads.{room}" for room in FLOORS} | {"alignheads.runtime"} | {
        "alignheads"
    }


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p)], ids=named)
def test_imports_only_run_down_the_floors(path):
    room = room_of(path)
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        assert top not in ("tools", "tests", "benchmarks")
        other = room_named(rest)
        if top != "alignheads" or other in (None, room) or path.name == "cli.py":
            continue
        is_below = FLOORS[other] < FLOORS[room]
        assert is_below or (room, other) in ALSO, f"{named(path)} imports {name}"


COMMON = [p for p in ROOT.glob("*.py") if p.name not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("path", COMMON, ids=named)
def test_what_is_usable_by_all_knows_no_room(path):
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        assert top != "alignheads" or room_named(rest) is None


def test_imports_are_seen_wherever_they_stand():
    seen = set(imports_of(ROOT / "discovery" / "cli.py"))
    assert {
        "alignheads.commandline.run",
        "alignheads.reports.figures.registry.heads_figures",
    } <= seen
    assert "alignheads.discovery.shards" in seen


def import_graph():
    """By module, as `corpora/load.py`: the modules that it imports, in functions too.

    Imports for type checkers only do not count, except in a package: there they are what it
    imports on first use. Nor do those in functions of commands (`cli.py`, `__main__.py`), which
    are there so that help is quick.
    """
    names = {
        path: ("alignheads", *path.relative_to(ROOT).with_suffix("").parts) for path in MODULES
    }
    modules = {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}

    def module_of(name):
        # The name is a module, or something in one.
        return modules.get(name) or modules.get(name.rpartition(".")[0])

    graph = {}
    for path in MODULES:
        leave_out = {
            "__init__.py": (),
            "__main__.py": (is_for_types, is_function),
            "cli.py": (is_for_types, is_function),
        }.get(path.name, (is_for_types,))
        found = {module_of(name) for name in imports_of(path, *leave_out)}
        graph[named(path)] = {named(other) for other in found - {None, path}}
    return graph


def circles(graph):
    """The largest groups of modules that all lead to each other."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    leads_to = {module: reached(module) for module in graph}
    groups = {
        frozenset(other for other in leads_to[module] if module in leads_to[other])
        for module in graph
        if module in leads_to[module]
    }
    return sorted(map(set, groups), key=sorted)


def test_no_modules_import_each_other_in_a_circle():
    assert circles(import_graph()) == []


def test_circles_are_seen_through_functions_and_over_several_modules():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    # In a function, of a module by its name, and of what a package holds.
    graph = import_graph()
    assert {"corpora/demo.py", "corpora/ctm.py"} <= graph["corpora/load.py"]
    assert "corpora/words.py" in graph["corpora/gather.py"]
    assert "corpora/load.py" in graph["corpora/__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_imports_inside_the_package_are_relative(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] != "alignheads"
        elif isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "alignheads" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_the_engine_and_the_drawing_library_stay_in_their_rooms(path):
    tops = {name.split(".")[0] for name in imports_of(path)}
    room = room_of(path) or ""
    if not room.startswith("runtime.models"):
        assert not tops & {"mlx", "mlx_qwen3_asr"}
    if not room.startswith("reports"):
        assert "matplotlib" not in tops


def loaded_by(statement):
    """Top-level modules in memory after a statement in a fresh process."""
    code = f"{statement}; import sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"mlx", "mlx_qwen3_asr", "matplotlib", "soundfile", "praatio", "pooch", "jiwer", "soxr"}
SLOW_TO_IMPORT = {
    "jinja2", "numpy", "optuna", "pydantic", "pysubs2", "rich", "scipy", "sqlalchemy",
    "whisper_normalizer",
}  # fmt: skip


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import alignheads") & (HEAVY | {"numpy", "pydantic"})


@pytest.mark.parametrize(
    "statement",
    ["from alignheads import HeadsFile, load_heads", "from alignheads import load_corpus, Corpus"],
)
def test_heads_and_corpora_load_no_engine(statement):
    assert not loaded_by(statement) & {"mlx", "mlx_qwen3_asr", "matplotlib"}


@pytest.mark.parametrize("module", [room_of(p) for p in MODULES if p.name == "cli.py"])
def test_a_command_is_light_until_it_is_called(module):
    assert not loaded_by(f"import alignheads.{module}.cli") & (HEAVY | SLOW_TO_IMPORT)


# Names


@pytest.mark.parametrize("module", ["", *(f".{room}" for room in FLOORS)])
def test_public_names_are_there(module):
    package = importlib.import_module(f"alignheads{module}")
    names = getattr(package, "__all__", [])
    assert len(set(names)) == len(names)
    assert all(getattr(package, name) is not None for name in names)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        alignheads.nonsense  # noqa: B018


def test_names_are_the_same_thing_everywhere():
    from alignheads.corpora.corpus import Corpus
    from alignheads.errors import InputError

    assert alignheads.Corpus is Corpus
    assert alignheads.InputError is InputError


# Help


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_quick_because_it_imports_little(script):
    path = Path(sys.executable).parent / script
    assert path.is_file(), f"{script} is not installed: pip install -e '.[dev]'"
    command = [sys.executable, "-X", "importtime", path, "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert f"Usage: {script}" in done.stdout
    lines = done.stderr.splitlines()
    assert all(line.startswith("import time:") for line in lines)
    modules = {line.rpartition("|")[2].strip() for line in lines}
    assert any(name.startswith("alignheads.") for name in modules)
    assert not {name.split(".")[0] for name in modules} & (HEAVY | SLOW_TO_IMPORT)


# The wheel


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory):
    """A wheel, built from a copy: building leaves folders behind."""
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path_factory.mktemp("source") / "copy"
    kept = {*ROOMS, "tests", "tools", "benchmarks", "docs"}
    source.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
        elif path.name in kept:
            leave = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(path, source / path.name, ignore=leave)
    code = "import setuptools.build_meta as backend; backend.build_wheel('dist')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(wheel_file):
    """{path in the wheel: size}."""
    with zipfile.ZipFile(wheel_file) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


def shipped(*patterns):
    return [p for pattern in patterns for p in ROOT.glob(pattern) if p.is_file()]


@pytest.mark.wheel
def test_the_wheel_has_the_model_the_speech_and_the_heads(wheel):
    wanted = shipped("runtime/models/tiny/*", "corpora/demo/**/*", "heads/bundled/*", "py.typed")
    wanted += shipped("runtime/stream/configs/*")
    names = {path.name for path in wanted}
    assert {"model.safetensors", "config.json", "vocab.json", "merges.txt"} <= names
    assert {"0.6b.json", "1.7b.json", "whisper-large-v3-turbo.json", "py.typed"} <= names
    for suffix in (".flac", ".TextGrid"):
        assert sum(path.suffix == suffix for path in wanted) == 48
    for path in wanted:
        if not path.name.startswith("."):
            assert wheel.get(f"alignheads/{named(path)}") == path.stat().st_size, named(path)


@pytest.mark.wheel
def test_the_wheel_has_every_module(wheel):
    for path in MODULES:
        assert f"alignheads/{named(path)}" in wheel


@pytest.mark.wheel
def test_the_wheel_has_nothing_else(wheel, wheel_file):
    rooms = {name.split("/")[1] for name in wheel if name.startswith("alignheads/")}
    modules = {path.name for path in ROOT.glob("*.py")}
    assert rooms == {*ROOMS, *modules, "py.typed"}
    assert not [name for name in wheel if "__pycache__" in name or "/." in name]
    assert {name.split("/")[0] for name in wheel if not name.startswith("alignheads/")} == {
        next(name.split("/")[0] for name in wheel if name.endswith("METADATA"))
    }
    for name in ("LICENSE", "NOTICE"):
        assert any(path.endswith(f"licenses/{name}") for path in wheel)
    assert any(name.endswith("entry_points.txt") for name in wheel)
    assert wheel_file.stat().st_size <= 12_000_000
    assert {"report.html", "style.css", "player.js"} <= {name.split("/")[-1] for name in wheel}


def test_the_demo_and_the_model_are_small():
    assert sum(p.stat().st_size for p in shipped("corpora/demo/**/*")) <= 6_000_000
    assert sum(p.stat().st_size for p in shipped("runtime/models/tiny/*")) <= 4_000_000
