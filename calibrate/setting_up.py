"""From names and options to a sweep that is ready to run: everything loaded, the study open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..cluster import Cluster
from ..errors import InputError
from ..heads import HeadsFile, load_heads
from ..runtime.models.elsewhere import ModelElsewhere
from ..runtime.models.machine import backend_name
from ..runtime.models.model import SpeechModel
from ..runtime.models.protocol import AlignmentModel
from .replay.elsewhere import Elsewhere
from .replay.identity import code_version, digest, engine_version
from .replay.source import Replay
from .replay.store import DecodeStore
from .result import Range
from .speech import Progress, Speech, SpeechOptions, load_speech
from .study.pareto import parse_rule
from .study.space import BASELINE, SEARCHED, Space, make_space
from .study.storage import failing_as_input, open_storage
from .study.trials import open_study
from .sweep import MEMORY, RANGE, SEED, Sweep, SweepOptions, study_name


def set_up(
    model: AlignmentModel | str | Path = "tiny",
    heads: HeadsFile | str | Path | None = None,
    speech: SpeechOptions | None = None,
    options: SweepOptions | None = None,
    *,
    dtype: str | None = None,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
) -> Sweep:
    """Load everything, open the study, and enqueue the baselines if it is new.

    Args:
        model: a `SpeechModel`, or what `SpeechModel.load` takes.
        heads: a `HeadsFile`, or what `load_heads` takes; None: the one bundled for the model.
        speech: which corpora.
        options: what to search.
        dtype: of a model that is loaded here.
        progress: called with utterances that have word times, and utterances in all.
        cluster: decodes in place of this process.

    Raises:
        InputError: bad input of any kind, or a study of something else.
    """
    speech, options = speech or SpeechOptions(), options or SweepOptions()
    options.check()
    speech.check()
    # What is wrong in a small file is told before a large one is loaded.
    file = heads if isinstance(heads, HeadsFile) or heads is None else load_heads(heads)
    given = None
    if isinstance(model, str | Path):
        given, model = model, SpeechModel.load(model, dtype)
    elsewhere = cluster and Elsewhere(cluster, ModelElsewhere.of(model, given))
    if file is None:
        file = load_heads(None, model.name)
    file.check_model(model.name, model.num_layers, model.num_heads, model.attention_kind)
    file.check_checkpoint(model.name, lambda: model.fingerprint)
    if "reuse" in options.tune and not getattr(model, "can_reuse", False):
        raise InputError(
            f"tune has 'reuse', but {model.name} keeps nothing from one step to the next that "
            "could be: only Qwen3-ASR's models do; leave it out",
            arguments=("tune",),
        )
    language = model.language_name(options.language)
    space = make_space(
        model.name, file, options.border, options.max_heads, options.tune, language,
        has_few=len(options.objectives) > 2,
    )  # fmt: skip
    dev, test = load_speech(
        model.label, speech, space.base.step_s, progress,
        (lambda given: None) if language is not None else model.language_name,
    )  # fmt: skip
    notes = []
    if language is None:
        language = _common_language(model, dev, notes)
        space = replace(space, base=space.base.changed(language=language))
    source_name = str(heads) if isinstance(heads, str | Path) else file.model
    storage = open_storage(options.storage, options.journal)
    fingerprint = _fingerprint(model, file, space, dev, options.seed)
    baselines = {
        name: (params, {BASELINE: name, SEARCHED: space.border_of(params)})
        for name, params in space.baselines().items()
    }
    name = study_name(options.study or model.label, space.border, options.objectives)
    if len(options.objectives) > 2 and not hasattr(model, "open_meter"):
        raise InputError(
            f"{model.name} does not count what it computes, so compute is no objective; leave out "
            "cost, as well as a choice by it",
            arguments=("cost",),
        )
    with failing_as_input(options.storage_name):
        study = open_study(
            storage, name, fingerprint, options.seed, baselines, len(options.objectives)
        )
    store = _store(options.store, _store_path(options.store, model, space), notes)
    means = "aggregate" in space.ranges or space.base.aggregate == "mean"
    replay = Replay(model, space.base.pairs, store, with_means=means)
    return Sweep(
        model, file, source_name, space, dev, test, options, storage, study, store,
        replay, parse_rule(options.select), notes, elsewhere=elsewhere,
    )  # fmt: skip


def _common_language(model: AlignmentModel, dev: Speech, notes: list[str]) -> str | None:
    """The language that all utterances have, as the model names it."""
    languages = {model.language_name(one.utterance.language) for one in dev.recordings}
    if len(languages) == 1:
        return languages.pop()
    known = ", ".join(sorted(filter(None, languages)))
    notes.append(
        f"the corpus has several languages ({known}): each utterance was decoded with its own, "
        "the configuration leaves it to be detected"
    )
    return None


def _fingerprint(
    model: AlignmentModel, heads: HeadsFile, space: Space, dev: Speech, seed: int
) -> dict[str, str]:
    """What the results of a study depend on, by name."""
    settings = ", ".join(f"{name} {value}" for name, value in space.fixed.items())
    return {
        "model": f"{model.name} ({model.fingerprint})",
        "heads": f"{heads.model} ({heads.sha256[:16]})",
        "corpus": f"{dev.corpus.name} ({dev.corpus.fingerprint}), {dev.phases} phases",
        **{RANGE + name: _shown(values) for name, values in space.ranges.items()},
        "settings": settings,
        SEED: str(seed),
        "code": code_version(),
    }


def _shown(values: Range) -> str:
    if values.choices is not None:
        return " or ".join(map(str, values.choices))
    return f"{values.low:g} to {values.high:g}"


def _store(given: Path | str | None, path: Path | None, notes: list[str]) -> DecodeStore:
    """The store at `path`; memory where that is the user's cache and cannot be used."""
    try:
        return DecodeStore(path)
    except InputError:
        if given is not None:
            raise
    notes.append(f"{path} cannot be written: what is decoded is not kept for the next study")
    return DecodeStore()


def _store_path(store: Path | str | None, model: AlignmentModel, space: Space) -> Path | None:
    if store is not None and str(store) == MEMORY:
        return None
    if store is None:
        import pooch

        store = Path(pooch.os_cache("alignheads")) / "replay"
    key = digest(
        [
            model.name,
            model.fingerprint,
            engine_version(),
            space.base.pairs,
            model.dtype,
            backend_name(),
        ]
    )
    return Path(store) / f"{model.label}-{key}.sqlite"
