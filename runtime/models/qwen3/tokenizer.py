"""The tokenizer of a Qwen3-ASR checkpoint: byte-level BPE, from whichever files it has.

`tokenizer.json` is what transformers 5 saves alone, `vocab.json`, `merges.txt` and
`tokenizer_config.json` are the older ones. Where both are there, the newer file counts, with the
added tokens of all.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import regex
from mlx_qwen3_asr.tokenizer import PRETOKENIZE_REGEX, _bytes_to_unicode

from .family import TOKENIZER

_CACHED_PIECES = 50_000


class Tokenizer:
    """Text to token ids.

    Attributes:
        ids: {token: id}, of all tokens; the bytes of those that are not added are spelt in
            GPT-2's characters.
        added: {id: token} of those that are not split.
        special_ids: those of `added` that are no text.
    """

    def __init__(self, folder: Path) -> None:
        """Read the files in `folder`.

        Raises:
            ValueError, KeyError, …: a file is malformed.
        """
        fast = _read(folder / TOKENIZER)
        model = fast.get("model", {}) if fast else {}
        if fast and (model.get("type") or "BPE") != "BPE":
            raise ValueError(f"{TOKENIZER} is of the type {model.get('type')}, expected BPE")
        if fast:
            vocabulary, merges = model["vocab"], _pairs(model["merges"])
        else:
            vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
            merges = _pairs(_lines((folder / "merges.txt").read_text("utf-8")))
        self._pieces: Mapping[str, int] = dict(vocabulary)
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.added = {i: token for token, i in _added(folder, fast).items()}
        self.ids = {**self._pieces, **{token: i for i, token in self.added.items()}}
        self.special_ids = frozenset(_special(folder, fast, self.added))
        by_length = sorted(self.added.values(), key=len, reverse=True)
        self._marks = regex.compile("|".join(map(regex.escape, by_length))) if by_length else None
        self._split = regex.compile(_pattern(fast) or PRETOKENIZE_REGEX)
        self._spelling = _bytes_to_unicode()
        self._known: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, which is composed (NFC) first; added tokens in it are one each."""
        found: list[int] = []
        start = 0
        for match in self._marks.finditer(text) if self._marks else ():
            found += self.encode_plain(text[start : match.start()])
            found.append(self.ids[match[0]])
            start = match.end()
        return found + self.encode_plain(text[start:])

    def encode_plain(self, text: str) -> list[int]:
        """Likewise, where no part of `text` means an added token."""
        text = unicodedata.normalize("NFC", text)
        return [i for word in self._split.findall(text) for i in self._word(word)]

    def _word(self, word: str) -> tuple[int, ...]:
        known = self._known.get(word)
        if known is None:
            spelt = [self._spelling[byte] for byte in word.encode("utf-8")]
            known = tuple(self._pieces[piece] for piece in self._joined(spelt))
            if len(self._known) < _CACHED_PIECES:
                self._known[word] = known
        return known

    def _joined(self, parts: list[str]) -> list[str]:
        """BPE: the pair of the lowest rank is joined, wherever it is, until none is known."""
        while len(parts) > 1:
            pairs = itertools.pairwise(parts)
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined, at = [], 0
            while at < len(parts):
                if at + 1 < len(parts) and (parts[at], parts[at + 1]) == best:
                    joined.append(parts[at] + parts[at + 1])
                    at += 2
                else:
                    joined.append(parts[at])
                    at += 1
            parts = joined
        return parts


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds {type(content).__name__}, expected a JSON object")
    return content


def _lines(text: str) -> list[str]:
    # Only the first line can be a comment: merges of "#" begin with it, too.
    lines = text.splitlines()
    return lines[1:] if lines and lines[0].startswith("#version") else lines


def _pairs(merges: Iterable[str | list[str]]) -> list[tuple[str, str]]:
    pairs = (m.split(" ") if isinstance(m, str) else m for m in merges if m)
    return [(first, second) for first, second in pairs]


def _added(folder: Path, fast: Mapping[str, Any]) -> dict[str, int]:
    """{token: id} of the tokens that the files add to the vocabulary."""
    found: dict[str, int] = {}
    found.update({str(token): int(i) for token, i in _read(folder / "added_tokens.json").items()})
    decoder = _read(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    found.update({entry["content"]: int(i) for i, entry in decoder.items()})
    found.update({entry["content"]: int(entry["id"]) for entry in fast.get("added_tokens") or []})
    return found


def _special(folder: Path, fast: Mapping[str, Any], added: Mapping[int, str]) -> set[int]:
    """Those of `added` that the files call special; if none says so, those like `<|this|>`."""
    config = _read(folder / "tokenizer_config.json")
    entries = [*(config.get("added_tokens_decoder") or {}).values()]
    entries += fast.get("added_tokens") or []
    said = {entry["content"]: bool(entry.get("special")) for entry in entries}
    listed = config.get("additional_special_tokens") or []
    said |= {str(token): True for token in listed}
    return {
        i for i, token in added.items()
        if said.get(token, token.startswith("<|") and token.endswith("|>"))
    }  # fmt: skip


def _pattern(fast: Mapping[str, Any]) -> str | None:
    """The expression that cuts text into words before BPE, where the file says it."""
    before = fast.get("pre_tokenizer") or {}
    for step in before.get("pretokenizers") or [before]:
        pattern = step.get("pattern") if step.get("type") == "Split" else None
        if isinstance(pattern, dict) and "Regex" in pattern:
            return pattern["Regex"]
    return None
