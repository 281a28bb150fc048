"""What a live server makes of the decoder: the real WhisperLiveKit, fed at the pace of speech.

    python benchmarks/live_server.py [--clips 12] [--pace 1] [--minutes 10] [--sessions 32]

Starts `wlk-alignheads` on loopback, with the server's voice detection and without, streams the
same clips to it over its WebSocket as raw samples, and compares with `StreamDecoder` on the same
audio: errors, and how much later each word arrives. With `--sessions`, then finds how many streams
at once it keeps up with. Needs the extra `whisperlivekit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from alignheads.commandline import run, say
from alignheads.corpora import Utterance, load_corpus
from alignheads.corpora.audio import SAMPLE_RATE
from alignheads.corpora.matching import match_words, plain_text
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.latency import Distribution
from alignheads.evaluate.timed import pieces
from alignheads.runtime.models.model import SpeechModel
from alignheads.runtime.stream.decoder import StreamDecoder, Word

CHUNK_S = 0.1
READY_S = 60.0
HOLDS_S = 2.0
"""A session holds real time if its last words come so soon after its last audio: a last step, and
one that was due shortly before. One that falls behind is later the longer it has spoken."""


@dataclass(frozen=True)
class Server:
    """A running server: where it is, which process, and its log."""

    port: int
    process: subprocess.Popen
    log: Path

    def url(self, **query: str) -> str:
        """Of its WebSocket."""
        rest = "&".join(f"{key}={value}" for key, value in query.items())
        return f"ws://127.0.0.1:{self.port}/asr?{rest}"

    @property
    def page(self) -> str:
        """Its web page; a browser gives its microphone to `localhost`, not to any address."""
        return f"http://localhost:{self.port}/"

    def resident_mb(self) -> float:
        """Memory of the process, from /proc (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024


@contextlib.contextmanager
def running_server(log: Path, *options: str) -> Iterator[Server]:
    """`wlk-alignheads --pcm-input` on a free port of loopback, ready, and ended afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "wlk-alignheads"), "--pcm-input"]
    command += ["--host", "127.0.0.1", "--port", str(port), *options]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    server = Server(port, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: Server) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and server.process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=5).read()
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{server.log.read_text()[-2000:]}")


@dataclass
class Heard:
    """What a client was told.

    Attributes:
        updates: seconds since the first audio was sent, and the message.
        sent_s: when the last of the audio was sent.
    """

    updates: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    sent_s: float = 0.0

    @property
    def text(self) -> str:
        """All committed words."""
        return next((t for _, m in reversed(self.updates) if (t := committed(m))), "")

    @property
    def arrivals(self) -> list[tuple[str, float]]:
        """Each committed word, and when the client first had it."""
        words: list[tuple[str, float]] = []
        for at_s, message in self.updates:
            new = committed(message).split()[len(words) :]
            words += [(word, at_s) for word in new]
        return words

    @property
    def drafts(self) -> list[str]:
        """The buffers that were shown."""
        found = (message.get("buffer_transcription", "") for _, message in self.updates)
        return [draft for draft in found if draft]


def committed(message: dict[str, Any]) -> str:
    """The committed text in a message of the server (its mode "full")."""
    lines = message.get("lines", [])
    return " ".join(" ".join(line["text"] for line in lines if line.get("text")).split())


def as_pcm(samples: np.ndarray) -> bytes:
    """Samples as the server's 16 bit ones."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


async def session(
    url: str, samples: np.ndarray, *, pace: float = 1.0, chunk_s: float = CHUNK_S
) -> Heard:
    """Stream `samples` [n] float, 16 kHz, to a server; `pace` times as fast as speech."""
    import websockets

    heard, chunk = Heard(), int(chunk_s * SAMPLE_RATE)
    async with websockets.connect(url, max_size=None, ping_interval=None) as socket:
        start = time.monotonic()

        async def listen() -> None:
            async for message in socket:
                heard.updates.append((time.monotonic() - start, json.loads(message)))
                if heard.updates[-1][1].get("type") == "ready_to_stop":
                    return

        listening = asyncio.create_task(listen())
        for place in range(0, len(samples), chunk):
            end = min(len(samples), place + chunk)  # a chunk is there when its end was spoken
            await asyncio.sleep(max(0.0, start + end / SAMPLE_RATE / pace - time.monotonic()))
            await socket.send(as_pcm(samples[place:end]))
        heard.sent_s = time.monotonic() - start
        await socket.send(b"")
        await asyncio.wait_for(listening, 60)
    return heard


def streamed(model: SpeechModel, samples: np.ndarray) -> list[Word]:
    """What `decode-stream` says of the same audio, as 16 bit samples."""
    stream, words = StreamDecoder(model), []
    exact = np.frombuffer(as_pcm(samples), "<i2").astype(np.float32) / 32768
    for piece in pieces(exact, stream.config.step_s):
        words += stream.feed(piece)
    return words + stream.finish()


def added_s(heard: Heard, words: Sequence[Word]) -> list[float]:
    """How long after a decoder at no distance each word arrived: its arrival less its emission."""
    arrivals = heard.arrivals
    matches = match_words([text for text, _ in arrivals], [word.text for word in words])
    return [
        arrivals[match.hypothesis][1] - words[match.reference].emitted_s
        for match in matches
        if match.equal
    ]


def live_server(
    clips: Annotated[
        int, typer.Option(help="Demo clips to stream, one after the other; 0: none.")
    ] = 12,
    pace: Annotated[float, typer.Option(help="Times the speed of speech.")] = 1.0,
    minutes: Annotated[float, typer.Option(help="Then stream this long, and watch memory.")] = 0,
    minutes_pace: Annotated[float, typer.Option(help="Times the speed of speech, there.")] = 1.0,
    sessions: Annotated[
        int, typer.Option(help="Then find how many sessions hold real time, up to so many.")
    ] = 0,
    session_seconds: Annotated[float, typer.Option(help="How long each of them speaks.")] = 30.0,
    session_model: Annotated[str, typer.Option(help="For these, a model or a folder.")] = "tiny",
    log: Annotated[Path, typer.Option(help="The servers' log.")] = Path("live_server.log"),
) -> None:
    """Stream demo clips to a real server, and print what it makes of them."""
    every = load_corpus("demo:all").utterances
    if clips:
        compare(every[:clips], pace, log)
    if minutes:
        with running_server(log) as server:
            watch_memory(server, every[: clips or None], minutes, minutes_pace)
    if sessions:
        # All speak all the time: what a pause saves is not counted on.
        with running_server(log, "--no-vac", "--model", session_model) as server:
            holding = most_in_real_time(server, every, session_seconds, sessions)
        print(f"sessions that hold real time: {holding} of up to {sessions} ({session_model})")


def compare(utterances: Sequence[Utterance], pace: float, log: Path) -> None:
    """Errors and delays of the server, with its voice detector and without."""
    model = SpeechModel.load("tiny")
    ours = [streamed(model, u.read()) for u in utterances]
    references = [plain_text(u.text) for u in utterances]
    texts = [plain_text(" ".join(word.text for word in words)) for words in ours]
    print(f"{'decode-stream':>16}  WER {_percent(references, texts)}")
    for name, options in (("server", ()), ("server --no-vac", ("--no-vac",))):
        with running_server(log, *options) as server:
            heard = [asyncio.run(session(server.url(), u.read(), pace=pace)) for u in utterances]
        _report(name, references, texts, heard, ours)


def late_s(server: Server, utterances: Sequence[Utterance], seconds: float, count: int) -> float:
    """How long after the last audio the last of `count` sessions had its last words.

    All begin at the same moment, with speech of their own, for `seconds`.
    """
    wanted = int(seconds * SAMPLE_RATE)
    whole = np.concatenate([u.read() for u in utterances])
    whole = np.tile(whole, 1 + -(-wanted // len(whole)))

    async def all_of_them() -> list[Heard]:
        starts = [(number * SAMPLE_RATE * 3) % (len(whole) - wanted) for number in range(count)]
        speaking = [session(server.url(), whole[at : at + wanted]) for at in starts]
        return await asyncio.gather(*speaking)

    try:
        heard = asyncio.run(all_of_them())
    except TimeoutError:  # a minute later they had not come
        return float("inf")
    return max(one.updates[-1][0] - one.sent_s for one in heard)


def most_in_real_time(
    server: Server, utterances: Sequence[Utterance], seconds: float, most: int
) -> int:
    """The most sessions, up to `most`, whose last words come within `HOLDS_S`; 0: not even one.

    Doubled while it holds, then halved between what held and what did not.
    """
    holding, failing, count = 0, most + 1, 1
    while holding + 1 < failing:
        behind_s = late_s(server, utterances, seconds, count)
        holds = behind_s <= HOLDS_S
        say(f"{count} sessions: {behind_s:.2f} s behind, {'holds' if holds else 'does not hold'}")
        if holds:
            holding = count
        else:
            failing = count
        count = min(2 * count, most) if failing > most else (holding + failing) // 2
    return holding


def _percent(references: Sequence[str], texts: Sequence[str]) -> str:
    rate = word_errors(references, texts).rate
    return "none" if rate is None else f"{100 * rate:.1f} %"


def _report(
    name: str,
    references: Sequence[str],
    texts: Sequence[str],
    heard: Sequence[Heard],
    ours: Sequence[Sequence[Word]],
) -> None:
    said = [plain_text(one.text) for one in heard]
    same = sum(a == b for a, b in zip(said, texts, strict=True))
    added = Distribution.of(s for h, w in zip(heard, ours, strict=True) for s in added_s(h, w))
    print(
        f"{name:>16}  WER {_percent(references, said)}, same text as decode-stream {same} of "
        f"{len(said)}, added delay {told(added)}"
    )


def told(added_s: Distribution) -> str:
    """Delays as they are printed."""
    if added_s.p50 is None or added_s.p90 is None:
        return "none: no word is the same"
    return f"p50 {added_s.p50:.2f} s, p90 {added_s.p90:.2f} s (of {added_s.count} words)"


def watch_memory(
    server: Server, utterances: Sequence[Utterance], minutes: float, pace: float
) -> list[float]:
    """Stream the clips over and over in one session, and print the memory each tenth of it."""
    samples = np.concatenate([u.read() for u in utterances])
    wanted = int(minutes * 60 * SAMPLE_RATE)
    samples = np.tile(samples, -(-wanted // len(samples)))[:wanted]
    readings: list[float] = []

    async def watched() -> Heard:
        streaming = asyncio.create_task(session(server.url(), samples, pace=pace))
        while not streaming.done():
            await asyncio.wait([streaming], timeout=minutes * 60 / pace / 10)
            readings.append(server.resident_mb())
            say(f"{len(readings) / 10:4.0%} of {minutes:g} minutes: {readings[-1]:.0f} MB")
        return streaming.result()

    asyncio.run(watched())
    return readings


if __name__ == "__main__":
    run(live_server)
