"""Pre-label: who spoke when, what was said, audio quality, private data, and proposed labels."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow

from flows.models import ModelSpecs, build_models, model_specs
from flows.prelabel.link_voices import link_voices
from flows.prelabel.plan import PlannedRecording, PrelabelPlan, list_pending, plan_prelabel
from flows.prelabel.store import store_outcome
from flows.prelabel.worker import (
    Failure,
    Outcome,
    Unit,
    count_workers,
    first_stage,
    given_up,
    killed_outcome,
    run_unit,
    worker_bytes,
)
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.steps import call, show_table, step
from flows.stored_audio import open_guard
from flows.workers import days
from flows.workers.limits import Limits
from flows.workers.pool import WorkerPool, result_of
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import open_canonical
from voxdata.counted import counted
from voxdata.errors import (
    AudioError,
    BackendError,
    DropReason,
    LockedError,
    ShortageError,
    WorkerError,
)
from voxdata.identity import canonical_json, digest
from voxdata.increment import (
    CUT,
    DIARIZE,
    LABEL,
    MEASURE,
    SCAN,
    SECOND_OPINION,
    TRANSCRIBE,
    Standing,
    pack_units,
)
from voxdata.prelabel import Models, RecordingWork
from voxdata.progress import Progress
from voxdata.sound import duration_ms
from voxdata.tally import add_up
from warehouse.attempts import record_attempt
from warehouse.batches import staged_rows
from warehouse.erase import is_forgotten
from warehouse.stages import reuse_results
from warehouse.utterances import list_cut, list_transcripts, list_turns

START_S = 180.0
"""Granted to a worker for importing and loading models."""


HOPELESS = 3
"""After so many recordings that a model refuses, and none that it takes, the run is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelSummary:
    """What a pre-labelling did.

    Attributes:
        recordings: Recordings with something to run.
        failed: Recordings that did not get through; the ledger says why.
        utterances: New utterances.
        predictions: New proposals, over all schemes.
        abstentions: How many of those abstain, since the model cannot decide; they tick nothing on
            the screen.
        reused: Earlier results that hold again.
        audio_minutes: Audio of `recordings`.
    """

    recordings: int = 0
    failed: int = 0
    utterances: int = 0
    predictions: int = 0
    abstentions: int = 0
    reused: int = 0
    audio_minutes: float = 0.0


def prelabel_pending(workspace: Workspace, *, say: Say) -> PrelabelSummary:
    """Do all pending pre-labelling.

    Interrupted at any point, the next run goes on where this one stopped.
    """
    specs = model_specs(workspace)
    models = build_models(workspace, specs)
    plan = plan_prelabel(workspace, models)
    pending = list_pending(workspace, plan)
    summary = PrelabelSummary()
    if not (again := plan.again).is_empty():
        with workspace.warehouse() as con:
            reused = reuse_results(con, again, run_id=workspace.run_id)
        summary = PrelabelSummary(reused=reused)
    _tell_cut_again(workspace, plan, say=say)
    progress = _Pace(total_ms=sum(group.duration_ms for group in plan.pending), say=say)
    progress.tell(summary)
    unreadable: list[Outcome] = []
    held: list[Outcome] = []
    trouble = ""
    short: list[str] = []
    for unit, worked in run_units(
        workspace, make_units(workspace, plan, pending, models, specs, unreadable)
    ):
        noted = _note_shortages(workspace, plan, pending, worked)
        short += [f"recording {o.work.recording_id}: {o.shortage}" for o in noted if o.shortage]
        outcomes = [outcome for outcome in noted if not outcome.shortage]
        if not outcomes:
            continue
        failures = [
            outcome.failure
            for outcome in outcomes
            if outcome.failure and outcome.failure.reason is DropReason.FAILED
        ]
        trouble = trouble or (failures[0].detail if failures else "")
        if len(failures) == len(outcomes) and not summary.recordings:
            # A model that refuses everything is no recording's fault: nothing is written down
            # until one succeeds.
            held += outcomes
            if len(held) < min(HOPELESS, len(pending)):
                continue
            raise BackendError(f"nothing can be pre-labelled: {trouble}")
        part = call(store_unit, workspace, plan, pending, models, [*held, *outcomes])
        held = []
        summary = add_up(summary, part)
        progress.advance(unit, summary)
    if unreadable:
        summary = add_up(summary, call(store_unit, workspace, plan, pending, models, unreadable))
        lost = counted(len(unreadable), "recording has lost its", "recordings have lost their")
        say(f"prelabel: {lost} canonical audio; `voxdata ingest` decodes it again")
    link_voices(workspace, say=say)
    _tell_summary(summary, models, say=say)
    show_table("prelabel", [asdict(summary)], description="Pre-labelling of this run")
    if short:
        left = counted(len(short), "recording was", "recordings were")
        raise ShortageError(f"{left} not pre-labelled, the others were: {short[0]}")
    if trouble:
        raise BackendError(
            f"a model failed, the rest was done; run again once it is fixed: {trouble}"
        )
    return summary


def _tell_summary(summary: PrelabelSummary, models: Models, *, say: Say) -> None:
    named = ", ".join(f"{name}: {labeler.model.name}" for name, labeler in models.labelers.items())
    done = counted(summary.recordings, "recording")
    proposals = counted(summary.predictions, "proposal")
    say(f"prelabel: {done}, {summary.failed} failed, {proposals} by {named}")
    if summary.abstentions:
        why = "since the model cannot decide: they tick nothing on the screen"
        say(f"prelabel: {summary.abstentions} of these proposals abstain, {why}")


def _note_shortages(
    workspace: Workspace,
    plan: PrelabelPlan,
    pending: Mapping[str, PlannedRecording],
    outcomes: Sequence[Outcome],
) -> list[Outcome]:
    """Note recordings for which memory was short, and let those rest that had it so often."""
    if not any(outcome.shortage for outcome in outcomes):
        return list(outcomes)
    noted = []
    with workspace.warehouse() as con:
        for outcome in outcomes:
            if outcome.shortage:
                stage, name = first_stage(outcome.work.wanted), outcome.work.recording_id
                tries = record_attempt(
                    con,
                    stage=stage,
                    subject=pending[name].stored.uri,
                    recording_id=name,
                    key=plan.keys[stage],
                    reason=outcome.shortage_reason,
                    day=days.today(),
                    detail=outcome.shortage,
                    run_id=workspace.run_id,
                )
                noted.append(given_up(outcome, days=tries.days) if tries.rests else outcome)
            else:
                noted.append(outcome)
    return noted


def _tell_cut_again(workspace: Workspace, plan: PrelabelPlan, *, say: Say) -> None:
    """Say that utterances are cut anew.

    What people said about one with other bounds stays with the old one.
    """
    stale = (group for group in plan.groups if group.standing.get(CUT) is Standing.STALE)
    if again := sum(group.size for group in stale):
        cutting = workspace.settings.utterance
        say(
            f"prelabel: {counted(again, 'recording is', 'recordings are')} cut again, "
            f"since [utterance] (pause_ms {cutting.pause_ms}, min_ms {cutting.min_ms}, "
            f"max_ms {cutting.max_ms}) or what the cut reads has changed; "
            f"answers to utterances whose bounds change stay with the old ones"
        )


def make_units(
    workspace: Workspace,
    plan: PrelabelPlan,
    pending: Mapping[str, PlannedRecording],
    models: Models,
    specs: ModelSpecs,
    unreadable: list[Outcome],
) -> Iterator[Unit]:
    """Pack what is pending into units of about [prelabel] batch_minutes.

    Each is read from the warehouse when it is asked for.

    Args:
        unreadable: Recordings whose canonical audio cannot be opened are put here.
    """
    sizes = {name: r.stored.recording.duration_ms for name, r in pending.items()}
    settings_key = digest("settings", canonical_json(workspace.settings.model_dump(mode="json")))
    guard = open_guard(workspace, pending)
    for names in pack_units(sizes, limit=round(workspace.settings.prelabel.batch_minutes * 60_000)):
        made = [_make_work(workspace, pending[name], plan, models, guard) for name in names]
        unreadable += [outcome for outcome in made if isinstance(outcome, Outcome)]
        works = tuple(work for work in made if isinstance(work, RecordingWork))
        if works:
            yield Unit(
                root=str(workspace.root),
                models=specs,
                settings_key=settings_key,
                works=works,
            )


def _make_work(
    workspace: Workspace,
    planned: PlannedRecording,
    plan: PrelabelPlan,
    models: Models,
    guard: AudioGuard,
) -> RecordingWork | Outcome:
    """One recording with the results that its wanted stages read, or why it cannot be worked on."""
    recording, wanted, keys = planned.stored.recording, planned.wanted, plan.keys
    try:
        path = workspace.audio_dir / planned.stored.audio_file
        sounds = open_canonical(path, expected=guard.admit(path, recording.recording_id))
    except AudioError as error:
        lost = RecordingWork(
            recording_id=recording.recording_id,
            sounds=(),
            source_rate_hz=recording.sample_rate_hz,
            wanted=wanted,
        )
        return Outcome(
            work=lost,
            failure=Failure(stage=first_stage(wanted), reason=error.reason, detail=str(error)),
        )
    work = RecordingWork(
        recording_id=recording.recording_id,
        sounds=tuple(sounds),
        source_rate_hz=recording.sample_rate_hz,
        wanted=wanted,
    )
    with workspace.warehouse() as con:
        if DIARIZE not in wanted and wanted & {TRANSCRIBE, SECOND_OPINION, CUT, MEASURE}:
            work.turns = tuple(list_turns(con, recording.recording_id, key=keys[DIARIZE]))
        if TRANSCRIBE not in wanted and CUT in wanted:
            work.transcripts = list_transcripts(
                con, recording.recording_id, key=keys[TRANSCRIBE], model=models.transcriber.model
            )
        if (
            SECOND_OPINION in keys
            and SECOND_OPINION not in wanted
            and MEASURE in wanted
            and models.second_transcriber is not None
        ):
            second = models.second_transcriber.model
            work.second_transcripts = list_transcripts(
                con, recording.recording_id, key=keys[SECOND_OPINION], model=second
            )
        if CUT not in wanted and (
            wanted & {MEASURE, SCAN} or any(stage.startswith(LABEL) for stage in wanted)
        ):
            work.utterances = tuple(list_cut(con, recording.recording_id, key=keys[CUT]))
    return work


def run_units(workspace: Workspace, units: Iterator[Unit]) -> Iterator[tuple[Unit, list[Outcome]]]:
    """Have units worked on as [prelabel] says, and give back each as it is done, in any order."""
    if workspace.settings.prelabel.runner != "process":
        from flows.prelabel.cluster import run_on_cluster

        yield from run_on_cluster(workspace, units)
        return
    first = next(units, None)
    if first is None:
        return
    workers = count_workers(workspace)
    limits = Limits(memory_bytes=worker_bytes(workspace, workers))
    idle_s = workspace.settings.prelabel.stall_seconds
    with WorkerPool(workers=workers, limits=limits) as pool:
        running: dict[Future[list[Outcome]], Unit] = {}
        queue: list[Unit] = [first]
        while queue or running:
            while (
                len(running) < 2 * workers
                and (unit := queue.pop() if queue else next(units, None)) is not None
            ):
                cpu_s = _patience_s(workspace, unit)
                running[pool.submit(run_unit, unit, cpu_s=cpu_s, idle_s=idle_s)] = unit
            for future in pool.wait_for_some(running):
                unit = running.pop(future)
                try:
                    yield unit, result_of(future)
                except (WorkerError, ShortageError) as error:
                    if len(unit.works) == 1:
                        yield unit, [killed_outcome(unit.works[0], error)]
                    else:
                        # Which of them killed the worker is found by running each in turn.
                        queue += [replace(unit, works=(work,)) for work in reversed(unit.works)]


def _patience_s(workspace: Workspace, unit: Unit) -> float:
    sounds = chain.from_iterable(work.sounds for work in unit.works)
    seconds = sum(duration_ms(sound) for sound in sounds) / 1000
    return START_S + workspace.settings.prelabel.patience * seconds


@step("prelabel-unit")
def store_unit(
    workspace: Workspace,
    plan: PrelabelPlan,
    pending: Mapping[str, PlannedRecording],
    models: Models,
    outcomes: Sequence[Outcome],
) -> PrelabelSummary:
    """Store what became of a unit: results and failures, a transaction a recording.

    Raises:
        MachineError: The audio or the models are away, so that no recording is to blame; nothing is
            stored.
    """
    if any(outcome.failure for outcome in outcomes):
        workspace.require_folders("audio", "models")
    try:
        with workspace.warehouse() as con:
            return _store(con, workspace, plan, pending, models, outcomes)
    except LockedError as error:
        tell(f"prelabel: {error}; the results are left as a batch, which the next writer merges")
        with staged_rows(
            workspace.batches_dir, run_id=workspace.run_id, places=workspace.places
        ) as con:
            return _store(con, workspace, plan, pending, models, outcomes)


def _store(
    con: DuckDBPyConnection,
    workspace: Workspace,
    plan: PrelabelPlan,
    pending: Mapping[str, PlannedRecording],
    models: Models,
    outcomes: Sequence[Outcome],
) -> PrelabelSummary:
    summary = PrelabelSummary()
    for outcome in outcomes:
        recording = pending[outcome.work.recording_id].stored
        store_outcome(con, workspace, plan, models, recording, outcome)
        if is_forgotten(con, outcome.work.recording_id) is not None:
            continue  # while it was worked on; the gate has refused its rows
        new = [p for p in outcome.work.predictions if f"{LABEL}{p.scheme}" in outcome.seconds]
        summary = replace(
            summary,
            recordings=summary.recordings + 1,
            failed=summary.failed + (outcome.failure is not None),
            utterances=summary.utterances
            + (len(outcome.work.utterances) if CUT in outcome.seconds else 0),
            predictions=summary.predictions + len(new),
            abstentions=summary.abstentions + sum(p.abstains for p in new),
            audio_minutes=summary.audio_minutes + recording.recording.duration_ms / 60_000,
        )
    return summary


class _Pace:
    """Tells how far the work is, how fast it goes and how long it will take."""

    def __init__(self, *, total_ms: int, say: Say) -> None:
        self._total_ms, self._say, self._done_ms, self._began = total_ms, say, 0, time.monotonic()

    def advance(self, unit: Unit, summary: PrelabelSummary) -> None:
        """A unit is done."""
        self._done_ms += sum(duration_ms(work.sounds[0]) for work in unit.works if work.sounds)
        self.tell(summary)

    def tell(self, summary: PrelabelSummary) -> None:
        """Tell it; nothing when there is nothing to do."""
        if not self._total_ms:
            return
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = self._done_ms / 1000 / seconds
        left_s = (self._total_ms - self._done_ms) / 1000 / rate if rate else 0.0
        pace = f", {rate:.1f}x real time, {left_s / 60:.1f} min left" if rate else ""
        line = (
            f"prelabel: {counted(summary.recordings, 'recording')}, "
            f"{self._done_ms / 60_000:.1f} of {self._total_ms / 60_000:.1f} min of audio{pace}, "
            f"{summary.failed} failed"
        )
        self._say(Progress(line, done=self._done_ms, total=self._total_ms))


@flow(
    name="prelabel",
    flow_run_name="prelabel",
    validate_parameters=False,
    log_prints=True,
)
def prelabel(root: str) -> dict[str, float]:
    """Pre-label whatever is pending in the workspace at `root`."""
    quiet_child()
    return asdict(prelabel_pending(open_workspace(Path(root)), say=tell))
