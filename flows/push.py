"""Push: put clips with their proposals into Label Studio, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from prefect import flow

from flows.say import tell
from flows.steps import call, show_table, step
from flows.wiring import build_labelers, build_queue
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import read_clip, write_clip_wav
from voxdata.errors import DropReason
from voxdata.identity import digest
from voxdata.label import Prediction
from voxdata.ports import AnnotationQueue, QueueEntry
from voxdata.utterance import Utterance
from warehouse.labels import list_predictions, pushed_keys, record_pushes
from warehouse.ledger import record_drop
from warehouse.recordings import StoredRecording, list_recordings
from warehouse.utterances import list_utterances

BATCH_SIZE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSummary:
    """What a push did, in clips.

    Attributes:
        pushed: Newly in Label Studio.
        already_there: Found there though the warehouse did not know (an earlier push died half-way).
        predictions_added: Got newer proposals beside the old ones.
        unchanged: Were there with the newest proposals.
        too_short: Not sent; in the ledger.
    """

    pushed: int = 0
    already_there: int = 0
    predictions_added: int = 0
    unchanged: int = 0
    too_short: int = 0


def predictions_key(predictions: tuple[Prediction, ...]) -> str:
    """Identity of a set of proposals: which models made them."""
    return digest(*sorted(f"{p.scheme}={p.model.key}" for p in predictions))


@step("push-batch")
def push_batch(workspace: Workspace, queue: AnnotationQueue, project_id: int, entries: list[QueueEntry]) -> PushSummary:
    """Push some clips and record that they are there."""
    result = queue.push(entries)
    keys = {entry.utterance_id: predictions_key(entry.predictions) for entry in entries}
    with workspace.warehouse() as con:
        record_pushes(con, project_id=project_id, pushed=keys, run_id=workspace.run_id)
    return PushSummary(pushed=len(result.pushed), already_there=len(result.already_there), predictions_added=len(result.predictions_added))


def push_pending(workspace: Workspace, *, say: Say) -> PushSummary:
    """Push every utterance that Label Studio lacks, or whose proposals are newer than those it has."""
    queue = build_queue(workspace)
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    with workspace.warehouse() as con:
        recordings = {stored.recording.recording_id: stored for stored in list_recordings(con)}
        utterances = list_utterances(con)
        proposals = {name: list_predictions(con, scheme=name, model_key=model.key) for name, model in models.items()}
        there = pushed_keys(con, project_id=queue.project_id)
        wanted = [u for u in utterances if u.segment.duration_ms >= workspace.settings.utterance.min_ms]
        short = [u for u in utterances if u.segment.duration_ms < workspace.settings.utterance.min_ms]
        for u in short:
            record_drop(
                con, stage="push", subject=u.utterance_id, reason=DropReason.TOO_SHORT, recording_id=u.recording_id,
                detail="shorter than [utterance] min_ms", value=u.segment.duration_ms,
                threshold=workspace.settings.utterance.min_ms, run_id=workspace.run_id,
            )  # fmt: skip
    entries = [_entry(workspace, recordings[u.recording_id], u, proposals) for u in wanted]
    pending = [entry for entry in entries if there.get(entry.utterance_id) != predictions_key(entry.predictions)]
    by_id = {u.utterance_id: u for u in wanted}
    total = PushSummary(unchanged=len(entries) - len(pending), too_short=len(short))
    for start in range(0, len(pending), BATCH_SIZE):
        batch = pending[start : start + BATCH_SIZE]
        for entry in batch:
            _cut_clip(workspace, recordings, by_id[entry.utterance_id], entry)
        part = call(push_batch, workspace, queue, queue.project_id, batch)
        total = PushSummary(**{name: getattr(total, name) + getattr(part, name) for name in PushSummary.__slots__})
        say(f"push: {start + len(batch)}/{len(pending)} clips")
    say(f"push: {total.pushed} new, {total.predictions_added} with newer proposals, {total.unchanged} unchanged")
    show_table("push", [asdict(total)], description="Clips pushed by this run")
    return total


def _entry(
    workspace: Workspace, stored: StoredRecording, utterance: Utterance, proposals: Mapping[str, Mapping[str, Prediction]]
) -> QueueEntry:
    start = utterance.segment.start_ms
    return QueueEntry(
        utterance_id=utterance.utterance_id,
        audio_file=f"clips/{utterance.recording_id}/{utterance.utterance_id}.wav",
        text=utterance.text,
        note=f"{Path(stored.uri).name} · {utterance.speaker} · {start // 60_000:02d}:{start % 60_000 / 1000:04.1f}",
        predictions=tuple(found[utterance.utterance_id] for found in proposals.values() if utterance.utterance_id in found),
    )


def _cut_clip(workspace: Workspace, recordings: Mapping[str, StoredRecording], utterance: Utterance, entry: QueueEntry) -> None:
    target = workspace.media_dir / entry.audio_file
    if not target.exists():
        source = workspace.audio_dir / recordings[utterance.recording_id].audio_file
        write_clip_wav(target, read_clip(source, channel=utterance.channel, segment=utterance.segment))


@flow(name="push", flow_run_name="push", validate_parameters=False, log_prints=True)
def push(root: str) -> dict[str, int]:
    """Push what is pending in the workspace at `root`."""
    return asdict(push_pending(open_workspace(Path(root)), say=tell))
