"""Whisper's tokens, their bytes, the special ones, and which of them it may not say.

The tokenizer is the checkpoint's own (`tokenizer.json`, or `vocab.json`) where it has one;
conversions by mlx-whisper have none, and get OpenAI's of that many tokens
(`vocabularies/*.tiktoken`, from openai/whisper, MIT).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ....errors import InputError
from .languages import NAMES

_FOLDER = Path(__file__).parent / "vocabularies"
_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
_FIRST_MULTILINGUAL = 51865
_TIMESTAMPS = 1501
_BEFORE = ("<|endoftext|>", "<|startoftranscript|>")
_AFTER = (
    "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
    "<|notimestamps|>",
)  # fmt: skip
_OTHER_NAMES = {"<|nocaptions|>": "<|nospeech|>"}
# OpenAI's `Tokenizer.non_speech_tokens`: signs of speakers and of sounds.
_SYMBOLS = [
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    *"<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪".split(),  # noqa: SIM905
]
_NOTES = "♩♪♫♬♭♮♯"


class Vocabulary:
    """The tokenizer of one checkpoint.

    Attributes:
        size: tokens that the weights know.
        languages: {code: token}, empty for a model of English alone.
        suppressed: tokens that are never said: signs of no speech, and special ones but the end's.
        end_id, start_id, previous_id, no_speech_id, no_timestamps_id: special tokens.
        blank_id: a space by itself.
    """

    def __init__(self, folder: Path, size: int) -> None:
        """Read the tokenizer in `folder`, for weights of `size` tokens.

        Raises:
            InputError: a file is malformed, does not fit the weights, or `tiktoken` is missing.
        """
        try:
            import tiktoken
        except ImportError as error:
            raise InputError(
                "Whisper's tokenizer needs tiktoken: pip install '.[whisper]', in the checkout"
            ) from error
        self.size = size
        ranks, special, added = _own(folder) or _bundled(size)
        if (highest := max([*ranks.values(), *special.values(), *added.values()])) >= size:
            raise InputError(
                f"the tokenizer in {folder} has {highest + 1} tokens, the weights only {size}: "
                "they belong to different models"
            )
        missing = [name for name in (*_BEFORE, "<|notimestamps|>") if name not in special]
        if missing:
            raise InputError(f"the tokenizer in {folder} lacks the token {missing[0]}")
        self._encoding = tiktoken.Encoding(
            "whisper", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={}
        )
        self._bytes = {token: piece for piece, token in ranks.items()}
        self._bytes |= {token: text.encode() for text, token in added.items()}
        self._special = special
        self.end_id, self.start_id = (special[name] for name in _BEFORE)
        self.no_timestamps_id = special["<|notimestamps|>"]
        self.previous_id = special.get("<|startofprev|>")
        self.no_speech_id = special.get("<|nospeech|>")
        self.blank_id = ranks.get(b" ")
        is_multilingual = size >= _FIRST_MULTILINGUAL
        self.languages = {
            code: special[f"<|{code}|>"]
            for code in NAMES
            if is_multilingual and f"<|{code}|>" in special
        }
        spoken = set(self._bytes)
        self.suppressed = frozenset(
            {token for token in range(size) if token not in spoken and token != self.end_id}
            | self._no_speech_signs()
        )

    def _no_speech_signs(self) -> set[int]:
        found = {self.encode(" -")[0], self.encode(" '")[0]}
        for symbol in [*_SYMBOLS, *_NOTES]:
            for tokens in (self.encode(symbol), self.encode(f" {symbol}")):
                if len(tokens) == 1 or symbol in _NOTES:
                    found.add(tokens[0])
        return found

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return self._encoding.encode_ordinary(text)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token; a character may be cut in two. Special ones: none."""
        return self._bytes.get(token_id, b"")

    def task_id(self, task: str) -> int | None:
        """The token of `transcribe` or `translate`."""
        return self._special.get(f"<|{task}|>") if self.languages else None

    def prompt(
        self, language: str | None, task: str, context: Sequence[int] = ()
    ) -> tuple[list[int], int]:
        """The tokens before the text, and the index of `<|startoftranscript|>` among them.

        Args:
            language: its code; None for a model that knows no languages.
            task: see `task_id`.
            context: tokens of what was said before.
        """
        before: list[int] = []
        if len(context) and self.previous_id is not None:
            before = [self.previous_id, *context]
        ids = [*before, self.start_id]
        if language is not None and self.languages:
            ids.append(self.languages[language])
            task_id = self.task_id(task)
            ids += [] if task_id is None else [task_id]
        return [*ids, self.no_timestamps_id], len(before)


_Parts = tuple[dict[bytes, int], dict[str, int], dict[str, int]]
"""Ids of pieces by their bytes, of special tokens, and of added ones that are text."""


@cache
def _bundled(size: int) -> _Parts:
    """OpenAI's tokens for a model of `size`: the number of languages is what is left over."""
    name = "multilingual" if size >= _FIRST_MULTILINGUAL else "gpt2"
    lines = (_FOLDER / f"{name}.tiktoken").read_text("ascii").splitlines()
    pairs = (line.split() for line in lines if line)
    ranks = {base64.b64decode(piece): int(rank) for piece, rank in pairs}
    fixed = len(_BEFORE) + len(_AFTER) + _TIMESTAMPS
    languages = size - len(ranks) - fixed
    if not 0 <= languages <= len(NAMES):
        raise InputError(
            f"the weights know {size} tokens, as no model of OpenAI's does, and there is no "
            "tokenizer.json beside them: expected one"
        )
    times = [f"<|{index * 0.02:.2f}|>" for index in range(_TIMESTAMPS)]
    names = [*_BEFORE, *(f"<|{code}|>" for code in list(NAMES)[:languages]), *_AFTER, *times]
    return ranks, {text: len(ranks) + index for index, text in enumerate(names)}, {}


def _own(folder: Path) -> _Parts | None:
    """The tokens of the files in `folder`, or None if it has no tokenizer."""
    path = folder / "tokenizer.json"
    if path.is_file():
        content = _read(path)
        model, extra = content.get("model"), content.get("added_tokens") or []
        vocabulary = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(vocabulary, dict):
            raise InputError(f"{path} has no model.vocab of tokens: fetch it again")
        added = {str(one["content"]): int(one["id"]) for one in extra}
        special = {str(one["content"]) for one in extra if one.get("special")}
    elif (folder / "vocab.json").is_file():
        path = folder / "vocab.json"
        vocabulary = _read(path)
        beside = folder / "added_tokens.json"
        added = _read(beside) if beside.is_file() else {}
        special = {name for name in added if name.startswith("<|") and name.endswith("|>")}
    else:
        return None
    byte_of = _byte_of_character()
    ranks: dict[bytes, int] = {}
    for token, token_id in vocabulary.items():
        if token not in added and all(character in byte_of for character in token):
            ranks[bytes(byte_of[character] for character in token)] = token_id
    if len([piece for piece in ranks if len(piece) == 1]) < 256:
        raise InputError(f"{path} lacks tokens for single bytes: it is no tokenizer of Whisper")
    specials = {
        _OTHER_NAMES.get(name, name): token_id
        for name, token_id in {**vocabulary, **added}.items()
        if name in special or (name.startswith("<|") and name.endswith("|>"))
    }
    taken = set(specials.values())
    ranks = {piece: token_id for piece, token_id in ranks.items() if token_id not in taken}
    texts = {name: token_id for name, token_id in added.items() if token_id not in taken}
    return ranks, specials, texts


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}, expected a JSON object")
    return content


@cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's way to write bytes as characters, backwards."""
    from mlx_qwen3_asr.tokenizer import _bytes_to_unicode

    return {character: byte for byte, character in _bytes_to_unicode().items()}
