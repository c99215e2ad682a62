"""Pre-label: who spoke when, what was said, how good the audio is, and a proposal under each scheme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prefect import flow

from flows.say import tell
from flows.steps import call, show_table, step
from flows.wiring import build_diarizer, build_labelers, build_transcriber
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import read_clip
from voxdata.errors import AudioError, BackendError, DropReason
from voxdata.label import Prediction
from voxdata.ports import Clip, Diarizer, Labeler, Transcriber
from voxdata.prelabel import prelabel as prelabel_channels
from voxdata.prelabel import prelabel_key
from voxdata.utterance import Utterance
from warehouse.labels import add_predictions, predicted_ids
from warehouse.ledger import record_drop
from warehouse.recordings import PendingRecording, StoredRecording, list_recordings, pending_prelabel
from warehouse.utterances import list_utterances, store_prelabels


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelSummary:
    """What a pre-labelling did.

    Attributes:
        recordings: Recordings diarized and transcribed.
        dropped: Recordings that failed or held no speech; the ledger says why.
        predictions: New proposals, over all schemes.
    """

    recordings: int = 0
    dropped: int = 0
    predictions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrelabelPlan:
    """What a pre-labelling would do, and why.

    Attributes:
        recordings: To be diarized and transcribed, each "new" (never done) or "stale" (done by another model or setting).
        relabel: Scheme -> utterances of finished recordings that its present model has not labelled.
        key: Identity of diarizer, transcriber and their settings.
    """

    recordings: tuple[PendingRecording, ...]
    relabel: dict[str, int]
    key: str


def plan_prelabel(workspace: Workspace, *, diarizer: Diarizer, transcriber: Transcriber, labelers: dict[str, Labeler]) -> PrelabelPlan:
    """List what is pending; runs nothing."""
    key = _key(workspace, diarizer, transcriber)
    with workspace.warehouse() as con:
        utterances = {u.utterance_id for u in list_utterances(con)}
        done = {
            name: predicted_ids(con, scheme=name, scheme_version=workspace.scheme_versions[name], model_key=labeler.model.key)
            for name, labeler in labelers.items()
        }
        return PrelabelPlan(
            recordings=tuple(pending_prelabel(con, key=key)),
            relabel={name: len(utterances - ids) for name, ids in done.items()},
            key=key,
        )


def _key(workspace: Workspace, diarizer: Diarizer, transcriber: Transcriber) -> str:
    return prelabel_key(diarizer, transcriber, {}, workspace.settings.utterance.model_dump())


@step("prelabel-recording")
def prelabel_recording(workspace: Workspace, stored: StoredRecording, diarizer: Diarizer, transcriber: Transcriber) -> int:
    """Diarize and transcribe one recording and store the result.

    Returns:
        The number of utterances; 0 when it went to the ledger.
    """
    recording, key = stored.recording, _key(workspace, diarizer, transcriber)
    cutting = workspace.settings.utterance
    try:
        path = workspace.audio_dir / stored.audio_file
        channels = [read_clip(path, channel=channel) for channel in range(recording.canonical_channels)]
        result = prelabel_channels(
            recording.recording_id,
            channels,
            source_rate_hz=recording.sample_rate_hz,
            diarizer=diarizer,
            transcriber=transcriber,
            labelers={},
            pause_ms=cutting.pause_ms,
            max_ms=cutting.max_ms,
        )
        reason, detail = DropReason.NO_SPEECH, "the diarizer heard nobody"
    except (AudioError, BackendError) as error:
        result, reason, detail = None, getattr(error, "reason", DropReason.FAILED), str(error)
    with workspace.warehouse() as con:
        if result is not None:
            store_prelabels(con, result, key=key, scheme_versions=workspace.scheme_versions, run_id=workspace.run_id)
        if result is None or not result.utterances:
            record_drop(
                con, stage="prelabel", subject=stored.uri, reason=reason, detail=detail,
                recording_id=recording.recording_id, key=key, run_id=workspace.run_id,
            )  # fmt: skip
            return 0
        return len(result.utterances)


def load_clips(workspace: Workspace, audio_file: str, utterances: Sequence[Utterance]) -> list[Clip]:
    """Cut the utterances of one recording as labelers see them."""
    path = workspace.audio_dir / audio_file
    return [
        Clip(
            utterance_id=u.utterance_id,
            speaker=f"{u.recording_id}:{u.channel}:{u.speaker}",
            samples=read_clip(path, channel=u.channel, segment=u.segment),
            text=u.text,
            language=u.language,
        )
        for u in utterances
    ]


@step("label-recording")
def label_recording(workspace: Workspace, stored: StoredRecording, labelers: dict[str, Labeler]) -> int:
    """Propose a label for every utterance of one recording that the present models have not seen.

    Returns:
        New predictions.
    """
    with workspace.warehouse() as con:
        utterances = list_utterances(con, [stored.recording.recording_id])
        missing = [
            name
            for name, labeler in labelers.items()
            if {u.utterance_id for u in utterances}
            - predicted_ids(con, scheme=name, scheme_version=workspace.scheme_versions[name], model_key=labeler.model.key)
        ]
    if not missing:
        return 0
    clips = load_clips(workspace, stored.audio_file, utterances)
    predictions = [
        Prediction(utterance_id=clip.utterance_id, scheme=name, distribution=distribution, model=labelers[name].model)
        for name in missing
        for clip, distribution in zip(clips, labelers[name].label(clips), strict=True)
    ]
    with workspace.warehouse() as con:
        return add_predictions(con, predictions, scheme_versions=workspace.scheme_versions, run_id=workspace.run_id)


def prelabel_pending(workspace: Workspace, *, say: Say) -> PrelabelSummary:
    """Do all pending pre-labelling; interrupted at any point, the next run goes on where this one stopped."""
    diarizer, transcriber, labelers = build_diarizer(workspace), build_transcriber(workspace), build_labelers(workspace)
    plan = plan_prelabel(workspace, diarizer=diarizer, transcriber=transcriber, labelers=labelers)
    done = dropped = 0
    for number, pending in enumerate(plan.recordings, start=1):
        found = call(prelabel_recording, workspace, pending.stored, diarizer, transcriber)
        done, dropped = (done + 1, dropped) if found else (done, dropped + 1)
        say(f"prelabel: {number}/{len(plan.recordings)} {Path(pending.stored.uri).name}: {found} utterances")
    with workspace.warehouse() as con:
        stored = list_recordings(con)
    predictions = sum(call(label_recording, workspace, recording, labelers) for recording in _with_unlabelled(workspace, stored, labelers))
    summary = PrelabelSummary(recordings=done, dropped=dropped, predictions=predictions)
    say(f"prelabel: {done} recordings, {predictions} proposals by " + ", ".join(f"{n}: {x.model.name}" for n, x in labelers.items()))
    show_table("prelabel", [asdict(summary)], description="Pre-labelling of this run")
    return summary


def _with_unlabelled(workspace: Workspace, stored: Sequence[StoredRecording], labelers: dict[str, Labeler]) -> list[StoredRecording]:
    with workspace.warehouse() as con:
        utterances = list_utterances(con)
        done = {
            name: predicted_ids(con, scheme=name, scheme_version=workspace.scheme_versions[name], model_key=labeler.model.key)
            for name, labeler in labelers.items()
        }
    wanted = {u.recording_id for u in utterances if any(u.utterance_id not in ids for ids in done.values())}
    return [recording for recording in stored if recording.recording.recording_id in wanted]


@flow(name="prelabel", flow_run_name="prelabel", validate_parameters=False, log_prints=True)
def prelabel(root: str) -> dict[str, int]:
    """Pre-label whatever is pending in the workspace at `root`."""
    return asdict(prelabel_pending(open_workspace(Path(root)), say=tell))
