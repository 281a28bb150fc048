"""What a family of models knows stays with it: outside `runtime/models/` nobody names it."""

import ast
from pathlib import Path

import pytest

import alignheads

ROOT = Path(alignheads.__file__).parent
ROOMS = ("corpora", "heads", "runtime", "discovery", "evaluate", "calibrate", "reports")
OUTSIDE = sorted(
    path
    for path in [*ROOT.glob("*.py"), *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))]
    if not path.is_relative_to(ROOT / "runtime" / "models")
)
NUMBERS = {13: "frames a second", 160: "samples of a hop", 16_000: "samples a second"}
NAMES = {"FRAMES_PER_SECOND", "audio_tower", "engine", "vocabulary"}
TOKENS = ("<|", "<asr_text>")


def found_in(source):
    """What a module names of a family: numbers, attributes and tokens, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if type(node.value) in (int, float) and node.value in NUMBERS:
                found.append((line, node.value))
            if isinstance(node.value, str):
                found += [(line, token) for token in TOKENS if token in node.value]
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            found.append((line, node.attr))
        elif isinstance(node, ast.Name | ast.alias):
            name = node.id if isinstance(node, ast.Name) else node.name
            if name == "FRAMES_PER_SECOND":
                found.append((line, name))
    return found


def named(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", OUTSIDE, ids=named)
def test_no_room_above_names_what_a_family_knows(path):
    found = [what for _, what in found_in(path.read_text())]
    # The one sample rate of the house is defined here.
    assert found == ([16_000] if named(path) == "corpora/audio.py" else [])


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 13", 13),
        ("x = y / 13.0", 13.0),
        ("x = audio[::160]", 160),
        ("x = 16_000", 16_000),
        ("from a import FRAMES_PER_SECOND", "FRAMES_PER_SECOND"),
        ("x = clock.FRAMES_PER_SECOND", "FRAMES_PER_SECOND"),
        ("model.engine.step()", "engine"),
        ("model.audio_tower(x)", "audio_tower"),
        ("model.vocabulary[3]", "vocabulary"),
        ("x = f'<|audio_start|>{y}'", "<|"),
        ("x = '<asr_text>'", "<asr_text>"),
    ],
)
def test_each_of_them_is_seen(source, what):
    assert [one for _, one in found_in(source)] == [what]


def test_the_sample_rate_is_written_once():
    written = [
        named(path)
        for folder in (*ROOMS, "tools", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "SAMPLE_RATE" for t in node.targets)
    ]
    assert written == ["corpora/audio.py"]
