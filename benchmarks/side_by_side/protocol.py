"""How an utterance is streamed and timed, here and in a peer's own environment; NumPy only.

A driver is a process: the first line of its input is the settings, each line after it one
utterance; it answers with one line each. All lines are JSON:

    in    {"step_s": 1.0, …}                 what the driver's `load` wants
    out   {"ready": {…}}                     versions, and what else is worth keeping
    in    {"id": "…", "samples": "….npy"}    [n] float32, 16 kHz, mono
    out   {"id": "…", "audio_s": 9.1, "steps": [{"audio_s": 1.0, "wall_s": 0.4, "shown": null,
           "pieces": [[" the", 0.3, 0.42], …]}, …]}

A piece is text that was emitted, with the spaces that were in it, and start and end where the peer
gives them; `shown` is all of the text as it stood after the step, of a peer that changes it.
"""

import json
import os
import sys
import time

import numpy as np

# The package, which has this number once, is not in a peer's environment.
RATE = 16_000


def streamed(samples, step_s, feed, finish=None):
    """The steps of one utterance, as above.

    Args:
        samples: [n] float32.
        step_s: seconds of audio of a step; infinity: all at once.
        feed: called with the samples of a step and whether it is the last; returns pieces, or
            (pieces, shown).
        finish: called at the end, if there is something left to do; returns the same.
    """
    size = max(1, int(min(step_s * RATE, len(samples))))
    ends = [*range(size, len(samples), size), len(samples)]
    starts = range(0, len(samples), size)
    calls = [
        (end, feed, (samples[start:end], end == len(samples)))
        for start, end in zip(starts, ends, strict=True)
    ]
    if finish is not None:
        calls.append((len(samples), finish, ()))
    steps = []
    for received, call, given in calls:
        begin = time.perf_counter()
        out = call(*given)
        wall_s = time.perf_counter() - begin
        pieces, shown = out if isinstance(out, tuple) else (out, None)
        steps.append(
            {"audio_s": received / RATE, "wall_s": wall_s, "shown": shown, "pieces": pieces}
        )
    return steps


def serve(load):
    """Answer what comes in; `load(settings)` returns (open_stream, what is worth keeping).

    `open_stream()` returns (feed, finish) for a new utterance. What else is printed, by whatever
    library, goes to stderr.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(**line):
        out.write(json.dumps(line) + "\n")
        out.flush()

    settings = json.loads(sys.stdin.readline())
    open_stream, about = load(settings)
    say(ready=about)
    for line in sys.stdin:
        asked = json.loads(line)
        samples = np.load(asked["samples"])
        steps = streamed(samples, settings["step_s"], *open_stream())
        say(id=asked["id"], audio_s=len(samples) / RATE, steps=steps)
