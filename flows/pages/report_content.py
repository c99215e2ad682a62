"""What a report says: read from the warehouse once, then a plain value."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from flows.labelling.answers import read_answers
from flows.workspace import Workspace
from voxdata.audio_digest import AudioDigest
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.diff import VersionDiff
from voxdata.errors import AudioError
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.ports import MODEL_RATE_HZ, Samples
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
from warehouse.promotions import Promotion, list_promotions
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
        peaks: One tuple per channel, each of at most NUM_PEAKS values in [0, 1] over equal
            stretches of time.
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
        promotions: Every change of the model in use, oldest first.
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
    promotions: tuple[Promotion, ...] = ()


def read_content(workspace: Workspace, *, created_at: datetime) -> ReportContent:
    """Read the warehouse once, then the audio of the recordings shown."""
    with workspace.warehouse() as con:
        content = _read_rows(workspace, con, created_at=created_at)
        shown = content.recordings[:MAX_RECORDINGS]
        digests = list_audio_digests(con, {stored.recording.recording_id for stored in shown})
    return replace(content, waveforms=_read_waveforms(workspace, shown, digests))


def _read_rows(
    workspace: Workspace, con: DuckDBPyConnection, *, created_at: datetime
) -> ReportContent:
    """Everything but the waveforms."""
    recordings = tuple(list_recordings(con))
    versions = tuple(list_versions(con))
    models: list[dict[str, Any]] = read_rows(
        con, "select name, revision, weak, model_key from model order by seq"
    )
    cut = read_rows(con, "select recording_id from current_result where stage = 'cut'")
    return ReportContent(
        name=workspace.settings.project.name,
        created_at=created_at,
        counts=count_rows(con),
        schemes=workspace.schemes,
        recordings=recordings,
        turns=_read_turns(con, recordings[:MAX_RECORDINGS]),
        waveforms={},
        utterances=tuple(list_utterances(con)),
        predictions=_read_predictions(
            con, workspace.schemes, [str(row["model_key"]) for row in models]
        ),
        annotations=read_answers(con, workspace.histories).labels,
        min_votes=workspace.settings.release.min_votes,
        drops=tuple(list_drops(con)),
        remarks=tuple(list_remarks(con)),
        versions=versions,
        examples=_read_newest_examples(con, versions),
        newest_diff=_read_newest_diff(con, versions),
        runs=tuple(list_training_runs(con)),
        models=tuple(
            ModelRef(name=row["name"], revision=row["revision"], weak=row["weak"]) for row in models
        ),
        simulated=list_simulated(con),
        software=_list_software(),
        cut=frozenset(str(row["recording_id"]) for row in cut),
        promotions=tuple(list_promotions(con)),
    )


def _read_turns(
    con: DuckDBPyConnection, recordings: Sequence[StoredRecording]
) -> dict[str, list[Turn]]:
    """Recording id -> its turns."""
    ids = [stored.recording.recording_id for stored in recordings]
    return {recording_id: list_turns(con, recording_id) for recording_id in ids}


def _read_predictions(
    con: DuckDBPyConnection, schemes: Sequence[Scheme], model_keys: Sequence[str]
) -> dict[str, dict[str, dict[str, Prediction]]]:
    """Scheme -> model key -> utterance id -> prediction, of the models that made any."""
    predictions: dict[str, dict[str, dict[str, Prediction]]] = {}
    for scheme in schemes:
        by_model = predictions[scheme.name] = {}
        for model_key in model_keys:
            made = list_predictions(con, scheme=scheme.name, model_key=model_key)
            if made:
                by_model[model_key] = made
    return predictions


def _read_newest_examples(
    con: DuckDBPyConnection, versions: Sequence[DatasetVersion]
) -> tuple[Example, ...]:
    return tuple(load_examples(con, versions[-1].version_id)) if versions else ()


def _read_newest_diff(
    con: DuckDBPyConnection, versions: Sequence[DatasetVersion]
) -> VersionDiff | None:
    newest = versions[-1] if versions else None
    if newest is None or not newest.parent:
        return None
    return diff_versions(con, newest.parent, newest.version_id)


def _list_software() -> dict[str, str]:
    software = {"Python": platform.python_version()}
    for name in SOFTWARE:
        software[name] = _installed(name)
    return software


def _read_waveforms(
    workspace: Workspace,
    recordings: Sequence[StoredRecording],
    digests: Mapping[str, AudioDigest],
) -> dict[str, Waveform]:
    waveforms: dict[str, Waveform] = {}
    for stored in recordings:
        recording = stored.recording
        waveforms[recording.recording_id] = read_waveform(
            workspace.audio_dir / stored.audio_file,
            recording,
            expected=digests.get(recording.recording_id),
        )
    return waveforms


def read_waveform(
    path: Path, recording: Recording, *, expected: AudioDigest | None = None
) -> Waveform:
    """The peak envelope of a canonical recording, read a minute or so at a time.

    A file that cannot be read gives the reason instead.
    """
    duration_ms = max(1, recording.duration_ms)
    bin_ms = -(-duration_ms // NUM_PEAKS)
    piece_ms = bin_ms * max(1, 60_000 // bin_ms)
    width = bin_ms * MODEL_RATE_HZ // 1000
    channels: list[tuple[float, ...]] = []
    try:
        for channel in range(recording.canonical_channels):
            peaks: list[float] = []
            for start_ms in range(0, duration_ms, piece_ms):
                end_ms = min(start_ms + piece_ms, duration_ms)
                segment = Segment(start_ms=start_ms, end_ms=end_ms)
                samples = read_clip(path, channel=channel, segment=segment, expected=expected)
                peaks += _find_peaks(samples, width)
            channels.append(tuple(peaks))
    except AudioError as error:
        return Waveform(peaks=(), error=str(error))
    return Waveform(peaks=tuple(channels))


def _find_peaks(samples: Samples, width: int) -> list[float]:
    """The loudest of each `width` samples, with three decimals; the last stretch may be shorter."""
    padded = np.pad(np.abs(samples), (0, -len(samples) % width))
    peaks = padded.reshape(-1, width).max(axis=1)
    return [round(float(peak), 3) for peak in peaks]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
