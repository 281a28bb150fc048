"""What the first bytes of a file or a stream say that it is."""

from __future__ import annotations

import re

from .audio_parts import frame_bytes

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (rb"(?:RIFF|RIFX|RF64)....WAVE", "WAV"),
    (rb"riff\x2e\x91\xcf\x11", "W64"),
    (rb"RIFF....AVI ", "AVI"),
    (rb"fLaC", "FLAC"),
    (rb"OggS", "OGG"),
    (rb"ID3[\x02-\x04]", "MP3"),
    (rb"FORM....AIF[FC]", "AIFF"),
    (rb"caff\x00\x01", "CAF"),
    (rb"\.snd\x00\x00", "AU"),
    (rb"....(?:ftyp|moov|mdat|wide|free|skip)", "MP4"),
    (rb"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (rb"#!AMR", "AMR"),
    (rb"FLV\x01", "FLV"),
    (rb"\x00\x00\x01\xba", "MPEG"),
    (rb"MAC \x96\x0f", "APE"),
    (rb"wvpk", "WavPack"),
    (rb"MThd", "MIDI"),
    (rb"\x47[\x00-\xff]{187}\x47[\x00-\xff]{187}\x47", "MPEG-TS"),
    (rb"ADIF", "AAC"),
)


LEAST_BYTES = 4608
"""That tell the kind for sure: two frames of the largest MP3 or AAC."""

_MP3 = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xeb]")
_AAC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\xbf]")


def kind_of(begun: bytes) -> str | None:
    """The format whose files begin as `begun` does, or None: it may be raw samples."""
    for magic, kind in _MAGICS:
        if re.match(magic, begun, re.DOTALL):
            return kind
    # Two bytes are a sample as well: what follows must be a frame too, at the right place.
    if _MP3.match(begun):
        size = frame_bytes(begun, 0)
        return "MP3" if size and frame_bytes(begun, size) else None
    if _AAC.match(begun) and len(begun) > 5:
        size = (begun[3] & 3) << 11 | begun[4] << 3 | begun[5] >> 5
        return "AAC" if size > 7 and _AAC.match(begun, size) else None
    return None


def may_be_frame(begun: bytes) -> bool:
    """Whether more bytes are needed to tell an MP3 or AAC from raw samples."""
    return len(begun) < LEAST_BYTES and bool(_MP3.match(begun) or _AAC.match(begun))
