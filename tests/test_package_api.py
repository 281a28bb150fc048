"""The public API: its names, its types, and what importing it loads and installs."""

import inspect
import subprocess
import sys
import typing

import pytest

import alignheads
from alignheads.calibrate.result import Border
from alignheads.corpora import Corpus
from alignheads.discovery.ranking import RANKINGS, RankBy
from alignheads.heads import HeadsFile
from alignheads.runtime.models.aligners import ALIGNERS
from alignheads.runtime.models.model import DTYPES

FUNCTIONS = (
    "discover_heads",
    "calibrate_decoder",
    "benchmark_decoder",
    "render_report",
    "load_corpus",
    "load_heads",
)
CLASSES = ("StreamDecoder", "SpeechModel", "DecoderConfig", "HeadsFile")


def hints(name):
    return typing.get_type_hints(getattr(alignheads, name))


def words_of(hint):
    """The words that a type allows, wherever in it a Literal stands."""
    if typing.get_origin(hint) is typing.Literal:
        return set(typing.get_args(hint))
    return {word for part in typing.get_args(hint) for word in words_of(part)}


def loaded_after(code):
    code += "; import logging, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_names_are_listed():
    assert {*FUNCTIONS, *CLASSES} <= set(alignheads.__all__)
    assert set(alignheads.__all__) <= set(dir(alignheads))
    assert set(alignheads.__all__) == set(alignheads._MODULE_OF_NAME)
    assert alignheads.__all__ == sorted(alignheads.__all__)


@pytest.mark.parametrize("name", alignheads.__all__)
def test_every_name_resolves(name):
    assert getattr(alignheads, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'discover_head'"):
        alignheads.discover_head  # noqa: B018


def test_import_loads_nothing_heavy():
    heavy = {"numpy", "mlx", "matplotlib", "pydantic", "optuna", "typer", "rich"}
    assert not heavy & loaded_after("import alignheads")


def test_importing_every_name_installs_no_log_handler():
    code = (
        "import logging, alignheads\n"
        "for name in alignheads.__all__: getattr(alignheads, name)\n"
        "names = [n for n in logging.root.manager.loggerDict if n.startswith('alignheads')]\n"
        "print([n for n in names if logging.getLogger(n).handlers])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_typed(name):
    function = getattr(alignheads, name)
    assert set(hints(name)) == {*inspect.signature(function).parameters, "return"}


@pytest.mark.parametrize(
    ("name", "argument", "words"),
    [
        ("discover_heads", "text", {"hypothesis", "reference"}),
        ("discover_heads", "rank_by", set(RANKINGS)),
        ("discover_heads", "aligner", set(ALIGNERS)),
        ("calibrate_decoder", "border", set(typing.get_args(Border))),
        ("calibrate_decoder", "tune", {"step_s", "aggregate", "max_audio_s", "reuse", "refresh_s"}),
        ("calibrate_decoder", "aligner", set(ALIGNERS)),
        ("benchmark_decoder", "dtype", set(DTYPES)),
    ],
)
def test_words_chosen_from_a_list_are_literal(name, argument, words):
    assert words_of(hints(name)[argument]) == words


def test_the_rankings_are_those_of_their_type():
    assert set(RANKINGS) == set(typing.get_args(RankBy))


def test_results_are_the_public_types():
    assert hints("discover_heads")["return"] is HeadsFile
    assert hints("load_corpus")["return"] is Corpus
