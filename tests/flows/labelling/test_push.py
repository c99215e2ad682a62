"""What leaves for annotators: masked text, muted sound; and how the original comes back for a
release."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.labelling.answers import read_answers
from flows.labelling.pull import pull_annotations
from flows.labelling.push import push_pending
from flows.labelling.queues import open_project
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES, quiet
from voxdata.canonical import write_canonical
from voxdata.draft import corrected_texts
from voxdata.label import Prediction
from voxdata.privacy import PrivateSpan
from voxdata.recording import Recording
from voxdata.segment import Segment
from voxdata.testing import make_recording, make_utterance, make_word
from voxdata.testing.annotation_queue import FakeQueue
from voxdata.testing.backends import FakeLabeler
from voxdata.utterance import Utterance
from warehouse.annotations import add_annotations, current_annotations
from warehouse.labels import add_predictions
from warehouse.metadata import store_metadata
from warehouse.privacy import list_hidden, store_private_spans
from warehouse.pushes import list_pushed
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

SETTINGS = (
    FAKES
    + """
[privacy]
mask = true
[training]
schemes = []
"""
)
RECORDING = make_recording()
SECRET = PrivateSpan(
    kind="phone",
    start=5,
    end=13,
    segment=Segment(start_ms=1_400, end_ms=2_600),
    score=0.9,
)
LOUD = 0.5
"""Level of every sample of the recording: what is below it was muted."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / FILE_NAME).write_text(SETTINGS)
    workspace = open_workspace(tmp_path)
    write_canonical(workspace.audio_dir / "call.flac", np.full((160_000, 1), LOUD, np.float32))
    with workspace.warehouse() as con:
        add_recording(con, RECORDING, audio_file="call.flac", run_id="t")
        add_source(
            con,
            uri="/calls/02079460000.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id=RECORDING.recording_id,
            run_id="t",
        )
    return workspace


@pytest.fixture
def queue(workspace: Workspace) -> FakeQueue:
    return FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)


def said(start_ms: int, end_ms: int, text: str) -> Utterance:
    return make_utterance(
        start_ms,
        end_ms,
        text=text,
        words=(make_word(f" {text}", start_ms, end_ms),),
    )


CALL = said(1_000, 3_000, "call 555 0132 now")
THANKS = said(4_000, 5_000, "thank you")
OVERLAPPING = make_utterance(2_000, 3_500, speaker="S1", text="what?")


def cut(
    workspace: Workspace,
    utterances: Sequence[Utterance],
    *,
    key: str = "c",
    recording: Recording = RECORDING,
) -> None:
    with workspace.warehouse() as con:
        store_utterances(con, utterances, key=key, run_id="t")
        _record(con, recording, "cut", key, len(utterances))


def scan(
    workspace: Workspace,
    private: dict[str, list[PrivateSpan]],
    *,
    key: str = "s",
) -> None:
    with workspace.warehouse() as con:
        store_private_spans(con, RECORDING.recording_id, private, key=key, run_id="t")
        _record(con, RECORDING, "scan", key, len(private))


def _record(con, recording: Recording, stage: str, key: str, rows: int) -> None:
    record_stage(
        con,
        recording_id=recording.recording_id,
        stage=stage,
        key=key,
        model_key=None,
        num_rows=rows,
        audio_ms=1,
        seconds=1.0,
        run_id="t",
    )


def test_pull_annotations_reads_what_changed_after_the_clock_of_the_server_was_set_back(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [], THANKS.utterance_id: []})
    push_pending(workspace, queue=queue, say=quiet)
    project = open_project(workspace, queue)
    queue._ticks = 7_200
    number = queue.answer(
        CALL.utterance_id,
        {"intent": ("ask",)},
        annotator="person-1@voxdata.local",
    )
    assert pull_annotations.fn(project)["new_revisions"] == 1
    queue._ticks = 3_600
    queue.answer(
        THANKS.utterance_id,
        {"intent": ("tell",)},
        annotator="person-1@voxdata.local",
    )
    assert pull_annotations.fn(project)["new_revisions"] == 1
    queue.change(number, {"intent": ("tell",)})
    assert pull_annotations.fn(project)["new_revisions"] == 1
    with workspace.warehouse() as con:
        standing = {a.annotation_id: a.labels["intent"] for a in current_annotations(con)}
    assert standing[number] == ("tell",)


def read_served(workspace: Workspace, queue: FakeQueue, utterance: Utterance) -> np.ndarray:
    samples, rate = soundfile.read(
        workspace.media_dir / queue.entries[utterance.utterance_id].audio_file,
        dtype="float32",
    )
    assert rate == 16_000
    return samples


def answer_everything(workspace: Workspace, queue: FakeQueue) -> None:
    """Somebody labels both clips, so that a push may pass over them."""
    for utterance in (CALL, THANKS):
        queue.answer(
            utterance.utterance_id, {"intent": ("ask",)}, annotator="person-1@voxdata.local"
        )
    pull_annotations.fn(open_project(workspace, queue))


def test_push_masks_later_what_it_could_not_cut_before(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [], THANKS.utterance_id: []})
    push_pending(workspace, queue=queue, say=quiet)
    answer_everything(workspace, queue)
    assert push_pending(workspace, queue=queue, say=quiet).unchanged == 2

    scan(
        workspace,
        {CALL.utterance_id: [SECRET], THANKS.utterance_id: []},
        key="s2",
    )
    audio = workspace.audio_dir / "call.flac"
    whole = audio.read_bytes()
    audio.unlink()
    assert push_pending(workspace, queue=queue, say=quiet).bad_audio == 1
    assert "555" in queue.entries[CALL.utterance_id].text
    audio.write_bytes(whole)
    assert push_pending(workspace, queue=queue, say=quiet).replaced == 1
    assert "555" not in queue.entries[CALL.utterance_id].text


def test_push_removes_the_clip_of_a_lost_task_whose_consent_has_ended(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [], THANKS.utterance_id: []})
    push_pending(workspace, queue=queue, say=quiet)
    answer_everything(workspace, queue)
    push_pending(workspace, queue=queue, say=quiet)
    clips = workspace.media_dir / "clips"
    assert len(list(clips.rglob("*.wav"))) == 2

    queue.remove_clip(CALL.utterance_id)
    with workspace.warehouse() as con:
        store_metadata(
            con,
            RECORDING.recording_id,
            {"consent": "no"},
            manifest="m",
            run_id="t",
        )
    assert push_pending(workspace, queue=queue, say=quiet).no_consent == 1
    (kept,) = clips.rglob("*.wav")
    assert kept.name.startswith(THANKS.utterance_id)


def test_push_masks_the_text_and_the_file_name(workspace: Workspace, queue: FakeQueue) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 2
    assert queue.entries[CALL.utterance_id].text == "call [phone] now"
    assert queue.entries[THANKS.utterance_id].text == "thank you"
    assert "02079460000" not in queue.entries[CALL.utterance_id].note


def test_push_mutes_the_clip_that_is_written_and_nothing_else(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    push_pending(workspace, queue=queue, say=quiet)
    served = read_served(workspace, queue, CALL)
    assert len(served) == 2_000 * 16
    assert np.abs(served[400 * 16 : 1_600 * 16]).max() < 0.05
    assert np.abs(served[400 * 16 : 1_600 * 16]).max() > 0.01
    assert served[: 400 * 16] == pytest.approx(LOUD, abs=1e-3)
    assert served[1_600 * 16 :] == pytest.approx(LOUD, abs=1e-3)
    assert read_served(workspace, queue, THANKS) == pytest.approx(LOUD, abs=1e-3)


def test_push_mutes_a_neighbour_who_is_heard_in_the_clip(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, OVERLAPPING])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    push_pending(workspace, queue=queue, say=quiet)
    served = read_served(workspace, queue, OVERLAPPING)
    assert np.abs(served[: 600 * 16]).max() < 0.05
    assert served[600 * 16 :] == pytest.approx(LOUD, abs=1e-3)
    assert queue.entries[OVERLAPPING.utterance_id].text == "what?"


def test_push_mutes_a_neighbour_who_is_too_short_to_leave(
    workspace: Workspace, queue: FakeQueue
) -> None:
    brief = make_utterance(
        1_200,
        1_400,
        speaker="S1",
        text="Mary",
        words=(make_word(" Mary", 1_200, 1_400),),
    )
    name = PrivateSpan(
        kind="name",
        start=0,
        end=4,
        segment=brief.segment,
        score=0.9,
    )
    cut(workspace, [CALL, brief])
    scan(workspace, {brief.utterance_id: [name]})
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.too_short == 1
    served = read_served(workspace, queue, CALL)
    assert np.abs(served[200 * 16 : 400 * 16]).max() < 0.05
    assert queue.counts().clips == 1


def test_push_keeps_back_what_was_not_scanned(
    workspace: Workspace, queue: FakeQueue, said: list[str]
) -> None:
    cut(workspace, [CALL, THANKS])
    summary = push_pending(workspace, queue=queue, say=said.append)
    assert summary.pushed == 0
    assert summary.not_scanned == 2
    assert queue.counts().clips == 0
    assert not list(workspace.media_dir.rglob("*.wav"))
    assert any("voxdata prelabel" in line for line in said)
    scan(workspace, {})
    assert push_pending(workspace, queue=queue, say=quiet).pushed == 2


def test_push_replaces_clip_and_text_when_other_spans_are_found(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {}, key="before")
    push_pending(workspace, queue=queue, say=quiet)
    open_clip = workspace.media_dir / queue.entries[CALL.utterance_id].audio_file
    assert open_clip.exists()
    scan(workspace, {CALL.utterance_id: [SECRET]}, key="after")
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 0
    assert summary.replaced == 1
    assert summary.unchanged == 1
    masked_clip = workspace.media_dir / queue.entries[CALL.utterance_id].audio_file
    assert masked_clip != open_clip
    assert masked_clip.exists()
    assert not open_clip.exists()
    assert queue.entries[CALL.utterance_id].text == "call [phone] now"
    again = push_pending(workspace, queue=queue, say=quiet)
    assert again.pushed == 0
    assert again.replaced == 0
    assert again.unchanged == 2


def test_push_masks_nothing_when_the_operator_says_so(
    workspace: Workspace, queue: FakeQueue
) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS.replace("mask = true", "mask = false"))
    cut(workspace, [CALL])
    push_pending(open_workspace(workspace.root), queue=queue, say=quiet)
    assert queue.entries[CALL.utterance_id].text == CALL.text
    assert read_served(workspace, queue, CALL) == pytest.approx(LOUD, abs=1e-3)


@pytest.mark.parametrize(
    ("edited", "released"),
    [
        (None, None),
        ("call [phone] now!", "call 555 0132 now!"),
        ("please call [phone]", "please call 555 0132"),
        ("call me now", "call me now"),
    ],
)
def test_release_puts_the_original_under_a_mask_that_is_still_there(
    workspace: Workspace,
    queue: FakeQueue,
    edited: str | None,
    released: str | None,
) -> None:
    cut(workspace, [CALL])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    push_pending(workspace, queue=queue, say=quiet)
    queue.answer(
        CALL.utterance_id,
        {"intent": ("ask",)},
        annotator="a@b.c",
        text=edited,
    )
    with workspace.warehouse() as con:
        add_annotations(
            con,
            queue.pull(since=None).annotations,
            run_id="t",
        )
        texts = corrected_texts(current_annotations(con), list_hidden(con))
    assert texts == ({} if released is None else {CALL.utterance_id: released})


def test_push_lets_people_hear_context_and_mutes_what_is_private_in_it(
    workspace: Workspace, queue: FakeQueue
) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + "[annotation]\ncontext_ms = 1500\n")
    workspace = open_workspace(workspace.root)
    cut(workspace, [CALL, THANKS])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    push_pending(workspace, queue=queue, say=quiet)
    samples, _ = soundfile.read(
        workspace.media_dir / queue.entries[THANKS.utterance_id].audio_file,
        dtype="float32",
    )
    assert len(samples) == 4_000 * 16  # 2.5 s to 6.5 s; what was said until 2.6 s is private
    assert np.abs(samples[: 100 * 16]).max() < 0.05
    assert samples[100 * 16 :] == pytest.approx(LOUD, abs=1e-3)
    first, _ = soundfile.read(
        workspace.media_dir / queue.entries[CALL.utterance_id].audio_file,
        dtype="float32",
    )
    assert len(first) == 4_500 * 16  # 0 s to 4.5 s: a recording has no time before it begins
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.unchanged == 2


def test_push_gives_out_known_clips_again_in_disguise(
    workspace: Workspace, queue: FakeQueue
) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + "[annotation]\ncheck_share = 0.5\n")
    workspace = open_workspace(workspace.root)
    cut(workspace, [CALL])
    scan(workspace, {CALL.utterance_id: [SECRET]})
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 1
    for person in "abc":
        queue.answer(
            CALL.utterance_id,
            {"intent": ("ask",)},
            annotator=f"{person}@b.c",
        )
    with workspace.warehouse() as con:
        add_annotations(
            con,
            queue.pull(since=None).annotations,
            run_id="t",
        )
    cut(workspace, [CALL, THANKS], key="c2")
    scan(workspace, {CALL.utterance_id: [SECRET]}, key="s2")
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 2
    (key,) = set(queue.entries) - {CALL.utterance_id, THANKS.utterance_id}
    twin = queue.entries[key]
    original = queue.entries[CALL.utterance_id]
    assert twin.text == original.text
    labels = [p.label for p in twin.predictions]
    assert labels == [p.label for p in original.predictions]
    assert twin.note != original.note
    samples, _ = soundfile.read(workspace.media_dir / twin.audio_file, dtype="float32")
    assert np.count_nonzero(np.abs(samples) < 0.05) >= 1_200 * 16 - 1
    again = push_pending(workspace, queue=queue, say=quiet)
    assert again.pushed == 0
    assert again.unchanged == 3
    assert (workspace.media_dir / twin.audio_file).exists()
    queue.answer(key, {"intent": ("tell",)}, annotator="a@b.c")
    with workspace.warehouse() as con:
        add_annotations(
            con,
            queue.pull(since=None).annotations,
            run_id="t",
        )
        answers = read_answers(con, workspace.histories)
    assert [a.utterance_id for a in answers.checks] == [key]
    assert len(answers.labels) == 3


def propose(workspace: Workspace, utterance: Utterance, **shares: float) -> None:
    model = FakeLabeler(scheme=workspace.schemes[0]).model
    proposal = Prediction(
        utterance_id=utterance.utterance_id,
        scheme="intent",
        distribution=shares,
        model=model,
    )
    with workspace.warehouse() as con:
        add_predictions(
            con,
            [proposal],
            scheme_versions={"intent": 1},
            run_id="t",
        )


def test_push_ticks_nothing_where_the_model_abstains_and_counts_it(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL, THANKS])
    scan(workspace, {})
    propose(workspace, CALL, ask=0.5, tell=0.5)
    propose(workspace, THANKS, ask=0.6, tell=0.4)
    told: list[str] = []
    summary = push_pending(workspace, queue=queue, say=told.append)
    assert summary.pushed == 2
    assert summary.without_guess == 1
    assert [line for line in told if "nothing ticked" in line]
    assert queue.entries[CALL.utterance_id].ticked == ()
    with workspace.warehouse() as con:
        noted = list_pushed(con, project_id=1)
    assert noted[CALL.utterance_id].proposal == ""
    assert noted[THANKS.utterance_id].proposal.startswith("intent:")


def test_push_takes_ticks_back_when_more_confidence_is_asked_for(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL])
    scan(workspace, {})
    propose(workspace, CALL, ask=0.6, tell=0.4)
    push_pending(workspace, queue=queue, say=quiet)
    assert len(queue.entries[CALL.utterance_id].ticked) == 1
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + "[annotation]\nmin_confidence = 0.7\n")
    stricter = open_workspace(workspace.root)
    summary = push_pending(stricter, queue=queue, say=quiet)
    assert summary.predictions_added == 1
    assert queue.entries[CALL.utterance_id].ticked == ()
    summary = push_pending(stricter, queue=queue, say=quiet)
    assert summary.unchanged == 1


@pytest.mark.parametrize(
    ("metadata", "release", "why"),
    [
        ({"consent": "no"}, "", "consent was refused"),
        ({"consent": "oui"}, "", "consent 'oui' is neither yes nor no"),
        ({}, 'consent = "required"', "nobody said that consent was given"),
        (
            {"consent": "yes", "purposes": "evaluation"},
            "",
            "consent is for evaluation, not for training",
        ),
    ],
)
def test_push_holds_back_what_a_release_would_refuse_and_says_why(
    workspace: Workspace,
    queue: FakeQueue,
    metadata: dict[str, str],
    release: str,
    why: str,
) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + f"[release]\n{release}\n")
    workspace = open_workspace(workspace.root)
    cut(workspace, [CALL, THANKS])
    scan(workspace, {})
    with workspace.warehouse() as con:
        store_metadata(con, RECORDING.recording_id, metadata, manifest="m", run_id="t")
    told: list[str] = []
    summary = push_pending(workspace, queue=queue, say=told.append)
    assert summary.pushed == 0
    assert summary.no_consent == 2
    assert queue.entries == {}
    assert [line for line in told if f"{why} 2" in line]
    assert not list(workspace.media_dir.glob("clips/*/*.wav"))


@pytest.mark.parametrize("release", ['purpose = "evaluation"', 'purpose = ""'])
def test_push_gives_out_what_the_purpose_of_the_release_covers(
    workspace: Workspace, queue: FakeQueue, release: str
) -> None:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + f"[release]\n{release}\n")
    workspace = open_workspace(workspace.root)
    cut(workspace, [CALL])
    scan(workspace, {})
    with workspace.warehouse() as con:
        store_metadata(
            con,
            RECORDING.recording_id,
            {"consent": "yes", "purposes": "evaluation"},
            manifest="m",
            run_id="t",
        )
    summary = push_pending(workspace, queue=queue, say=quiet)
    assert summary.pushed == 1
    assert summary.no_consent == 0


def test_push_leaves_clips_where_they_are_when_consent_is_withdrawn_and_says_so(
    workspace: Workspace, queue: FakeQueue
) -> None:
    cut(workspace, [CALL])
    scan(workspace, {})
    push_pending(workspace, queue=queue, say=quiet)
    with workspace.warehouse() as con:
        store_metadata(
            con,
            RECORDING.recording_id,
            {"consent": "withdrawn"},
            manifest="m",
            run_id="t",
        )
    told: list[str] = []
    summary = push_pending(workspace, queue=queue, say=told.append)
    assert summary.unchanged == 1
    assert summary.no_consent == 0
    (line,) = [line for line in told if "1 clip is in Label Studio already" in line]
    assert "consent was refused 1;" in line


@pytest.mark.parametrize(
    ("leaks", "muted_ms"),
    [
        ({}, (1_400, 2_600)),
        ({1: None}, None),
        ({1: Segment(start_ms=1_400, end_ms=2_850)}, (1_400, 2_850)),
    ],
    ids=["not compared", "not heard there", "comes back late"],
)
def test_push_mutes_another_channel_only_where_it_is_heard_there(
    workspace: Workspace,
    queue: FakeQueue,
    leaks: dict[int, Segment | None],
    muted_ms: tuple[int, int] | None,
) -> None:
    write_canonical(workspace.audio_dir / "call.flac", np.full((160_000, 2), LOUD, np.float32))
    other = make_utterance(
        1_000,
        3_500,
        channel=1,
        speaker="C1",
        text="yes?",
    )
    cut(workspace, [CALL, other])
    scan(workspace, {CALL.utterance_id: [replace(SECRET, leaks=leaks)]})
    push_pending(workspace, queue=queue, say=quiet)
    served = read_served(workspace, queue, other)
    quiet_ms = np.flatnonzero(np.abs(served) < 0.1) / 16 + 1_000
    found = (round(quiet_ms.min()), round(quiet_ms.max())) if len(quiet_ms) else None
    assert found == muted_ms
    own = read_served(workspace, queue, CALL)
    assert np.abs(own[400 * 16 : 1_600 * 16]).max() < 0.05
