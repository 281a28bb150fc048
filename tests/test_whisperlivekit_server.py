"""The backend in the real WhisperLiveKit, over its real socket, and in a real browser.

Heavy (PyTorch), so it runs only where that server is installed: `pytest -m whisperlivekit`.
`--live-minutes` streams longer in the test of memory.
"""

import asyncio
import contextlib
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from alignheads import DecoderConfig, InputError
from alignheads.corpora.matching import plain_text
from alignheads.evaluate.error_rates import word_errors
from alignheads.evaluate.latency import Distribution

pytest.importorskip("whisperlivekit", reason="needs the extra whisperlivekit (heavy: PyTorch)")
pytestmark = [
    pytest.mark.whisperlivekit,
    pytest.mark.filterwarnings("default"),  # that server's, and PyTorch's, are not ours to mend
]

FOLDER = Path(__file__).parent.parent / "benchmarks"
RATE = 16_000
BACKEND = "qwen3-mlx-simul"


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    sys.modules.pop("live_server", None)


@pytest.fixture(scope="module")
def server(benchmarks, tmp_path_factory):
    from live_server import running_server

    with running_server(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def clips(demo):
    return [utterance.read() for utterance in demo.utterances]


@pytest.fixture(scope="module")
def engine(benchmarks):
    """The server's engine in this process."""
    import torch
    import whisperlivekit

    from alignheads.runtime.whisperlivekit.server import register

    register()
    register()  # a second time changes nothing
    torch.set_num_threads(1)  # as `serve` does
    whisperlivekit.TranscriptionEngine.reset()
    yield whisperlivekit.TranscriptionEngine(backend=BACKEND, model_size="tiny", pcm_input=True)
    whisperlivekit.TranscriptionEngine.reset()


def similar(said, expected):
    """The share of words that are right."""
    counts = word_errors([plain_text(expected)], [plain_text(said)])
    return counts.hits / counts.reference


# Text and delay


def test_without_voice_detection_the_server_says_what_decode_stream_says(
    benchmarks, tiny, clips, tmp_path, capsys
):
    from live_server import added_s, running_server, session, streamed, told

    ours = [streamed(tiny, samples) for samples in clips[:3]]
    with running_server(tmp_path / "log", "--no-vac") as server:
        heard = [asyncio.run(session(server.url(), samples)) for samples in clips[:3]]
    assert [one.text for one in heard] == [" ".join(w.text for w in words) for words in ours]
    added = Distribution.of(s for one, w in zip(heard, ours, strict=True) for s in added_s(one, w))
    with capsys.disabled():
        print(f"\nadded by the server, without voice detection: {told(added)}")
    assert added.count > 10
    assert -0.1 < added.p50 < 1.0
    # a word comes while its audio plays, not when all has been sent
    first = [one.arrivals[0][1] for one in heard]
    assert all(at_s < one.sent_s for at_s, one in zip(first, heard, strict=True))


def test_with_voice_detection_the_errors_are_those_of_decode_stream(
    server, tiny, demo, clips, capsys
):
    from live_server import added_s, session, streamed, told

    chosen = slice(3, 8)

    async def all_at_once():
        return await asyncio.gather(*(session(server.url(), samples) for samples in clips[chosen]))

    heard = asyncio.run(all_at_once())
    ours = [streamed(tiny, samples) for samples in clips[chosen]]
    references = [plain_text(utterance.text) for utterance in demo.utterances[chosen]]
    live = word_errors(references, [plain_text(one.text) for one in heard])
    direct = word_errors(references, [plain_text(" ".join(w.text for w in ws)) for ws in ours])
    added = Distribution.of(s for one, w in zip(heard, ours, strict=True) for s in added_s(one, w))
    with capsys.disabled():
        print(
            f"\nWER in the server {100 * live.rate:.1f} %, of decode-stream "
            f"{100 * direct.rate:.1f} %; added by the server, 5 sessions at once: {told(added)}"
        )
    assert live.errors <= direct.errors + 1
    assert any(one.drafts for one in heard)


def test_words_only_grow_and_the_final_text_has_no_draft_in_it(server, clips):
    from live_server import committed, session

    heard = asyncio.run(session(server.url(), clips[2], pace=2))
    texts = [committed(message) for _, message in heard.updates]
    pairs = itertools.pairwise(text for text in texts if text)
    assert all(after.startswith(before) for before, after in pairs)
    assert heard.updates[-1][1] == {"type": "ready_to_stop"}
    assert heard.updates[-2][1]["buffer_transcription"] == ""


# Sessions


async def cut_off(url, samples):
    """A client that goes away in the middle of a word, without a farewell."""
    import websockets
    from live_server import as_pcm

    async with websockets.connect(url) as socket:
        await socket.send(as_pcm(samples))  # all of it at once: more than can be decoded by then
        await asyncio.sleep(0.3)
        socket.transport.abort()


async def garbage(url, kind):
    import websockets

    dice = random.Random(0)
    async with websockets.connect(url) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(30):
                await socket.send("{nonsense" if kind == "text" else dice.randbytes(1_777))
                await asyncio.sleep(0.05)


async def nothing(url, seconds):
    import websockets

    async with websockets.connect(url):
        await asyncio.sleep(seconds)


def test_six_sessions_at_once_with_bad_company(server, clips, demo):
    from live_server import session

    chosen = slice(2, 8)

    async def together():
        url = server.url()
        long = np.tile(clips[3], 20)
        others = [cut_off(url, long), garbage(url, "text"), garbage(url, "bytes"), nothing(url, 4)]
        bad = [asyncio.create_task(one) for one in others]
        heard = await asyncio.gather(*(session(url, samples) for samples in clips[chosen]))
        await asyncio.gather(*bad)
        return heard

    heard = asyncio.run(together())
    for one, utterance in zip(heard, demo.utterances[chosen], strict=True):
        assert similar(one.text, utterance.text) >= 0.9, utterance.text
    # and the server goes on
    again = asyncio.run(session(server.url(), clips[2], pace=2))
    assert similar(again.text, demo.utterances[2].text) >= 0.9
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "could not decode" not in log


def test_a_language_that_the_model_does_not_know_is_told_to_the_client(server, clips, demo):
    import websockets
    from live_server import session

    async def refused():
        async with websockets.connect(server.url(language="xx")) as socket:
            message = json.loads(await socket.recv())
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            return message, closed.value.rcvd.code

    message, code = asyncio.run(refused())
    assert message["type"] == "error"
    assert "does not know the language 'xx'; it knows English" in message["error"]
    assert code == 4400
    for language in ("en", "English", "auto"):
        heard = asyncio.run(session(server.url(language=language), clips[1], pace=3))
        assert similar(heard.text, demo.utterances[1].text) >= 0.9
        assert heard.updates[-2][1]["lines"][0]["detected_language"] == "en"


def test_memory_stays_flat(server, demo, request, capsys):
    from live_server import watch_memory

    minutes = request.config.getoption("--live-minutes")
    readings = watch_memory(server, demo.utterances[:8], minutes, pace=4.0 if minutes < 5 else 1.0)
    with capsys.disabled():
        print(f"\nmemory over {minutes:g} minutes: {' '.join(f'{mb:.0f}' for mb in readings)} MB")
    # the first tenth warms caches up; the transcript itself stays, in the server's mode "full"
    assert max(readings[len(readings) // 2 :]) <= readings[1] + 25


# The processor, in the server's own engine


def test_the_interface_is_the_server_s(engine, clips):
    from whisperlivekit.core import online_factory
    from whisperlivekit.timed_objects import ASRToken, Transcript

    from alignheads.runtime.whisperlivekit.session import Qwen3SimulASR

    assert isinstance(engine.asr, Qwen3SimulASR)
    assert engine.args.backend == BACKEND
    assert engine.args.transcription
    one = online_factory(engine.args, engine.asr)
    other = online_factory(engine.args, engine.asr, language="en")
    assert one.asr.model is other.asr.model
    tokens = []
    for start in range(0, len(clips[2]), RATE):
        part = clips[2][start : start + RATE]
        one.insert_audio_chunk(part, (start + len(part)) / RATE)
        tokens += one.process_iter()[0]
        assert isinstance(one.get_buffer(), Transcript)
    tokens += one.start_silence()[0]
    assert all(isinstance(token, ASRToken) for token in tokens)
    assert all(token.text.strip() and token.start <= token.end for token in tokens)
    assert {token.detected_language for token in tokens} == {"en"}
    assert one.finish()[0] == []
    assert other.finish() == ([], 0.0)


def test_recent_audio_is_found_by_where_it_is(engine):
    from alignheads.runtime.whisperlivekit.session import RecentAudio

    recent, audio = RecentAudio(1.0), np.arange(5 * RATE, dtype=np.float32)
    for start in range(0, len(audio), 700):
        recent.add(audio[start : start + 700], start)
    stop = len(audio)
    assert np.array_equal(recent.between(stop - 9_000, stop - 8), audio[-9_000:-8])
    assert recent.between(stop, stop + 9).size == 0
    kept = recent.between(0, stop)  # the first of it is gone
    assert np.array_equal(kept, audio[-len(kept) :])
    assert RATE - 700 <= len(kept) <= RATE + 700


def test_what_was_shown_and_not_said_is_not_taken_for_words(engine, clips, monkeypatch):
    """The server makes words of the last buffer where `finish` brings none."""
    from alignheads.runtime.whisperlivekit.session import Qwen3SimulOnlineProcessor

    session = Qwen3SimulOnlineProcessor(engine.asr)
    session.insert_audio_chunk(clips[2][: 2 * RATE], 2.0)
    session.process_iter()
    shown = session.get_buffer()
    assert shown.text
    session.finish()
    assert shown.text == ""


def test_an_engine_that_fails_once_costs_no_session(engine, clips, demo, monkeypatch, caplog):
    """In the server, not beside it: there an exception would end the session in silence."""
    from alignheads.runtime.models.qwen3.source import Qwen3Source

    works, calls = Qwen3Source.hypothesis, []

    def fails(self, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("no room")
        return works(self, *arguments)

    monkeypatch.setattr(Qwen3Source, "hypothesis", fails)
    text = asyncio.run(processed(engine, clips[2]))
    assert similar(text, demo.utterances[2].text) >= 0.9
    assert "could not decode; the session goes on" in caplog.text


async def processed(engine, samples):
    """The text of the server's AudioProcessor, fed in this process at 4 times speech."""
    from live_server import as_pcm
    from whisperlivekit import AudioProcessor

    processor, last = AudioProcessor(transcription_engine=engine), None
    results = await processor.create_tasks()

    async def collect():
        nonlocal last
        async for result in results:
            last = result

    collecting = asyncio.create_task(collect())
    for start in range(0, len(samples), RATE // 5):
        await processor.process_audio(as_pcm(samples[start : start + RATE // 5]))
        await asyncio.sleep(0.05)
    await processor.process_audio(b"")
    await asyncio.wait_for(collecting, 60)
    await processor.cleanup()
    return " ".join(line.text for line in last.lines if line.text)


def test_a_session_left_behind_does_not_go_on_decoding(engine, clips):
    from whisperlivekit import AudioProcessor

    async def left():
        from live_server import as_pcm

        processor = AudioProcessor(transcription_engine=engine)
        await processor.create_tasks()
        await processor.process_audio(as_pcm(np.tile(clips[3], 20)[: 5 * RATE]))
        await asyncio.sleep(0.1)
        await processor.cleanup()
        return processor

    processor = asyncio.run(left())
    words, until_s = processor.transcription.process_iter()
    assert words == []
    assert processor.transcription.process_iter() == ([], until_s)


# Options


@pytest.fixture
def heads_of_another_model(tmp_path):
    path = tmp_path / "decoder_config.json"
    DecoderConfig.bundled("0.6b").save(path)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"custom_alignment_heads": "nowhere.json"}, "nowhere.json"),
        ({"custom_alignment_heads": "0.6b"}, "Qwen3-ASR-0.6B"),
        ({"decoder_config": "nowhere.json"}, "nowhere.json"),
        ({"lan": "xx"}, "does not know the language 'xx'"),
        ({"model_size": "tiny.en"}, "unknown model 'tiny.en'; Whisper's is called whisper-tiny.en"),
        ({"border_fraction": 1.5}, "border_fraction is 1.5"),
        ({"border_fraction": 0.1, "border_s": 0.4}, "both are"),
        ({"step_s": -1.0}, "step_s is -1"),
        ({"warmup_file": "nowhere.wav"}, "nowhere.wav"),
        ({"backend_policy": "localagreement"}, "backend_policy is 'localagreement'"),
        ({"beams": 4}, "beams is 4, which has no effect on qwen3-mlx-simul"),
        ({"direct_english_translation": True}, "task is 'translate', but Qwen3-ASR"),
    ],
)
def test_options_that_cannot_be_followed(benchmarks, options, message):
    import whisperlivekit

    from alignheads.runtime.whisperlivekit.server import register

    register()
    # That server gives no public way to put its one engine back.
    kept = whisperlivekit.TranscriptionEngine._instance
    whisperlivekit.TranscriptionEngine.reset()
    try:
        with pytest.raises(InputError, match=message):
            whisperlivekit.TranscriptionEngine(
                **{"backend": BACKEND, "model_size": "tiny", "vac": False, **options}
            )
    finally:
        whisperlivekit.TranscriptionEngine._instance = kept
        whisperlivekit.TranscriptionEngine._initialized = kept is not None


def parsed(monkeypatch, *arguments):
    import whisperlivekit

    from alignheads.runtime.whisperlivekit.server import register

    register()
    monkeypatch.setattr(sys, "argv", ["wlk-alignheads", *arguments])
    return whisperlivekit.parse_args()


def test_the_command_line_knows_the_backend_and_keeps_the_others(monkeypatch):
    ours = parsed(
        monkeypatch, "--backend", BACKEND, "--border-fraction", ".2", "--step-s", "0.5",
        "--decoder-config", "c.json", "--custom-alignment-heads", "h.json",
    )  # fmt: skip
    assert (ours.backend, ours.model_size, ours.border_fraction) == (BACKEND, "tiny", 0.2)
    assert (ours.decoder_config, ours.custom_alignment_heads, ours.step_s) == (
        "c.json",
        "h.json",
        0.5,
    )
    whisper = parsed(monkeypatch, "--no-vac")
    assert (whisper.backend, whisper.model_size, whisper.vac) == ("auto", "base", False)
    assert parsed(monkeypatch, "--backend", BACKEND, "--model", "base").model_size == "base"
    with pytest.raises(InputError, match="invalid choice: 'nonsense'"):
        parsed(monkeypatch, "--backend", "nonsense")


def started(*arguments):
    command = Path(sys.executable).parent / "wlk-alignheads"
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60)


def test_a_server_that_cannot_start_says_why_on_one_line(tmp_path, heads_of_another_model):
    done = started("--decoder-config", str(heads_of_another_model), "--pcm-input")
    assert done.returncode == 2
    assert done.stderr.startswith("wlk-alignheads: the decoder configuration is for 0.6b, not for")
    assert done.stderr.count("\n") == 1
    done = started("--nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("wlk-alignheads: unrecognized arguments: --nonsense")
    assert done.stderr.count("\n") == 1


def test_the_server_s_own_options_are_listed():
    done = started("--server-help")
    assert done.returncode == 0
    for option in ("--ssl-certfile", "--diarization", "--decoder-config", BACKEND):
        assert option in done.stdout


# The page


@pytest.fixture
def browser(tmp_path, demo):
    """Chromium without a screen, whose microphone is a demo file: (driver, seconds of it)."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("needs chromium and chromedriver (Debian: chromium chromium-driver)")
    samples = np.concatenate([demo.utterances[3].read(), np.zeros(2 * RATE, np.float32)])
    soundfile.write(tmp_path / "microphone.wav", samples, RATE, subtype="PCM_16")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    for argument in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "window-size=1000,600", f"user-data-dir={tmp_path / 'profile'}",
        "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream",
        f"use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}%noloop",
    ):  # fmt: skip
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(paths[1]))
    yield driver, len(samples) / RATE
    driver.quit()


# At one moment: the page builds its lines anew with every update.
COMMITTED_WORDS = """
const lines = [...document.querySelectorAll("#linesTranscript .textcontent")];
return lines.map((line) => {
  const copy = line.cloneNode(true);
  copy.querySelectorAll(".buffer_transcription").forEach((draft) => draft.remove());
  return copy.textContent.trim();
}).join(" ").trim();
"""


def test_words_appear_in_the_page_while_somebody_speaks(
    server, browser, demo, tmp_path, request, capsys
):
    driver, length_s = browser
    driver.get(server.page)
    folder = Path(request.config.getoption("--screenshots") or tmp_path)

    def text():
        return driver.execute_script(COMMITTED_WORDS)

    driver.find_element("id", "recordButton").click()
    start, seen = time.monotonic(), {}
    while time.monotonic() - start < length_s:
        seen[time.monotonic() - start] = text()
        if len(seen) == 30:
            driver.save_screenshot(str(folder / "live.png"))
        time.sleep(0.2)
    driver.find_element("id", "recordButton").click()
    status = driver.find_element("id", "status")
    until = time.monotonic() + 15
    while "Finished" not in status.text and time.monotonic() < until:
        time.sleep(0.1)
    driver.save_screenshot(str(folder / "live_finished.png"))
    first_s = next((at_s for at_s, words in seen.items() if words), None)
    with capsys.disabled():
        print(f"\nin the browser: first words after {first_s} s; at the end: {text()}")
    assert "Finished" in status.text
    assert first_s is not None
    assert first_s < length_s / 2
    assert similar(text(), demo.utterances[3].text) >= 0.7
