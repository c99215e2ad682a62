"""What a pre-labelling would do, and why: worked out from keys, running nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from duckdb import DuckDBPyConnection

from flows.workers.days import waits
from flows.workspace import Workspace
from voxdata.errors import DropReason
from voxdata.increment import (
    CUT,
    DIARIZE,
    LABEL,
    MEASURE,
    SCAN,
    SECOND_OPINION,
    TRANSCRIBE,
    StageSpec,
    Standing,
    explain_stale,
    judge_stages,
    stage_keys,
)
from voxdata.prelabel import Models
from warehouse.attempts import Tries, list_tries
from warehouse.ledger import list_failures, silent_recordings
from warehouse.recordings import (
    StoredRecording,
    frame_uris,
    list_recordings,
    orphaned_recordings,
)
from warehouse.stages import StageResults, frame_signatures, read_signature, stage_rates

TYPICAL_RATES: Mapping[str, float] = {
    DIARIZE: 0.05,
    TRANSCRIBE: 0.08,
    SECOND_OPINION: 0.08,
    CUT: 0.001,
    MEASURE: 0.02,
    SCAN: 0.005,
    LABEL: 0.05,
}
"""Seconds of one core for a second of audio (docs/benchmarks.md).

Used until this workspace has figures of its own.
"""


RESTING = frozenset({DropReason.CRASHED})
"""A recording that did this to a worker is skipped until a key changes.

One that hung, was killed or took too much memory is skipped after its days. What can be fixed, a
missing model or a lost file, is tried again.
"""

ORPHANED = -1
"""Stands for the group of those that no source holds any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recordings that stand alike.

    Attributes:
        number: Which group of the plan, or ORPHANED.
        size: How many there are.
        duration_ms: Their length in all.
        standing: Stage -> how its result stands.
        reasons: Stage that is to be run -> why.
    """

    number: int
    size: int
    duration_ms: int
    standing: Mapping[str, Standing] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> frozenset[str]:
        """Stages to run."""
        return frozenset(
            stage for stage, how in self.standing.items() if how in (Standing.NEW, Standing.STALE)
        )

    @property
    def again(self) -> tuple[str, ...]:
        """Stages whose earlier result comes into force again."""
        return tuple(stage for stage, how in self.standing.items() if how is Standing.AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRecording:
    """A recording with something to run.

    Attributes:
        wanted: Stages to run.
    """

    stored: StoredRecording
    wanted: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelPlan:
    """What a pre-labelling would do.

    Attributes:
        specs: The stages in order of execution.
        keys: Stage -> key of its present computation.
        groups: All recordings that are neither silent nor orphaned, by how they stand.
        orphaned: Those that no source holds any more; they keep their results and get no new ones.
        members: `recording_id` and `group`, oldest first: who is in which.
        rates: Stage -> seconds of one core for a second of audio.
    """

    specs: tuple[StageSpec, ...]
    keys: Mapping[str, str]
    groups: tuple[Group, ...]
    orphaned: Group
    members: pl.DataFrame
    rates: Mapping[str, float]

    @property
    def pending(self) -> tuple[Group, ...]:
        """Those with something to run."""
        return tuple(group for group in self.groups if group.wanted)

    @property
    def again(self) -> pl.DataFrame:
        """Results that come into force again: `recording_id`, `stage` and `key`."""
        rows = [
            (group.number, stage, self.keys[stage])
            for group in self.groups
            for stage in group.again
        ]
        columns = {"group": pl.Int64, "stage": pl.String, "key": pl.String}
        results = pl.DataFrame(rows, schema=columns, orient="row")
        return self.members.join(results, on="group").drop("group")


def plan_prelabel(workspace: Workspace, models: Models) -> PrelabelPlan:
    """Compare what is wanted with what is on record.

    Recordings that stand alike are judged once, so that a million of them that are done cost what
    the database takes to find that out.
    """
    specs = models.specs(scheme_versions=workspace.scheme_versions)
    keys = stage_keys(specs)
    model_keys = list(dict.fromkeys(spec.model.key for spec in specs if spec.model is not None))
    with workspace.warehouse() as con:
        recordings = frame_signatures(con, keys, model_keys)
        failed = _list_failed(con, keys)
        silent, gone = _ids(silent_recordings(con)), _ids(orphaned_recordings(con))
        rates = stage_rates(con)

    failures = list(dict.fromkeys([frozenset[tuple[str, str]](), *failed.values()]))
    places = {stages: place for place, stages in enumerate(failures)}
    failing = pl.DataFrame(
        [(recording_id, places[stages]) for recording_id, stages in failed.items()],
        schema={"recording_id": pl.String, "failures": pl.Int64},
        orient="row",
    )
    orphaned = recordings.join(gone, on="recording_id", how="semi", maintain_order="left")
    judged = (
        recordings.join(gone, on="recording_id", how="anti", maintain_order="left")
        .join(silent, on="recording_id", how="anti", maintain_order="left")
        .join(failing, on="recording_id", how="left", maintain_order="left")
        .with_columns(pl.col("failures").fill_null(0))
    )
    alike = (
        judged.group_by("signature", "failures", maintain_order=True)
        .agg(pl.len().alias("size"), pl.col("duration_ms").sum())
        .with_row_index("group")
        .with_columns(pl.col("group").cast(pl.Int64))
    )
    groups = [
        _judge(
            Group(number=number, size=size, duration_ms=duration_ms),
            specs,
            keys,
            read_signature(signature, keys, model_keys),
            failures[place],
        )
        for number, signature, place, size, duration_ms in alike.iter_rows()
    ]
    members = judged.join(alike, on=("signature", "failures"), maintain_order="left")
    orphans = orphaned.with_columns(pl.lit(ORPHANED, pl.Int64).alias("group"))
    columns = ("recording_id", "group")
    return PrelabelPlan(
        specs=specs,
        keys=keys,
        groups=tuple(groups),
        orphaned=Group(
            number=ORPHANED, size=orphaned.height, duration_ms=int(orphaned["duration_ms"].sum())
        ),
        members=pl.concat([members.select(columns), orphans.select(columns)]),
        rates={spec.name: _rate(spec, rates) for spec in specs},
    )


def list_pending(workspace: Workspace, plan: PrelabelPlan) -> dict[str, PlannedRecording]:
    """Recording id -> recording with something to run, oldest first."""
    wanted = {group.number: group.wanted for group in plan.pending}
    pending = plan.members.filter(pl.col("group").is_in(list(wanted)))
    stages = {recording_id: wanted[group] for recording_id, group in pending.iter_rows()}
    with workspace.warehouse() as con:
        stored = list_recordings(con, stages)
    return {
        one.recording.recording_id: PlannedRecording(
            stored=one, wanted=stages[one.recording.recording_id]
        )
        for one in stored
    }


def list_group_uris(workspace: Workspace, plan: PrelabelPlan) -> dict[int, list[str]]:
    """Number of a group with something to say -> where its recordings come from."""
    done = [
        group.number for group in plan.groups if set(group.standing.values()) == {Standing.DONE}
    ]
    members = plan.members.filter(~pl.col("group").is_in(done))
    with workspace.warehouse() as con:
        uris = frame_uris(con)
    named = members.join(uris, on="recording_id").group_by("group").agg("uri")
    return dict(named.iter_rows())


def _ids(recording_ids: Iterable[str]) -> pl.DataFrame:
    return pl.DataFrame({"recording_id": list(recording_ids)}, schema={"recording_id": pl.String})


def _list_failed(
    con: DuckDBPyConnection, keys: Mapping[str, str]
) -> dict[str, frozenset[tuple[str, str]]]:
    """Recording id -> (stage, key) at which it is skipped."""
    failed: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    tries = list_tries(con)
    for failure in list_failures(con, keys, reasons=RESTING):
        attempt = (failure.stage, failure.subject, failure.key)
        if failure.reason in RESTING or _rests(tries.get(attempt)):
            failed[failure.recording_id].add((failure.stage, failure.key))
    return {recording_id: frozenset(stages) for recording_id, stages in failed.items()}


def _rests(tries: Tries | None) -> bool:
    """Whether what was tried in vain is not tried today."""
    return tries is not None and (tries.rests or waits(tries))


def _judge(
    group: Group,
    specs: Sequence[StageSpec],
    keys: Mapping[str, str],
    results: StageResults,
    failed: Collection[tuple[str, str]],
) -> Group:
    standing = judge_stages(
        specs, keys, known=results.known, current=results.current, failed=failed
    )
    stale = {stage for stage, how in standing.items() if how in (Standing.NEW, Standing.STALE)}
    reasons = {}
    for spec in specs:
        if standing[spec.name] is Standing.NEW:
            reasons[spec.name] = "never done"
        elif standing[spec.name] is Standing.STALE:
            reasons[spec.name] = explain_stale(spec, stale=stale, known_models=results.models)
    return replace(group, standing=standing, reasons=reasons)


def _rate(spec: StageSpec, rates: Mapping[tuple[str, str | None], float]) -> float:
    key = None if spec.model is None else spec.model.key
    same_stage = [rate for (stage, _), rate in rates.items() if stage == spec.name]
    typical = TYPICAL_RATES[LABEL if spec.name.startswith(LABEL) else spec.name]
    return rates.get((spec.name, key), same_stage[-1] if same_stage else typical)


def plan_rows(
    plan: PrelabelPlan, uris: Mapping[int, Sequence[str]] | None = None
) -> list[dict[str, object]]:
    """The plan in rows for people: one for each stage, standing and reason.

    Each has minutes of audio and of one core's work.

    Args:
        uris: Number of a group -> where its recordings come from, to be in `subjects`.
    """
    alike: defaultdict[tuple[str, str, str], list[Group]] = defaultdict(list)
    for group in plan.groups:
        for stage, how in group.standing.items():
            if how is not Standing.DONE:
                why = group.reasons.get(stage, _RESTS.get(how, ""))
                alike[stage, how.value, why].append(group)
    order = {spec.name: number for number, spec in enumerate(plan.specs)}
    rows: list[dict[str, object]] = []
    for key, groups in sorted(alike.items(), key=lambda one: (order[one[0][0]], one[0])):
        stage, standing, _ = key
        runs = standing in (Standing.NEW, Standing.STALE)
        rows.append(_plan_row(key, groups, plan.rates[stage] if runs else 0.0, uris))
    if plan.orphaned.size:
        why = "no source holds this recording any more; its results stay"
        rows.append(_plan_row(("all", "orphaned", why), [plan.orphaned], 0.0, uris))
    return rows


def _plan_row(
    key: tuple[str, str, str],
    groups: Sequence[Group],
    rate: float,
    uris: Mapping[int, Sequence[str]] | None,
) -> dict[str, object]:
    stage, standing, why = key
    audio_minutes = sum(group.duration_ms for group in groups) / 60_000
    row: dict[str, object] = {
        "stage": stage,
        "standing": standing,
        "why": why,
        "recordings": sum(group.size for group in groups),
        "audio_minutes": audio_minutes,
        "work_minutes": rate * audio_minutes,
    }
    if uris is not None:
        row["subjects"] = sorted(uri for group in groups for uri in uris[group.number])
    return row


_RESTS = {
    Standing.AGAIN: "computed earlier; comes into force again without being run",
    Standing.FAILED: (
        "failed under these settings, or is tried again another day; see `voxdata ledger`"
    ),
    Standing.BLOCKED: "what it reads failed",
}
