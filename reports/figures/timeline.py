"""A stream as it happened: what was heard, when each word was said and when it came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...corpora.matching import match_words
from ...evaluate.latency import CommittedWord
from ...evaluate.result import Utterance
from ...evaluate.trace_types import GoldWord, Trace
from ...evaluate.traces import unpacked_mel
from ...wording import counted
from .attention import visible
from .style import BLUE, FAINT, MUTED, SMALL_PT, VERMILLION, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEL_ID = "mel"
"""The id of the spectrogram's image in an SVG: a page may turn it dark."""

_ROW_IN = 0.17
_PER_SECOND_IN = 0.62


@dataclass(frozen=True)
class TimelineWord:
    """A word of the stream. Gold times are None where the word was not said, or is not known.

    `emitted_s`: audio received when it was committed; None for a gold word that never was.
    `probability`: the model's; None where it is not known. `said`: what was said in its place.
    """

    text: str
    start_s: float | None
    end_s: float | None
    emitted_s: float | None
    probability: float | None = None
    said: str | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it was not said, or never came."""
        return self.said is not None or self.start_s is None or self.emitted_s is None

    @property
    def delay_s(self) -> float | None:
        """From its end to its commit; None where it was not said or never came."""
        if self.is_wrong or self.emitted_s is None or self.end_s is None:
            return None
        return self.emitted_s - self.end_s


@dataclass(frozen=True)
class Attended:
    """A token at a step: the moment it looked at, the audio received, what became of it."""

    attended_s: float
    audio_s: float
    kind: str


@dataclass(frozen=True)
class Timeline:
    """`mel`: [channels, frames] over `seconds`, None if there is none.

    `steps`: (audio received, start of the buffer, border in s or None) of each step.
    """

    seconds: float
    mel: np.ndarray | None
    words: tuple[TimelineWord, ...]
    attended: tuple[Attended, ...]
    steps: tuple[tuple[float, float, float | None], ...]
    title: str
    subtitle: str


def timeline_info(trace: Trace, utterance: Utterance, name: str) -> Timeline:
    """The data of the figure, of a traced utterance of the run called `name`."""
    committed = [word for word in utterance.words or () if word.emitted_s <= trace.seconds + 0.01]
    words = _words(committed, trace.gold, trace.seconds)
    # Without gold times the words' own say nothing of delay: the page has none either.
    delays = [w.delay_s for w in words if w.delay_s is not None and trace.gold is not None]
    title = f"{name} commits {counted(len(committed), 'word')} of {trace.id}"
    if delays:
        title += f", on average {np.mean(delays):.2f} s after each ends".replace("-", "−")
    attended = [
        Attended(token.attended_s, step.audio_s, _kind(token.committed, token.reason))
        for step in trace.steps
        for token in step.tokens
    ]
    return Timeline(
        seconds=trace.seconds,
        mel=unpacked_mel(trace.mel) if trace.mel else None,
        words=tuple(words),
        attended=tuple(attended),
        steps=tuple((step.audio_s, step.buffer_start_s, step.border_s) for step in trace.steps),
        title=title,
        subtitle="" if trace.gold is not None else "the corpus has no word times: times are ours",
    )


def _kind(is_committed: bool, reason: str) -> str:
    if is_committed:
        return "committed"
    return "doubted" if reason in ("rewind", "sink", "lost") else "waits"


def _words(
    committed: list[CommittedWord], gold: list[GoldWord] | None, seconds: float
) -> list[TimelineWord]:
    """Committed words at their gold times, gold words that never came at theirs, in order."""
    if gold is None:
        return [
            TimelineWord(w.text, w.start_s, w.end_s, w.emitted_s, w.probability) for w in committed
        ]
    matches = match_words([w.text for w in committed], [w.text for w in gold])
    said = {match.hypothesis: gold[match.reference] for match in matches}
    wrong = {match.hypothesis for match in matches if not match.equal}
    found = [
        (
            said[index].start_s if index in said else word.start_s,
            TimelineWord(
                word.text,
                said[index].start_s if index in said else None,
                said[index].end_s if index in said else None,
                word.emitted_s,
                word.probability,
                said[index].text if index in wrong else None,
            ),
        )
        for index, word in enumerate(committed)
    ]
    came = {match.reference for match in matches}
    found += [
        (word.start_s, TimelineWord(word.text, word.start_s, word.end_s, None))
        for index, word in enumerate(gold)
        if index not in came and word.end_s <= seconds
    ]
    return [word for _, word in sorted(found, key=lambda pair: pair[0])]


def timeline(info: Timeline) -> Figure:
    """Spectrogram, words from when they are said to when they are out, and the frames attended."""
    rows_in = max(0.8, _ROW_IN * len(info.words))
    width = float(np.clip(_PER_SECOND_IN * info.seconds + 1.2, 7.2, 16))
    heights = [0.7, rows_in, 2.3]
    with new_figure(width, sum(heights) + 1.2, info.title, info.subtitle) as figure:
        mel, words, policy = figure.subplots(3, 1, sharex=True, height_ratios=heights)
        _draw_mel(mel, info)
        _draw_words(words, info, (width - 1.2) / info.seconds)
        _draw_policy(policy, info)
        policy.set_xlim(0, info.seconds)
        policy.set_xlabel("time in the audio (s)")
        figure.legend(loc="outside lower left", ncols=3)
    return figure


def _draw_mel(axes: Axes, info: Timeline) -> None:
    axes.set_yticks([])
    axes.set_ylabel("mel", rotation=0, ha="right", va="center")
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    if info.mel is None:
        axes.annotate("no spectrogram in the file", (0.5, 0.5), xycoords="axes fraction",
                      ha="center", va="center", color=MUTED, size=SMALL_PT)  # fmt: skip
        return
    image = axes.imshow(
        info.mel, origin="lower", aspect="auto", cmap="Greys", interpolation="bilinear",
        extent=(0, info.seconds, 0, info.mel.shape[0]), vmin=60, vmax=255,
    )  # fmt: skip
    image.set_gid(MEL_ID)


def _draw_words(axes: Axes, info: Timeline, inches_per_s: float) -> None:
    """A row a word: a bar while it is said, a line until it is out."""
    for row, word in enumerate(info.words):
        colour = VERMILLION if word.is_wrong else BLUE
        places = [t for t in (word.start_s, word.end_s, word.emitted_s) if t is not None]
        if word.start_s is not None and word.end_s is not None:
            axes.barh(row, word.end_s - word.start_s, 0.62, left=word.start_s, color=colour,
                      linewidth=0)  # fmt: skip
            if word.emitted_s is not None:
                axes.plot([word.end_s, word.emitted_s], [row, row], color=colour, linewidth=0.9)
        if word.emitted_s is not None:
            axes.plot(word.emitted_s, row, ">", color=colour, markersize=4, clip_on=False)
        _label_word(axes, row, word, places, info.seconds, inches_per_s)
    axes.set_ylim(len(info.words) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_ylabel("said\n→ out", rotation=0, ha="right", va="center")
    axes.grid(axis="x")
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="x", length=0, labelbottom=False)


def _label_word(
    axes: Axes, row: int, word: TimelineWord, places: list[float], seconds: float, per_s: float
) -> None:
    """The text on the side where there is room: after it is out, or before it is said."""
    text = shortened(visible(word.text), 20)
    if word.probability is not None:
        text += f"  {100 * word.probability:.0f} %"
    if word.said is not None:
        text += f" (said: {shortened(visible(word.said), 20)})"
    elif word.start_s is None:
        text += " (not said)"
    elif word.emitted_s is None:
        text += " (missed)"
    is_late = (seconds - max(places)) * per_s < 0.09 * len(text) + 0.15
    axes.annotate(
        text,
        (min(places) if is_late else max(places), row),
        xytext=(-4 if is_late else 5, 0),
        textcoords="offset points",
        size=SMALL_PT,
        ha="right" if is_late else "left",
        va="center_baseline",
    )


def _draw_policy(axes: Axes, info: Timeline) -> None:
    """A line a step, its border at the end; dots where the tokens looked."""
    from matplotlib.collections import LineCollection

    heard = [((start, audio), (audio, audio)) for audio, start, _ in info.steps]  # (x, y) pairs
    axes.add_collection(LineCollection(heard, colors=FAINT, linewidths=1.2, zorder=1))
    borders = [
        ((max(start, audio - border), audio), (audio, audio))
        for audio, start, border in info.steps
        if border is not None
    ]
    axes.add_collection(
        LineCollection(borders, colors=VERMILLION, linewidths=4, alpha=0.3, zorder=1,
                       label="border: too near the end")
    )  # fmt: skip
    styles: dict[str, tuple[str, dict[str, Any]]] = {
        "committed": (
            "token committed: the moment it attended to",
            {"marker": "o", "facecolor": BLUE, "edgecolor": BLUE},
        ),
        "waits": ("token waits", {"marker": "o", "facecolor": "none", "edgecolor": VERMILLION}),
        "doubted": (
            "token waits: its heads jumped back",
            {"marker": "x", "color": VERMILLION},
        ),
    }
    for kind, (label, style) in styles.items():
        shown = [token for token in info.attended if token.kind == kind]
        if shown:
            axes.scatter(
                [token.attended_s for token in shown],
                [token.audio_s for token in shown],
                s=15,
                linewidths=0.9,
                zorder=3,
                label=label,
                **style,
            )
    last = max([audio for audio, *_ in info.steps], default=1.0)
    axes.set_ylim(1.06 * max(last, 0.5), 0)
    axes.set_ylabel("audio\nheard (s)", rotation=0, ha="right", va="center")
    axes.grid(axis="x")
