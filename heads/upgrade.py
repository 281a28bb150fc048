"""Heads files of earlier schemas, brought to the present one when they are read.

Schema 1 kept the scores of groups of heads as `ranking.baselines`, {name: scores}, and said what a
group was in its name alone. Schema 2 has `ranking.groups`, a list of `HeadGroup`. Schema 3 may say
the kind of `attention`, and schema 4 the fingerprint of the checkpoint. This is the only module
that knows the names of schema 1.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import InputError
from ..files import shown

_OF_THE_MODEL = ("attention", "model_fingerprint")
_NAMES = re.compile(
    r"(?P<own>this ranking, best |this set, best size \()(?P<size>\d+)\)?"
    r"|hit rate, best (?P<best>\d+)"
    r"|all heads"
)


def upgraded(content: dict[str, Any], newest: int) -> dict[str, Any]:
    """The JSON object of a heads file as schema `newest` has it, or `content` if it is already.

    A file without `schema_version` (the published ones have none) is read as schema 1. Values of
    a wrong type are left as they are, for the check of the file to name.

    Raises:
        InputError: a group of heads has a name that no version of schema 1 wrote.
    """
    version = content.get("schema_version", 1)
    if type(version) is not int or not 0 <= version < newest:
        return content
    ranking = content.get("ranking")
    if (
        version > 1
        or not isinstance(ranking, dict)
        or not isinstance(ranking.get("baselines"), dict)
    ):
        return {**content, "schema_version": newest}
    sizes = [content.get(key) for key in ("num_layers", "num_heads")]
    if any(type(size) is not int for size in sizes):
        return content
    total = sizes[0] * sizes[1]  # type: ignore[operator]
    kept = {key: value for key, value in ranking.items() if key != "baselines"}
    groups = [_group(name, scores, total) for name, scores in ranking["baselines"].items()]
    return {**content, "schema_version": newest, "ranking": {**kept, "groups": groups}}


def _group(name: str, scores: Any, total: int) -> dict[str, Any]:
    found = _NAMES.fullmatch(name)
    if found is None:
        raise InputError(
            f"ranking.baselines has a group called {shown(name)}, expected 'all heads', "
            "'this ranking, best N', 'this set, best size (N)' or 'hit rate, best N'; remove it"
        )
    # A group asked for more heads than there are has them all.
    size = min(int(found["size"] or found["best"] or total), total)
    return {"name": name, "is_own": found["own"] is not None, "num_heads": size, "scores": scores}


def as_schema_1(content: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of a file of schema 4 as schema 1 had it; for its hash.

    The hash of a heads file is kept in studies and in decoder configurations, which outlive a
    change of schema. It does not tell the model: the kind of attention, the fingerprint.
    """
    content = {key: value for key, value in content.items() if key not in _OF_THE_MODEL}
    ranking = content["ranking"]
    if ranking is not None:
        kept = {key: value for key, value in ranking.items() if key != "groups"}
        baselines = {group["name"]: group["scores"] for group in ranking["groups"]}
        ranking = {**kept, "baselines": baselines}
    return {**content, "schema_version": 1, "ranking": ranking}
