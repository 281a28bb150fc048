"""Hooks of mkdocs.yml: pages outside of docs/ become pages of the site, and links stay right.

In the repository the documents link to each other and to files by relative paths, so that they read
well there. In the site README.md is the first page, the other documents at the root and in
benchmarks/ and tools/ have pages of their own, and a link to any other file becomes its name. A
link to nothing stays as it is, and the strict build fails on it.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "benchmarks/README.md": "project/benchmarks.md",
    "tools/tiny_model/README.md": "project/tiny-model.md",
    "tools/qwen3_reference/README.md": "project/qwen3-reference.md",
    "tools/whisper_weights/README.md": "project/whisper-weights.md",
}
"""Documents outside of docs/, and where they are in the site."""
_SOURCE = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^(?:```|~~~).*?^(?:```|~~~)[^\n]*$)", re.MULTILINE | re.DOTALL)


_made: list[str] = []


@event_priority(100)  # before mkdocstrings looks where the package is
def on_config(config):
    """Show the package to mkdocstrings under its name: the folder of a clone may have any other.

    Only what is shipped is shown, or all that lies in the folder would be read.
    """
    folder = tempfile.mkdtemp()
    _made.append(folder)
    named = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    rooms = {package.split(".")[1] for package in named["packages"] if "." in package}
    shown = Path(folder) / "alignheads"
    shown.mkdir()
    for path in [*ROOT.glob("*.py"), *(ROOT / room for room in rooms)]:
        (shown / path.name).symlink_to(path)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [folder]
    return config


def on_shutdown():
    """Remove what was made."""
    while _made:
        shutil.rmtree(_made.pop())


def on_files(files, config):
    """Add the documents that are not in docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """Make the links of a page, which are right in the repository, right in the site."""
    source = _SOURCE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = _FENCE.split(markdown)
    parts[::2] = [_relinked(part, source, page.file.src_uri) for part in parts[::2]]
    return "".join(parts)


def _relinked(text: str, source: str, page: str) -> str:
    def link(match: re.Match) -> str:
        is_image, label, target = match.groups()
        path, mark, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        to = PAGES.get(wanted) or wanted.removeprefix("docs/")
        is_page = wanted in PAGES or wanted.startswith("docs/")
        if is_page or is_image:
            to = os.path.relpath(to, posixpath.dirname(page) or ".")
            return f"{is_image}[{label}]({to}{mark}{anchor})"
        return label if (ROOT / wanted).exists() else match[0]

    return _LINK.sub(link, text)
