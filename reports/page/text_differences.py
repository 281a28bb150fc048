"""How two texts differ, word by word, for a reader."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A stretch of words: "equal", "deleted" (of the reference) or "inserted"."""

    kind: str
    text: str


def differences(reference: str, hypothesis: str) -> list[Piece]:
    """The reference turned into the hypothesis; a substitution is a deletion and an insertion."""
    import jiwer

    out = jiwer.process_words(reference, hypothesis)
    said, heard = out.references[0], out.hypotheses[0]
    pieces: list[Piece] = []
    for chunk in out.alignments[0]:
        ours = " ".join(said[chunk.ref_start_idx : chunk.ref_end_idx])
        theirs = " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx])
        if chunk.type == "equal":
            pieces.append(Piece("equal", ours))
            continue
        if ours:
            pieces.append(Piece("deleted", ours))
        if theirs:
            pieces.append(Piece("inserted", theirs))
    return pieces
