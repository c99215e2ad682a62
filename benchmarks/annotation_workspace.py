"""A workspace full of clips and proposals, and a Label Studio of its own, for the benchmarks and
tests of the sync.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from flows.models import build_labelers
from flows.place import FILE_NAME
from flows.services.label_studio_server import label_studio_spec
from flows.services.supervisor import ensure_running, stop_all
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import write_canonical
from voxdata.label import Prediction
from voxdata.testing import make_recording, make_utterance
from warehouse.labels import add_predictions
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

SHARES = {
    "intent": {"ask": 0.6, "tell": 0.3, "complain": 0.1},
    "emotion": {"neutral": 0.7, "angry": 0.2, "happy": 0.1},
}
"""What a made-up proposal gives each label, by scheme."""

SETTINGS = """
[project]
name = "{name}"
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[privacy]
mask = false
scanner = ""
[quality]
mos = ""
[services]
label_studio_port = 8197
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{{ name = "ask" }}, {{ name = "tell" }}, {{ name = "complain" }}]
[[schemes]]
name = "emotion"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{{ name = "neutral" }}, {{ name = "angry" }}, {{ name = "happy" }}]
[training]
schemes = []
"""
CLIP_MS = 500
PER_RECORDING = 1_000


def quiet(_line: str) -> None:
    """Say nothing."""


def make_workspace(root: Path, *, clips: int, name: str) -> Workspace:
    """A workspace with recordings of noise, cut into clips that each have two proposals."""
    root.mkdir(parents=True, exist_ok=True)
    (root / FILE_NAME).write_text(SETTINGS.format(name=name))
    workspace = open_workspace(root)
    models = {scheme: labeler.model for scheme, labeler in build_labelers(workspace).items()}
    noise = (
        np.random.default_rng(0)
        .normal(scale=0.05, size=(PER_RECORDING * CLIP_MS * 16, 1))
        .astype(np.float32)
    )
    for number in range(-(-clips // PER_RECORDING)):
        recording = make_recording(number, num_samples=len(noise))
        count = min(PER_RECORDING, clips - number * PER_RECORDING)
        utterances = [
            make_utterance(
                i * CLIP_MS,
                (i + 1) * CLIP_MS,
                text=f"clip {i} of {number}",
                recording_id=recording.recording_id,
            )
            for i in range(count)
        ]
        write_canonical(workspace.audio_dir / f"{number}.flac", noise)
        with workspace.warehouse() as con:
            add_recording(
                con,
                recording,
                audio_file=f"{number}.flac",
                run_id="b",
            )
            add_source(
                con,
                uri=f"{number}.wav",
                size_bytes=1,
                modified_ns=1,
                recording_id=recording.recording_id,
                run_id="b",
            )
            store_utterances(con, utterances, key="c", run_id="b")
            record_stage(
                con,
                recording_id=recording.recording_id,
                stage="cut",
                key="c",
                model_key=None,
                num_rows=count,
                audio_ms=1,
                seconds=0.0,
                run_id="b",
            )
            predictions = [
                Prediction(
                    utterance_id=u.utterance_id,
                    scheme=scheme,
                    distribution=SHARES[scheme],
                    model=models[scheme],
                )
                for u, scheme in itertools.product(utterances, SHARES)
            ]
            add_predictions(
                con,
                predictions,
                scheme_versions=workspace.scheme_versions,
                run_id="b",
            )
    return workspace


@contextmanager
def running_server(workspace: Workspace) -> Iterator[None]:
    """Label Studio for the workspace, stopped at the end."""
    ensure_running(
        workspace.state_dir,
        label_studio_spec(workspace, receiver=None, say=print),
        say=quiet,
    )
    try:
        yield
    finally:
        stop_all(workspace.state_dir, say=quiet, grace_s=5)


def rename(workspace: Workspace, name: str) -> Workspace:
    """The same clips for a Label Studio project of another name: an empty one."""
    (workspace.root / FILE_NAME).write_text(SETTINGS.format(name=name))
    return open_workspace(workspace.root)
