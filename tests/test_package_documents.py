"""What the documents tell to type is there: commands, their options, and the pages of the site."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import alignheads

yaml = pytest.importorskip("yaml")
ROOT = Path(alignheads.__file__).parent
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TUTORIALS = sorted((ROOT / "docs").glob("tutorial-*.md"))
PASSED_ON = {"wlk-alignheads", "alignheads"}  # take the options of the server, of other commands
SITE = (ROOT / "mkdocs.yml").read_text()


def named(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    return re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def calls(path):
    """Each call of one of our commands in a document's blocks: the command and its words."""
    for block in blocks(path):
        for line in re.split(r"\n|&&|\||;", block.replace("\\\n", " ")):
            lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
            lexer.whitespace_split, lexer.commenters = True, "#"
            try:
                words = list(lexer)
            except ValueError:  # a quotation over several lines
                continue
            name = Path(words[0]).name if words else ""
            if name in SCRIPTS and name not in PASSED_ON:
                yield name, words[1:]


@cache
def options_of(command):
    done = subprocess.run(
        [Path(sys.executable).parent / command, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "300"},
    )  # fmt: skip
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_option_that_a_document_types_is_one(path):
    for command, words in calls(path):
        for word in words:
            if word.startswith("--"):
                option = word.partition("=")[0]
                assert option in options_of(command), f"{command} has no {option}"


def test_calls_are_found_behind_comments_and_over_lines():
    found = [words for name, words in calls(ROOT / "README.md") if name == "decode-stream"]
    assert any(words[:2] == ["--config", "decoder_config.json"] for words in found)
    assert len(list(calls(TUTORIALS[1]))) >= 8


@pytest.mark.parametrize("path", TUTORIALS, ids=named)
def test_a_tutorial_s_commands_are_those_that_are_run(path):
    done = subprocess.run(
        [ROOT / ".ci" / "tutorial", path, "", "--print"], capture_output=True, text=True, check=True
    )
    marked = re.findall(r"<!-- ci -->\n```sh\n(.*?)```", path.read_text(), re.DOTALL)
    assert done.stdout == "".join(marked)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert f".ci/tutorial {named(path)}" in workflow


def test_a_document_without_marked_commands_is_refused(tmp_path):
    (tmp_path / "a.md").write_text("```sh\nfalse\n```\n")
    done = subprocess.run(
        [ROOT / ".ci" / "tutorial", tmp_path / "a.md"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "has no commands" in done.stderr


# The site


def pages(nav):
    for entry in nav:
        for value in entry.values():
            yield from pages(value) if isinstance(value, list) else [value]


def test_every_document_is_a_page_and_every_page_a_document(hooks):
    nav = set(pages(yaml.safe_load(SITE)["nav"]))
    documents = {path.relative_to(ROOT / "docs").as_posix() for path in DOCUMENTS[1:]}
    documents |= set(hooks.PAGES.values())
    assert nav == {one for one in documents if one != "../README.md"}


@pytest.fixture
def hooks(monkeypatch):
    """tools/site.py, also where MkDocs is not installed."""
    import types

    for name in ("mkdocs", "mkdocs.plugins", "mkdocs.structure", "mkdocs.structure.files"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["mkdocs.plugins"].event_priority = lambda _: lambda function: function
    sys.modules["mkdocs.structure.files"].File = object
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "tools" / "site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOME, LIVE = ("README.md", "index.md"), ("docs/live.md", "live.md")
SPEED = ("benchmarks/README.md", "project/benchmarks.md")


@pytest.mark.parametrize(
    ("where", "link", "expected"),
    [
        (HOME, "[a](docs/live.md#x)", "[a](live.md#x)"),
        (HOME, "![a](docs/images/p.png)", "![a](images/p.png)"),
        (LIVE, "[a](../benchmarks/README.md#x)", "[a](project/benchmarks.md#x)"),
        (SPEED, "[a](../docs/live.md)", "[a](../live.md)"),
        (LIVE, "[code](../pyproject.toml)", "code"),
        (LIVE, "[a](../no.md)", "[a](../no.md)"),
        (LIVE, "[a](https://b.c/d.md), [e](#f)", "[a](https://b.c/d.md), [e](#f)"),
    ],
)
def test_links_of_the_repository_become_those_of_the_site(hooks, where, link, expected):
    assert hooks._relinked(link, *where) == expected


def test_code_is_left_as_it_is(hooks):
    from types import SimpleNamespace

    page = SimpleNamespace(file=SimpleNamespace(src_uri="live.md"))
    code = "```\n[a](../benchmarks/README.md)\n```\n"
    assert hooks.on_page_markdown(code, page, None, None) == code
