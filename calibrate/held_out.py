"""The chosen configuration and the baselines on speech that no trial saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..evaluate.intervals import paired_difference, rate_interval
from ..runtime.stream.config import DecoderConfig
from .result import Comparison, HeldOut, Point, Setting
from .scoring import Score, Streamer, score
from .speech import Recording, Speech

_SHOWN = (
    "border_fraction", "border_s", "rewind_fraction", "unsure_s", "head_count", "step_s",
    "max_audio_s", "aggregate", "reuse", "refresh_s",
)  # fmt: skip


def score_held_out(
    configs: Mapping[str, DecoderConfig],
    test: Speech,
    streamer: Callable[[DecoderConfig, Sequence[Recording], Callable[[], object]], Streamer],
    progress: Callable[[int, int], object] | None = None,
) -> HeldOut:
    """Score `configs` by name; each but the first is compared with the first.

    Args:
        configs: see there.
        test: the speech.
        streamer: gives what streams the recordings of it, one after another, with one of the
            configurations; called with what counts them.
        progress: called with the streams done, and in all.

    Raises:
        Exception: what streaming raises.
    """
    done, total = 0, len(configs) * len(test.recordings)
    scores: dict[str, Score] = {}

    def count() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for name, config in configs.items():
        scores[name] = score(test.recordings, streamer(config, test.recordings, count))
    first, *others = configs
    return HeldOut(
        corpus=test.info,
        utterances=[utterance.id for utterance in test.corpus.utterances],
        points=[_point(name, configs[name], found) for name, found in scores.items()],
        comparisons=[_comparison(first, other, scores) for other in others],
    )


def _point(name: str, config: DecoderConfig, found: Score) -> Point:
    return Point(
        name=name,
        config=settings(config),
        wer=rate_interval(found.errors),
        delay_s=rate_interval(found.delays),
        measures=found.measures,
        sums=found.sums,
    )


def settings(config: DecoderConfig) -> dict[str, Setting]:
    """What tells configurations of one study apart."""
    found = {name: getattr(config, name) for name in _SHOWN}
    return {name: value for name, value in found.items() if value is not None}


def _comparison(first: str, second: str, scores: Mapping[str, Score]) -> Comparison:
    one, other = scores[first], scores[second]
    return Comparison(
        first=first,
        second=second,
        wer=paired_difference(one.errors, other.errors),
        delay_s=paired_difference(one.delays, other.delays),
    )


def verdicts(held_out: HeldOut) -> list[str]:
    """What the comparisons say, a line each, for a person."""
    lines = []
    for comparison in held_out.comparisons:
        parts = []
        points = f"points of {held_out.corpus.error_name}"
        for name, unit, scale in (("wer", points, 100), ("delay_s", "s of delay", 1)):
            found = getattr(comparison, name)
            if found is None:
                continue
            if found.value == found.low == found.high == 0:
                parts.append(f"no difference in {unit.rpartition(' of ')[2]}")
                continue
            sure = "" if found.is_significant else ", not significant"
            parts.append(
                f"{scale * found.value:+.2f} {unit} ({scale * found.low:+.2f} to "
                f"{scale * found.high:+.2f}{sure})"
            )
        lines.append(f"{comparison.first} against {comparison.second}: {', '.join(parts)}")
    return lines
