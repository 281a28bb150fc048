"""The options that two or more commands share: name, type and help text, each written once.

A help text is a phrase without a capital or a full stop; what an option is when it is left out
follows as "default: …", unless typer shows the value itself. Knows typer only, no room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Models

_MODEL = typer.Option(
    metavar="NAME",
    help="tiny, 0.6b, 1.7b, whisper-tiny to whisper-large-v3-turbo, a hub repository (owner/name), "
    "or a folder",
)
ModelOption = Annotated[str, _MODEL]
ServerModelOption = Annotated[str | None, _MODEL]
"""None: what the server takes for its backend."""

TaskOption = Annotated[
    str,
    typer.Option(
        metavar="transcribe|translate",
        help="write what is said, or its translation into English (multilingual Whisper), whose "
        "times are those of the audio looked at",
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="float32, float16 or bfloat16; default: by backend"),
]
HeadsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="heads file, or the name of a bundled one; default: that of the configuration or, "
        "without one, of the model",
    ),
]

# Speech

_CORPUS_FORMS = (
    "demo[:dev|:test|:all], librispeech:dev-clean|dev-other|test-clean|test-other, a JSONL "
    "manifest (ours or Lhotse's cuts), a .ctm or .parquet file, or a folder (LibriSpeech, "
    "TextGrid, CTM, audiofolder, Parquet); a file or folder may be an address, as "
    "s3://bucket/manifest.jsonl (extra storage)"
)
CorpusArgument = Annotated[str, typer.Argument(help=_CORPUS_FORMS)]
CorpusOption = Annotated[str, typer.Option(metavar="CORPUS", help=_CORPUS_FORMS)]
ModelsCorpusOption = Annotated[
    str | None,
    typer.Option(
        metavar="CORPUS",
        help=f"{_CORPUS_FORMS}; default: the bundled demo for tiny, librispeech:dev-clean for "
        "other models",
    ),
]
"""None: a corpus that goes with the model."""

ClipsOption = Annotated[
    int | None,
    typer.Option(help="use at most this many utterances, drawn evenly over the speakers"),
]
CorpusLanguageOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help='language of the speech, as in "English"; default: the corpus\'s own'
    ),
]
SpokenLanguageOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help='language of the speech, as in "English"; default: detected'),
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT|@FILE",
        help="names and terms that may be said, told to the model all along: a text, or @ and the "
        "name of a UTF-8 file",
    ),
]
AlignerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="what gives the word times: gold (the corpus's own), qwen3 or pocketsphinx; default: "
        "gold if the corpus has word times, else qwen3",
    ),
]
AlignmentsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSONL file of word times to reuse and to add to"),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="fail where an utterance would be skipped")
]

# Decoding

_CONFIG = "decoder_config.json of calibrate; default: the one bundled for the model"
ConfigOption = Annotated[Path | None, typer.Option(metavar="FILE", help=_CONFIG)]
ConfigsOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help=f"{_CONFIG}; repeat it to measure several"),
]
BorderFractionOption = Annotated[
    float | None,
    typer.Option(help="distance to keep from the end of the audio, as a fraction of the buffer"),
]
BorderSOption = Annotated[
    float | None, typer.Option(help="the same distance in seconds, in place of the fraction")
]
_STEP_S = "seconds of audio between decoding steps; default: the configuration's own"
StepSOption = Annotated[float | None, typer.Option(help=_STEP_S)]
StepsSOption = Annotated[
    list[float] | None, typer.Option(help=f"{_STEP_S}; repeat it to measure several")
]
VadOption = Annotated[
    bool,
    typer.Option(
        "--vad",
        help="decode only what is speech (needs the extra vad); default: as the configuration says",
    ),
]

# Running

SeedOption = Annotated[
    int, typer.Option(help="of the random numbers: the same seed gives the same result")
]
FiguresOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="folder for every figure, as PNG and SVG")
]
DaskOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local:N",
        help="do the work on a Dask cluster (extra cluster): a scheduler's address, as "
        "tcp://HOST:8786, or N processes that are started here",
    ),
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="with --dask: go on waiting while there are no workers")
]
SendAudioOption = Annotated[
    bool,
    typer.Option(
        "--send-audio", help="with --dask: send the audio to workers that cannot see its files"
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="overwrite existing files")]
