"""Whether what `calibrate` chooses holds: chosen and given settings on speech kept out.

    python benchmarks/calibration_choice.py --model DIR --heads FILE --corpus DIR --seeds 5

One sweep for each seed, which also draws the half of the speech that is tuned on. Every rule
chooses from the same trials. See README.md beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alignheads.calibrate.held_out import score_held_out
from alignheads.calibrate.report import reasons
from alignheads.calibrate.result import CHOSEN, Comparison, HeldOut
from alignheads.calibrate.setting_up import set_up
from alignheads.calibrate.speech import SpeechOptions
from alignheads.calibrate.study.pareto import DEFAULT_RULE, parse_rule
from alignheads.calibrate.study.space import BORDERS, PUBLISHED
from alignheads.calibrate.sweep import Sweep, SweepOptions
from alignheads.commandline import run, say
from alignheads.runtime.models.model import SpeechModel

from calibration import interval  # isort: skip
from streaming import Bars, print_cells  # isort: skip


def held_out(sweep: Sweep, rule: str) -> HeldOut:
    """What `rule` chooses of the trials, and the baselines, on the other speech."""
    sweep.rule = parse_rule(rule)
    found = sweep.standing(strict=True)
    for line in reasons(found, len(sweep.dev.corpus)):
        say(f"{rule}: {line}")
    configs = {CHOSEN: sweep.config(found)}
    configs |= {name: sweep.space.config(p) for name, p in sweep.space.baselines().items()}
    return score_held_out(configs, sweep.test, sweep.streamer)


def verdict(one: Comparison) -> str:
    """How the chosen setting does against a published one: "better" is outside of the interval."""
    assert one.wer is not None
    assert one.delay_s is not None
    both = one.wer, one.delay_s
    if all(difference.value == 0 for difference in both):
        return "the same"
    if all(difference.value > 0 for difference in both):
        return "WORSE IN BOTH"
    known = [difference for difference in both if difference.is_significant]
    words = [
        name
        for name, differences in (
            ("better", [d for d in known if d.value < 0]),
            ("worse", [d for d in known if d.value > 0]),
        )
        for _ in differences[:1]
    ]
    return f"{' in one, '.join(words)} in one" if words else "not known"


def print_seed(seed: int, rule: str, found: HeldOut) -> list[str]:
    """The points of a seed, and the verdicts on the chosen one."""
    verdicts = [verdict(one) for one in found.comparisons]
    for point, said in zip(found.points, ["", *verdicts], strict=True):
        assert point.wer is not None
        assert point.delay_s is not None
        border = next(point.config[name] for name in BORDERS.values() if name in point.config)
        print_cells((
            seed, rule, point.name, border, point.config["head_count"],
            interval(point.wer, 100), interval(point.delay_s, 1), said,
        ))  # fmt: skip
    return verdicts


def better_published(found: HeldOut) -> int:
    """The comparison with the published setting that makes fewest errors on this speech."""
    wers = {point.name: point.wer.value if point.wer else 0.0 for point in found.points}
    names = [comparison.second for comparison in found.comparisons]
    return names.index(min(PUBLISHED, key=lambda name: wers[name]))


def benchmark(
    corpus: Annotated[str, typer.Option(help="speech, half of it to tune on")] = "demo:all",
    model: Annotated[str, typer.Option(help="tiny, or a folder")] = "tiny",
    heads: Annotated[str | None, typer.Option(help="heads file; default: the bundled one")] = None,
    seeds: Annotated[int, typer.Option(help="sweeps")] = 5,
    trials: Annotated[int, typer.Option(help="of each")] = 50,
    border: Annotated[str, typer.Option(help="fraction or seconds")] = "seconds",
    phases: Annotated[int | None, typer.Option(help="of each utterance")] = None,
    rules: Annotated[str, typer.Option(help="by commas")] = f"{DEFAULT_RULE},knee",
    store: Annotated[str | None, typer.Option(help="folder for what was decoded")] = None,
    journal: Annotated[Path | None, typer.Option(help="folder for the studies")] = None,
) -> None:
    """Choose on one half, score on the other, for several seeds and rules."""
    loaded, bars = SpeechModel.load(model), Bars()
    if journal is not None:
        journal.mkdir(parents=True, exist_ok=True)
    known = {rule: [] for rule in rules.split(",")}
    print_cells(("seed", "rule", "setting", "border", "heads", "WER %", "mean delay s", "verdict"))
    print_cells(["---"] * 8)
    for seed in range(seeds):
        speech = SpeechOptions(corpus, seed=seed, phases=phases)
        options = SweepOptions(
            trials=trials, seed=seed, border=border, store=store,
            journal=journal and journal / f"{loaded.label}-{border}-{seed}",
        )  # fmt: skip
        sweep = set_up(loaded, heads, speech, options)
        say(f"seed {seed}: {len(sweep.dev.corpus)} and {len(sweep.test.corpus)} utterances, "
            f"{sweep.dev.phases} and {sweep.test.phases} phases")  # fmt: skip
        sweep.run(lambda trial, standing: say(f"{standing.complete}/{trials}"))
        for rule, verdicts in known.items():
            found = held_out(sweep, rule)
            verdicts.append(print_seed(seed, rule, found)[better_published(found)])
    for rule, verdicts in known.items():
        print(f"\n{rule}, against the published setting with the fewest errors: "
              f"{'; '.join(verdicts)}")  # fmt: skip
    default = next(iter(known.values()))
    bars.judge("never worse in both", "WORSE IN BOTH" not in default)
    bars.judge("better in one in most", sum("better" in one for one in default) > seeds / 2)
    print(f"\nbars met: {bars.met}, MISSED: {len(bars.missed)}")


if __name__ == "__main__":
    run(benchmark)
