"""Tokens, their bytes, the special ones, and the prompt: all from the checkpoint's files.

The engine keeps the ids of special tokens as constants, which are wrong for a checkpoint with
another vocabulary; here they are looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_qwen3_asr.tokenizer import _bytes_to_unicode

from ....errors import InputError
from .tokenizer import Tokenizer

_UNFINISHED_HEAD = re.compile(r"language( [A-Z]\w*)?")
_END_TOKENS = ("<|im_end|>", "<|endoftext|>")
_NEEDED = (
    *_END_TOKENS, "<|im_start|>", "<|audio_start|>", "<|audio_pad|>", "<|audio_end|>", "<asr_text>",
)  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """Token ids of a prompt whose audio placeholders are `ids[audio_start:audio_stop]`."""

    ids: tuple[int, ...]
    audio_start: int
    audio_stop: int


class Vocabulary:
    """The tokenizer of one checkpoint."""

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer's files in `folder`.

        Raises:
            InputError: a file is malformed, or a special token is missing.
        """
        try:
            self._tokenizer = Tokenizer(folder)
        except Exception as error:  # the files may hold anything
            raise InputError(f"cannot read the tokenizer in {folder}: {error}") from error
        self._ids = self._tokenizer.ids
        for token in _NEEDED:
            if token not in self._ids:
                raise InputError(f"the tokenizer in {folder} lacks the token {token}")
        self.end_ids = frozenset(self._ids[token] for token in _END_TOKENS)
        self.audio_id = self._ids["<|audio_pad|>"]
        self.text_marker_id = self._ids["<asr_text>"]
        added = self._tokenizer.added
        byte_of_character = {c: b for b, c in _bytes_to_unicode().items()}
        self._bytes = {
            i: bytes(byte_of_character[c] for c in token)
            for token, i in self._ids.items()
            if i not in added and all(c in byte_of_character for c in token)
        }
        # What was added to a checkpoint and is not special is text, as its own tokenizer has it.
        special_ids = {*(self._ids[token] for token in _NEEDED), *self._tokenizer.special_ids}
        self._bytes |= {i: text.encode() for i, text in added.items() if i not in special_ids}
        if len({token for token in self._bytes.values() if len(token) == 1}) < 256:
            raise InputError(f"the tokenizer in {folder} lacks tokens for single bytes: vocab.json")
        self.size = max(self._ids.values()) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; special tokens are written as `<|im_end|>`."""
        return self._tokenizer.encode(text)

    def encode_plain(self, text: str) -> list[int]:
        """Token ids of `text` in which nothing is special: `<|im_end|>` is text, too."""
        return self._tokenizer.encode_plain(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; an incomplete character at either end becomes U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one token: byte-level BPE may cut a character in two. Special ones: none.

        Those of an added token that is not special are its text.
        """
        return self._bytes.get(token_id, b"")

    def prompt(self, audio_frames: int, language: str | None, context: str = "") -> Prompt:
        """The chat template around `audio_frames` placeholders.

        With a `language` (canonical name) the answer's head, `language X<asr_text>`, is part
        of the prompt; without, the model writes it and so detects the language.
        """
        encode, token = self.encode, self._ids
        start, end, newline = token["<|im_start|>"], token["<|im_end|>"], encode("\n")
        # What is told or was said before must not close its own turn.
        ids = [start, *encode("system\n"), *self.encode_plain(context), end, *newline]
        ids += [start, *encode("user\n"), token["<|audio_start|>"]]
        ids += [self.audio_id] * audio_frames
        ids += [token["<|audio_end|>"], end, *newline, start, *encode("assistant\n")]
        if language is not None:
            ids += encode(f"language {language}<asr_text>")
        first = ids.index(token["<|audio_start|>"]) + 1
        return Prompt(tuple(ids), first, first + audio_frames)

    def answer_head(self, ids: Sequence[int]) -> tuple[str | None, int]:
        """The language that an answer names, and how many tokens it has before its text.

        The language is None where there is no head, or it says `None`: a checkpoint says so of no
        speech, but one that was tuned by the model's own recipe of any speech.
        """
        if self.text_marker_id not in ids:
            is_head = _UNFINISHED_HEAD.fullmatch(self.decode(ids)) is not None
            return None, len(ids) if is_head else 0
        at = list(ids).index(self.text_marker_id)
        language = self.decode(ids[:at]).removeprefix("language").strip()
        return (None if language in ("", "None") else language), at + 1
