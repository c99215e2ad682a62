"""What a report says: read from the warehouse once, then a plain value."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from flows.labelling.answers import read_answers
from flows.workspace import Workspace
from voxdata.audio_digest import AudioDigest
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.diff import VersionDiff
from voxdata.errors import AudioError
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.ports import MODEL_RATE_HZ
from voxdata.recording import Recording
from voxdata.scheme import Scheme
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Utterance
from warehouse.annotations import list_simulated
from warehouse.audio_digests import list_audio_digests
from warehouse.diffs import diff_versions
from warehouse.labels import list_predictions
from warehouse.ledger import LedgerRow, list_drops
from warehouse.recordings import StoredRecording, list_recordings
from warehouse.remarks import RemarkRow, list_remarks
from warehouse.rows import read_rows
from warehouse.runs import TrainingRun, list_training_runs
from warehouse.status import Counts, count_rows
from warehouse.utterances import list_turns, list_utterances
from warehouse.versions import DatasetVersion, list_versions, load_examples

MAX_RECORDINGS = 12
NUM_PEAKS = 500
SOFTWARE = (
    "voxdata",
    "pyannote.audio",
    "faster-whisper",
    "torch",
    "transformers",
    "duckdb",
    "label-studio-sdk",
    "prefect",
    "matplotlib",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Peak envelopes of a canonical recording.

    Attributes:
        peaks: One tuple a channel, each of at most NUM_PEAKS values in [0, 1] over equal stretches of time.
        error: Why there is none; "" when there is.
    """

    peaks: tuple[tuple[float, ...], ...]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything a report says.

    Attributes:
        turns: Recording id -> turns, for the recordings shown.
        waveforms: Recording id -> envelope, for the recordings shown.
        predictions: Scheme -> model key -> utterance id -> prediction.
        min_votes: Votes an utterance needs to have a gold label.
        examples: The examples of the newest version.
        newest_diff: What the newest version changed against its parent; None without a parent.
        simulated: Login -> error rate of the annotators who are scripts, as their answers say.
        software: Name -> version.
        cut: Recordings that were cut into utterances, also when nobody speaks in them.
    """

    name: str
    created_at: datetime
    counts: Counts
    schemes: tuple[Scheme, ...]
    recordings: tuple[StoredRecording, ...]
    turns: Mapping[str, Sequence[Turn]]
    waveforms: Mapping[str, Waveform]
    utterances: tuple[Utterance, ...]
    predictions: Mapping[str, Mapping[str, Mapping[str, Prediction]]]
    annotations: tuple[Annotation, ...]
    min_votes: int
    drops: tuple[LedgerRow, ...]
    remarks: tuple[RemarkRow, ...]
    versions: tuple[DatasetVersion, ...]
    examples: tuple[Example, ...]
    newest_diff: VersionDiff | None
    runs: tuple[TrainingRun, ...]
    models: tuple[ModelRef, ...]
    simulated: Mapping[str, float]
    software: Mapping[str, str]
    cut: frozenset[str] = frozenset()


def read_content(workspace: Workspace, *, created_at: datetime) -> ReportContent:
    """Read the warehouse once, then the audio of the recordings shown."""
    with workspace.warehouse() as con:
        recordings = list_recordings(con)
        versions = list_versions(con)
        newest = versions[-1] if versions else None
        rows: list[dict[str, Any]] = read_rows(
            con, "select name, revision, weak, model_key from model order by seq"
        )
        predictions = {
            scheme.name: {
                row["model_key"]: found
                for row in rows
                if (found := list_predictions(con, scheme=scheme.name, model_key=row["model_key"]))
            }
            for scheme in workspace.schemes
        }
        shown = recordings[:MAX_RECORDINGS]
        digests = list_audio_digests(con, {r.recording.recording_id for r in shown})
        parts: dict[str, Any] = {
            "counts": count_rows(con),
            "turns": {
                r.recording.recording_id: list_turns(con, r.recording.recording_id) for r in shown
            },
            "utterances": tuple(list_utterances(con)),
            "annotations": read_answers(con, workspace.histories).labels,
            "drops": tuple(list_drops(con)),
            "remarks": tuple(list_remarks(con)),
            "examples": tuple(load_examples(con, newest.version_id)) if newest else (),
            "newest_diff": diff_versions(con, newest.parent, newest.version_id)
            if newest and newest.parent
            else None,
            "runs": tuple(list_training_runs(con)),
            "simulated": list_simulated(con),
            "cut": frozenset(
                str(row["recording_id"])
                for row in read_rows(
                    con, "select recording_id from current_result where stage = 'cut'"
                )
            ),
        }
    return ReportContent(
        name=workspace.settings.project.name,
        created_at=created_at,
        schemes=workspace.schemes,
        recordings=tuple(recordings),
        waveforms={
            r.recording.recording_id: read_waveform(
                workspace.audio_dir / r.audio_file,
                r.recording,
                expected=digests.get(r.recording.recording_id),
            )
            for r in shown
        },
        predictions=predictions,
        min_votes=workspace.settings.release.min_votes,
        versions=tuple(versions),
        models=tuple(
            ModelRef(name=row["name"], revision=row["revision"], weak=row["weak"]) for row in rows
        ),
        software={"Python": platform.python_version()}
        | {name: _installed(name) for name in SOFTWARE},
        **parts,
    )


def read_waveform(
    path: Path, recording: Recording, *, expected: AudioDigest | None = None
) -> Waveform:
    """The peak envelope of a canonical recording, read a minute or so at a time; a file that cannot be read gives the reason instead."""
    duration_ms = max(1, recording.duration_ms)
    bin_ms = -(-duration_ms // NUM_PEAKS)
    piece_ms = bin_ms * max(1, 60_000 // bin_ms)
    width = bin_ms * MODEL_RATE_HZ // 1000
    channels = []
    try:
        for channel in range(recording.canonical_channels):
            peaks: list[float] = []
            for start_ms in range(0, duration_ms, piece_ms):
                segment = Segment(start_ms=start_ms, end_ms=min(start_ms + piece_ms, duration_ms))
                samples = np.abs(
                    read_clip(path, channel=channel, segment=segment, expected=expected)
                )
                padded = np.pad(samples, (0, -len(samples) % width))
                peaks.extend(
                    round(float(peak), 3) for peak in padded.reshape(-1, width).max(axis=1)
                )
            channels.append(tuple(peaks))
    except AudioError as error:
        return Waveform(peaks=(), error=str(error))
    return Waveform(peaks=tuple(channels))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
