"""What waits for whom: work that somebody can do, and clips that nobody may hear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.labelling.push import push_pending
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES, quiet, run
from voxdata.canonical import write_canonical
from voxdata.recording import Recording
from voxdata.testing import make_recording, make_utterance
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.metadata import store_metadata
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

SETTINGS = (
    FAKES
    + """
[privacy]
mask = false
[training]
schemes = []
"""
)
PUSH = "push: utterances not in Label Studio"
ANNOTATORS = "annotators: clips with fewer votes than wanted"
CONSENT = "consent: clips held back until it covers their use"
RECORDINGS = {
    name: make_recording(number) for number, name in enumerate(("allowed", "refused", "silent"))
}


def add_call(workspace: Workspace, recording: Recording, *, clips: int) -> None:
    """A recording of 10 s with clips of 800 ms, and one that is too short to be heard."""
    write_canonical(
        workspace.audio_dir / f"{recording.recording_id}.flac",
        np.full((160_000, 1), 0.5, np.float32),
    )
    starts = [1_000 * number for number in range(clips)]
    said = [
        make_utterance(start, start + 800, recording_id=recording.recording_id) for start in starts
    ]
    said.append(make_utterance(9_000, 9_100, recording_id=recording.recording_id))
    with workspace.warehouse() as con:
        add_recording(
            con,
            recording,
            audio_file=f"{recording.recording_id}.flac",
            run_id="t",
        )
        uri = f"/calls/{recording.recording_id}.wav"
        add_source(
            con,
            uri=uri,
            size_bytes=1,
            modified_ns=1,
            recording_id=recording.recording_id,
            run_id="t",
        )
        store_utterances(con, said, key="c", run_id="t")
        record_stage(
            con,
            recording_id=recording.recording_id,
            stage="cut",
            key="c",
            model_key=None,
            num_rows=len(said),
            audio_ms=1,
            seconds=1.0,
            run_id="t",
        )


def say_consent(workspace: Workspace, recording: Recording, consent: str) -> None:
    with workspace.warehouse() as con:
        store_metadata(
            con,
            recording.recording_id,
            {"consent": consent},
            manifest="m",
            run_id="t",
        )


def read_waiting(workspace: Workspace) -> dict[str, int]:
    """What `voxdata status` prints."""
    done = run(workspace, "status", "--json")
    assert done.exit_code == 0, done.output
    printed: dict[str, int] = json.loads(done.stdout)["waiting"]
    return printed


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three recordings: of one consent was given, of one refused, of one nobody said anything."""
    (tmp_path / FILE_NAME).write_text(SETTINGS)
    workspace = open_workspace(tmp_path)
    for clips, recording in enumerate(RECORDINGS.values(), start=1):
        add_call(workspace, recording, clips=clips)
    say_consent(workspace, RECORDINGS["allowed"], "yes")
    say_consent(workspace, RECORDINGS["refused"], "no")
    return workspace


@pytest.fixture
def queue(workspace: Workspace) -> FakeQueue:
    return FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)


def test_status_counts_clips_without_consent_as_nobodys_work(workspace: Workspace) -> None:
    waiting = read_waiting(workspace)
    assert waiting[PUSH] == 1 + 3
    assert waiting[ANNOTATORS] == 1 + 3
    assert waiting[CONSENT] == 2


def test_status_holds_back_what_says_nothing_when_consent_is_required(workspace: Workspace) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + '[release]\nconsent = "required"\n')
    waiting = read_waiting(workspace)
    assert waiting[PUSH] == 1
    assert waiting[ANNOTATORS] == 1
    assert waiting[CONSENT] == 2 + 3


def test_status_leaves_push_nothing_to_do_after_a_push(
    workspace: Workspace, queue: FakeQueue
) -> None:
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 1 + 3
    waiting = read_waiting(workspace)
    assert waiting[PUSH] == 0
    assert waiting[ANNOTATORS] == 1 + 3
    assert waiting[CONSENT] == 2


def test_status_asks_annotators_for_nothing_about_clips_whose_consent_was_withdrawn(
    workspace: Workspace, queue: FakeQueue
) -> None:
    push_pending(workspace, queue=queue, say=quiet)
    say_consent(workspace, RECORDINGS["silent"], "withdrawn")
    waiting = read_waiting(workspace)
    assert waiting[PUSH] == 0
    assert waiting[ANNOTATORS] == 1
    assert waiting[CONSENT] == 2


def test_status_follows_the_least_length_of_a_clip(workspace: Workspace, queue: FakeQueue) -> None:
    push_pending(workspace, queue=queue, say=quiet)
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + "[annotation]\nmin_clip_ms = 50\n")
    assert read_waiting(workspace)[PUSH] == 2
