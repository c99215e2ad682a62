"""Increments: which results are new, stale, held again or orphaned, decided by keys alone.

A key is a hash over everything that decides a result: the stage's version, its model and
parameters, and the keys of what it reads. So a changed setting changes the keys of the stages that
depend on it, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from voxdata.identity import ModelRef, canonical_json, digest

DIARIZE = "diarize"
TRANSCRIBE = "transcribe"
SECOND_OPINION = "second_opinion"
CUT = "cut"
MEASURE = "measure"
SCAN = "scan"
LABEL = "label:"
"""Prefix of a stage that labels under one scheme, such as "label:intent"."""

VERSIONS: Mapping[str, int] = {
    DIARIZE: 2,
    TRANSCRIBE: 2,
    SECOND_OPINION: 1,
    CUT: 2,
    MEASURE: 2,
    SCAN: 2,
    LABEL: 2,
}
"""Raised when the code of a stage changes its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """One stage as it is configured.

    Attributes:
        name: DIARIZE, TRANSCRIBE, ..., or LABEL and a scheme's name.
        model: What it runs; None for a rule of our own.
        params: What else decides its result; JSON values only.
        reads: Stages whose results it takes.
    """

    name: str
    model: ModelRef | None
    params: Mapping[str, object]
    reads: tuple[str, ...] = ()


def stage_keys(specs: Collection[StageSpec]) -> dict[str, str]:
    """The key of each stage, in the order of the specs, which must be an order of execution.

    Raises:
        KeyError: A stage reads one that does not come before it.
    """
    keys: dict[str, str] = {}
    for spec in specs:
        stage = LABEL if spec.name.startswith(LABEL) else spec.name
        read_keys = [keys[name] for name in spec.reads]
        keys[spec.name] = digest(
            "stage",
            spec.name,
            VERSIONS[stage],
            "" if spec.model is None else spec.model.key,
            canonical_json(dict(spec.params)),
            *read_keys,
        )
    return keys


class Standing(StrEnum):
    """How the result of a stage stands for one recording."""

    NEW = "new"  # never computed
    STALE = "stale"  # computed with other models, settings or inputs
    AGAIN = "again"  # computed earlier, set aside, and wanted again: nothing is to be run
    DONE = "done"
    FAILED = "failed"  # hung, crashed or swelled under this very key; skipped until that changes
    BLOCKED = "blocked"  # what it reads failed


_WITHOUT_RESULT = frozenset({Standing.FAILED, Standing.BLOCKED})


def judge_stages(
    specs: Collection[StageSpec],
    keys: Mapping[str, str],
    *,
    known: Collection[tuple[str, str]],
    current: Mapping[str, str],
    failed: Collection[tuple[str, str]],
) -> dict[str, Standing]:
    """How each stage of one recording stands.

    Args:
        specs: In order of execution.
        keys: Stage -> its key, as from `stage_keys`.
        known: (stage, key) of every result the recording has.
        current: Stage -> key of the result in force.
        failed: (stage, key) at which the recording is skipped.
    """
    standings: dict[str, Standing] = {}
    for spec in specs:
        stage = spec.name
        key = keys[stage]
        if any(standings[name] in _WITHOUT_RESULT for name in spec.reads):
            standing = Standing.BLOCKED
        elif (stage, key) in known:
            is_current = current.get(stage) == key
            standing = Standing.DONE if is_current else Standing.AGAIN
        elif (stage, key) in failed:
            standing = Standing.FAILED
        else:
            standing = Standing.STALE if stage in current else Standing.NEW
        standings[stage] = standing
    return standings


def explain_stale(
    spec: StageSpec,
    *,
    stale: Collection[str],
    known_models: Collection[str],
) -> str:
    """Why a stage is stale, in words.

    Args:
        stale: The recording's stages that are to be run.
        known_models: Keys of the models behind the results on record.
    """
    upstream = [name for name in spec.reads if name in stale]
    if upstream:
        return f"reads {' and '.join(upstream)}, which changes"
    if spec.model is not None and spec.model.key not in known_models:
        return f"model {spec.model.name} or its parameters changed"
    return "its settings or its version changed"


def pack_units(sizes: Mapping[str, int], *, limit: int) -> list[list[str]]:
    """Pack names into units of about equal size, longest first.

    The packing depends on nothing but the sizes and the names.

    Args:
        sizes: Name -> size, such as ms of audio.
        limit: A unit is closed before it exceeds this; a larger name gets a unit of its own.
    """
    units: list[list[str]] = []
    room = 0
    for name in sorted(sizes, key=lambda n: (-sizes[n], n)):
        if not units or sizes[name] > room:
            units.append([])
            room = limit
        units[-1].append(name)
        room -= sizes[name]
    return units


Progress = Callable[[str], None]
"""Told the name of each stage as it begins."""
