"""Store the results of a recording: the rows of every stage that is done, and the failure, if any,
in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from flows.prelabel.plan import PrelabelPlan
from flows.prelabel.worker import Outcome
from flows.workers import days
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
)
from voxdata.prelabel import Models, RecordingWork
from voxdata.remark import MIN_DOUBTFUL_MS, remark_doubt
from warehouse.attempts import PASSING, record_attempt
from warehouse.connection import transaction
from warehouse.labels import add_models, add_predictions
from warehouse.ledger import record_drop
from warehouse.measures import store_measures
from warehouse.privacy import store_private_spans
from warehouse.recordings import StoredRecording
from warehouse.remarks import record_remarks
from warehouse.stages import has_result, record_stage
from warehouse.utterances import store_transcripts, store_turns, store_utterances
from warehouse.voices import store_speaker_embeddings


def store_outcome(
    con: DuckDBPyConnection,
    workspace: Workspace,
    plan: PrelabelPlan,
    models: Models,
    stored: StoredRecording,
    outcome: Outcome,
) -> None:
    """Store one recording's outcome in one transaction.

    A stage that another process has stored meanwhile is left alone.
    """
    work, run_id = outcome.work, workspace.run_id
    with transaction(con):
        add_models(
            con, [spec.model for spec in plan.specs if spec.model is not None], run_id=run_id
        )
        for spec in plan.specs:
            key = plan.keys[spec.name]
            if spec.name not in outcome.seconds or has_result(
                con, recording_id=work.recording_id, stage=spec.name, key=key
            ):
                continue
            num_rows = _store_stage(con, workspace, work, spec, key)
            record_stage(
                con,
                recording_id=work.recording_id,
                stage=spec.name,
                key=key,
                model_key=None if spec.model is None else spec.model.key,
                num_rows=num_rows,
                audio_ms=stored.recording.duration_ms,
                seconds=outcome.seconds[spec.name],
                run_id=run_id,
            )
        _record_drops(con, workspace, plan, stored, outcome)


def _store_stage(
    con: DuckDBPyConnection, workspace: Workspace, work: RecordingWork, spec: StageSpec, key: str
) -> int:
    """Store the rows of one stage.

    Returns:
        How many.
    """
    name, run_id = work.recording_id, workspace.run_id
    if spec.name == DIARIZE:
        store_turns(con, name, work.turns, key=key, run_id=run_id)
        _store_voices(con, work, key=key, run_id=run_id)
        return len(work.turns)
    if spec.name in (TRANSCRIBE, SECOND_OPINION):
        transcripts = work.transcripts if spec.name == TRANSCRIBE else work.second_transcripts
        store_transcripts(con, name, transcripts, key=key, run_id=run_id)
        return len(transcripts)
    if spec.name == CUT:
        store_utterances(con, work.utterances, key=key, run_id=run_id)
        return len(work.utterances)
    if spec.name == MEASURE:
        store_measures(con, name, work.quality, key=key, run_id=run_id)
        return len(work.quality)
    if spec.name == SCAN:
        store_private_spans(con, name, work.private, key=key, run_id=run_id)
        return sum(len(spans) for spans in work.private.values())
    scheme = spec.name.removeprefix(LABEL)
    predictions = [p for p in work.predictions if p.scheme == scheme]
    return add_predictions(
        con, predictions, scheme_versions=workspace.scheme_versions, run_id=run_id, key=key
    )


def _store_voices(con: DuckDBPyConnection, work: RecordingWork, *, key: str, run_id: str) -> None:
    for channel, diarization in enumerate(work.diarizations):
        if diarization.voice_model is not None:
            store_speaker_embeddings(
                con,
                work.recording_id,
                channel,
                key=key,
                embeddings=diarization.embeddings,
                speech_ms=_speech_ms(work, channel),
                model_key=diarization.voice_model.key,
                run_id=run_id,
            )


def _speech_ms(work: RecordingWork, channel: int) -> Mapping[str, int]:
    spoken: Counter[str] = Counter()
    for turn in work.channel_turns(channel):
        spoken[turn.speaker] += turn.segment.duration_ms
    return spoken


def _record_drops(
    con: DuckDBPyConnection,
    workspace: Workspace,
    plan: PrelabelPlan,
    stored: StoredRecording,
    outcome: Outcome,
) -> None:
    failure, name = outcome.failure, outcome.work.recording_id
    if failure is not None and failure.reason in PASSING:
        record_attempt(
            con,
            stage=failure.stage,
            subject=stored.uri,
            recording_id=name,
            key=plan.keys[failure.stage],
            reason=failure.reason,
            day=days.today(),
            detail=failure.detail,
            run_id=workspace.run_id,
        )
    if failure is not None:
        record_drop(
            con,
            stage=failure.stage,
            subject=stored.uri,
            reason=failure.reason,
            detail=failure.detail,
            recording_id=name,
            key=plan.keys[failure.stage],
            run_id=workspace.run_id,
        )
    doubtful_ms = max(
        (diarization.doubtful_ms for diarization in outcome.work.diarizations), default=0
    )
    if DIARIZE in outcome.seconds and not outcome.work.turns and doubtful_ms >= MIN_DOUBTFUL_MS:
        record_remarks(
            con,
            [remark_doubt(doubtful_ms)],
            recording_id=name,
            stage=DIARIZE,
            subject=stored.uri,
            key=plan.keys[DIARIZE],
            run_id=workspace.run_id,
        )
    if CUT in outcome.seconds and not outcome.work.utterances:
        record_drop(
            con,
            stage=CUT,
            subject=stored.uri,
            reason=DropReason.NO_SPEECH,
            detail="the diarizer heard nobody",
            recording_id=name,
            key=plan.keys[CUT],
            run_id=workspace.run_id,
        )
