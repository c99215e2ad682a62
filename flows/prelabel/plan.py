"""What a pre-labelling would do, and why: worked out from keys, running nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from warehouse.ledger import list_drops
from warehouse.recordings import StoredRecording, list_recordings, orphaned_recordings
from warehouse.stages import StageResults, list_stage_results, stage_rates

TYPICAL_RATES: Mapping[str, float] = {
    DIARIZE: 0.05,
    TRANSCRIBE: 0.08,
    SECOND_OPINION: 0.08,
    CUT: 0.001,
    MEASURE: 0.02,
    SCAN: 0.005,
    LABEL: 0.05,
}
"""Seconds of one core for a second of audio, used until this workspace has figures of its own (docs/benchmarks.md)."""


RESTING = frozenset({DropReason.CRASHED})
"""A recording that did this to a worker is skipped until a key changes; one that hung, was killed or took too much memory, after its days.
What can be fixed, a missing model or a lost file, is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRecording:
    """How one recording stands.

    Attributes:
        standing: Stage -> how its result stands.
        reasons: Stage that is to be run -> why.
    """

    stored: StoredRecording
    standing: Mapping[str, Standing]
    reasons: Mapping[str, str]

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
class PrelabelPlan:
    """What a pre-labelling would do.

    Attributes:
        specs: The stages in order of execution.
        keys: Stage -> key of its present computation.
        recordings: All that are neither silent nor orphaned, oldest first.
        orphaned: Recordings that no source holds any more; they keep their results and get no new ones.
        rates: Stage -> seconds of one core for a second of audio.
    """

    specs: tuple[StageSpec, ...]
    keys: Mapping[str, str]
    recordings: tuple[PlannedRecording, ...]
    orphaned: tuple[StoredRecording, ...]
    rates: Mapping[str, float]

    @property
    def pending(self) -> tuple[PlannedRecording, ...]:
        """Those with something to run."""
        return tuple(r for r in self.recordings if r.wanted)

    def minutes(self, recording: PlannedRecording, stages: Sequence[str]) -> float:
        """Estimate of one core's work on some stages of a recording, in minutes."""
        return (
            sum(self.rates[stage] for stage in stages)
            * recording.stored.recording.duration_ms
            / 60_000
        )


def plan_prelabel(workspace: Workspace, models: Models) -> PrelabelPlan:
    """Compare what is wanted with what is on record."""
    specs = models.specs(scheme_versions=workspace.scheme_versions)
    keys = stage_keys(specs)
    with workspace.warehouse() as con:
        results = list_stage_results(con)
        failed, silent = _failures(con)
        gone = orphaned_recordings(con)
        stored = list_recordings(con)
        rates = stage_rates(con)
    planned = [
        _plan_recording(
            s,
            specs,
            keys,
            results.get(s.recording.recording_id, StageResults()),
            failed[s.recording.recording_id],
        )
        for s in stored
        if s.recording.recording_id not in silent and s.recording.recording_id not in gone
    ]
    return PrelabelPlan(
        specs=specs,
        keys=keys,
        recordings=tuple(planned),
        orphaned=tuple(s for s in stored if s.recording.recording_id in gone),
        rates={spec.name: _rate(spec, rates) for spec in specs},
    )


def _failures(con: DuckDBPyConnection) -> tuple[defaultdict[str, set[tuple[str, str]]], set[str]]:
    """Recording id -> (stage, key) at which it is skipped; and the silent recordings."""
    failed: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    silent: set[str] = set()
    tries = list_tries(con)
    for drop in list_drops(con):
        if drop.recording_id is None:
            continue
        if drop.stage == "ingest" and drop.reason is DropReason.SILENT:
            silent.add(drop.recording_id)
        elif drop.reason in RESTING or _rests(tries.get((drop.stage, drop.subject, drop.key))):
            failed[drop.recording_id].add((drop.stage, drop.key))
    return failed, silent


def _rests(tries: Tries | None) -> bool:
    """Whether what was tried in vain is not tried today."""
    return tries is not None and (tries.rests or waits(tries))


def _plan_recording(
    stored: StoredRecording,
    specs: Sequence[StageSpec],
    keys: Mapping[str, str],
    found: StageResults,
    failed: set[tuple[str, str]],
) -> PlannedRecording:
    standing = judge_stages(specs, keys, known=found.known, current=found.current, failed=failed)
    stale = {stage for stage, how in standing.items() if how in (Standing.NEW, Standing.STALE)}
    reasons = {}
    for spec in specs:
        if standing[spec.name] is Standing.NEW:
            reasons[spec.name] = "never done"
        elif standing[spec.name] is Standing.STALE:
            reasons[spec.name] = explain_stale(spec, stale=stale, known_models=found.models)
    return PlannedRecording(stored=stored, standing=standing, reasons=reasons)


def _rate(spec: StageSpec, rates: Mapping[tuple[str, str | None], float]) -> float:
    key = None if spec.model is None else spec.model.key
    same_stage = [rate for (stage, _), rate in rates.items() if stage == spec.name]
    typical = TYPICAL_RATES[LABEL if spec.name.startswith(LABEL) else spec.name]
    return rates.get((spec.name, key), same_stage[-1] if same_stage else typical)


def plan_rows(plan: PrelabelPlan) -> list[dict[str, object]]:
    """The plan in rows for people: one for each stage, standing and reason, with minutes of audio and of one core's work."""
    groups: defaultdict[tuple[str, str, str], list[PlannedRecording]] = defaultdict(list)
    for recording in plan.recordings:
        for stage, how in recording.standing.items():
            if how is not Standing.DONE:
                groups[stage, how.value, recording.reasons.get(stage, _RESTS.get(how, ""))].append(
                    recording
                )
    order = {spec.name: number for number, spec in enumerate(plan.specs)}
    rows: list[dict[str, object]] = []
    for (stage, standing, why), members in sorted(
        groups.items(), key=lambda group: (order[group[0][0]], group[0])
    ):
        runs = standing in (Standing.NEW, Standing.STALE)
        rows.append(
            {
                "stage": stage,
                "standing": standing,
                "why": why,
                "recordings": len(members),
                "audio_minutes": round(
                    sum(m.stored.recording.duration_ms for m in members) / 60_000, 2
                ),
                "work_minutes": round(sum(plan.minutes(m, [stage]) for m in members), 2)
                if runs
                else 0.0,
                "subjects": sorted(m.stored.uri for m in members),
            }
        )
    if plan.orphaned:
        rows.append(
            {
                "stage": "all",
                "standing": "orphaned",
                "why": "no source holds this recording any more; its results stay",
                "recordings": len(plan.orphaned),
                "audio_minutes": round(
                    sum(s.recording.duration_ms for s in plan.orphaned) / 60_000, 2
                ),
                "work_minutes": 0.0,
                "subjects": sorted(s.uri for s in plan.orphaned),
            }
        )
    return rows


_RESTS = {
    Standing.AGAIN: "computed earlier; comes into force again without being run",
    Standing.FAILED: "failed under these settings, or is tried again another day; see `voxdata ledger`",
    Standing.BLOCKED: "what it reads failed",
}
