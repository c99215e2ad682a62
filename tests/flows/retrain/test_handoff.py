"""What a training run finds in its folder: the manifest, and beside it the context."""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import soundfile

import flows.retrain.finetune
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.release.flow import release_version
from flows.retrain.finetune import train_version
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import quiet, run
from tests.flows.results import make_result
from training.judge.gate import Decision
from training.result import ModelCard, encode_result
from voxdata.context import CONTEXT_FILE, read_context, read_context_header
from voxdata.context_row import ContextRow, TextSource
from voxdata.dataset import Split
from voxdata.label import Annotation, Distribution
from voxdata.manifest import Manifest, read_manifest
from voxdata.ports import Clip, Diarization, Sound, SpeakerSegment, TrainingJob
from voxdata.scheme import Scheme
from voxdata.segment import Segment
from voxdata.sound import duration_ms
from voxdata.testing import speech_like
from voxdata.testing.backends import FakeDiarizer, FakeLabeler, FakeTranscriber
from voxdata.utterance import Utterance
from voxdata.voice import VoiceLink
from warehouse.annotations import add_annotations
from warehouse.exchange.handoff import write_handoff
from warehouse.metadata import store_metadata
from warehouse.rows import read_rows
from warehouse.runs import list_training_runs
from warehouse.utterances import list_utterances
from warehouse.versions import find_version
from warehouse.voices import record_links

pytestmark = pytest.mark.slow

NUM_RECORDINGS = 6
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TODAY = date(2026, 1, 2)
LINKED = "S2"
"""Speaks in every recording, is one voice in all of them, and nobody labels it."""


class ThreeSpeakers(FakeDiarizer):
    """Hears S0, S1 and S2 in turn, each for a second."""

    def diarize(
        self, sounds: Sequence[Sound], *, max_speakers: int | None = None
    ) -> list[Diarization]:
        found = []
        for sound in sounds:
            seconds = range(duration_ms(sound) // 1000)
            segments = tuple(map(_second, seconds))
            found.append(Diarization(segments=segments, embeddings={}))
        return found


def _second(number: int) -> SpeakerSegment:
    start_ms = number * 1000
    segment = Segment(start_ms=start_ms, end_ms=start_ms + 1000)
    return SpeakerSegment(speaker=f"S{number % 3}", segment=segment)


SETTINGS = f"""
[diarizer]
backend = "{__name__}:ThreeSpeakers"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[privacy]
scanner = ""
mask = false
[quality]
mos = ""
[prelabel]
workers = 1
[annotation]
embeddings = false
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{{ name = "ask" }}, {{ name = "tell" }}]
[training]
schemes = ["intent"]
min_examples = 1
min_voices = 1
[release]
ratios = {{ train = 0.5, validation = 0.25, test = 0.25 }}
"""


def annotate(number: int, utterance: Utterance, **more: Any) -> Annotation:
    fields = {"annotator": "anna@example.com", "labels": {"intent": ("ask",)}, **more}
    return Annotation(
        annotation_id=number,
        project_id=1,
        utterance_id=utterance.utterance_id,
        updated_at=NOON,
        **fields,
    )


def build(root: Path) -> Workspace:
    """Six calls of six seconds, released: who speaks first is labelled, and of S1 one clip."""
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    lines = ["audio,gender,age,dialect,customer"]
    for number in range(NUM_RECORDINGS):
        sound = speech_like(6_000, seed=number)
        soundfile.write(root / "calls" / f"{number}.wav", sound, 16_000, subtype="PCM_16")
        lines.append(f"calls/{number}.wav,F,4{number},Scots,Customer {number} Smith")
    (root / "calls.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    workspace = open_workspace(root)
    done = run(workspace, "ingest", "--manifest", root / "calls.csv")
    assert done.exit_code == 0, done.output
    (root / "calls.csv").unlink()  # it names everybody
    prelabel_pending(workspace, say=quiet)
    with workspace.warehouse() as con:
        _answer(con)
        _link(con)
    release_version(workspace, "calls", say=quiet)
    return workspace


def _answer(con: Any) -> None:
    spoken = list_utterances(con)
    first = [utterance for utterance in spoken if utterance.speaker == "S0"]
    answers = []
    for number, utterance in enumerate(first):
        text = f"what caller {number} said" if number % 2 else None
        label = ("ask", "tell")[number % 2]
        answers.append(annotate(number, utterance, text=text, labels={"intent": (label,)}))
    shown = {"annotator": "ben", "labels": {"intent": ("tell", "ask")}, "proposal": "intent:fake"}
    answers.append(annotate(100, first[0], **shown))
    add_annotations(con, answers, run_id="t")


def _link(con: Any) -> None:
    """Say that S2 is one voice in all recordings."""
    keys = read_rows(
        con,
        "select recording_id, key from current_result where stage = 'diarize' order by 1",
    )
    links = []
    for number, row in enumerate(keys):
        link = VoiceLink(
            kind="join" if number else "new",
            voice_id="v-everywhere",
            speaker=(str(row["recording_id"]), 0, LINKED),
            key=str(row["key"]),
            score=1.0,
        )
        links.append(link)
    record_links(con, links, model_key="m", threshold=0.5, run_id="t")


class Launcher:
    """Trains nothing; says that it has made a model, which is no better."""

    def __init__(self, **_: Any) -> None:
        return

    def launch(self, job: TrainingJob) -> dict[str, object]:
        model = ModelCard(name="n", revision="r", params={}, key="k")
        made = make_result(model=model)
        decision = Decision(promote=False, reason="no better")
        return encode_result(replace(made, verdict=replace(made.verdict, decision=decision)))


def train(workspace: Workspace, patch: pytest.MonkeyPatch, *, force: bool = False) -> None:
    patch.setattr(flows.retrain.finetune, "LocalLauncher", Launcher)
    patch.setattr(flows.retrain.finetune, "find_shortage", lambda *_, **__: "")
    train_version(workspace, ["intent"], "calls", force=force, say=quiet)


def run_folder(workspace: Workspace) -> Path:
    """The folder of the only training run."""
    with workspace.warehouse() as con:
        (done,) = list_training_runs(con)
    return (workspace.root / done.checkpoint_dir).parent


def rows_of(folder: Path) -> list[ContextRow]:
    rows: list[ContextRow] = []
    for batch in read_context(folder / CONTEXT_FILE, batch_size=5):
        rows += batch
    return rows


def write(workspace: Workspace, ref: str, folder: Path) -> None:
    """Write what a training run on a version finds."""
    with workspace.warehouse() as con:
        write_handoff(
            con,
            find_version(con, ref).version_id,
            audio_root=workspace.audio_dir,
            histories=workspace.histories,
            folder=folder,
            today=TODAY,
            run_id="t",
        )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a version and a training run."""
    workspace = build(tmp_path_factory.mktemp("handoff") / "w")
    with pytest.MonkeyPatch.context() as patch:
        train(workspace, patch)
    return workspace


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(trained.root, tmp_path / "w")
    return open_workspace(tmp_path / "w")


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """What its training run found."""
    return run_folder(workspace)


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    return read_manifest(folder / "manifest.jsonl")


def test_training_run_finds_both_texts_and_whose_the_manifests_is(
    folder: Path, manifest: Manifest
) -> None:
    by_id = {row.utterance_id: row for row in rows_of(folder)}
    sources = set()
    for example in manifest.examples:
        row = by_id[example.utterance_id]
        assert row.is_labelled
        assert row.machine_text
        assert row.transcriber == FakeTranscriber().model.key
        if row.text_source is TextSource.PERSON:
            assert row.person_text == example.text != row.machine_text
        else:
            assert row.person_text is None
            assert row.machine_text == example.text
        sources.add(row.text_source)
    assert sources == {TextSource.PERSON, TextSource.MACHINE}


class Listener(FakeLabeler):
    """Remembers what it is asked about."""

    def __init__(self, *, scheme: Scheme) -> None:
        super().__init__(scheme=scheme)
        self.heard: dict[str, str] = {}

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        self.heard.update({clip.utterance_id: clip.text for clip in clips})
        return super().label(clips)


def test_model_to_beat_is_asked_about_what_the_machine_heard(
    workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(scheme=workspace.schemes[0])
    monkeypatch.setattr(flows.retrain.finetune, "build_labelers", lambda _: {"intent": listener})
    train(workspace, monkeypatch, force=True)
    tested = [row for row in rows_of(folder) if row.is_labelled and row.split is Split.TEST]
    assert any(row.person_text for row in tested)
    assert listener.heard == {row.utterance_id: row.machine_text for row in tested}


def test_training_run_finds_single_votes_under_pseudonyms(folder: Path) -> None:
    labelled = [row for row in rows_of(folder) if row.is_labelled]
    votes = Counter(len(row.votes) for row in labelled)
    assert votes == {1: 2 * NUM_RECORDINGS - 1, 2: 1}
    (disputed,) = [row for row in labelled if len(row.votes) == 2]
    shown = {vote.labels: vote.proposal_shown for vote in disputed.votes}
    assert shown == {("ask",): False, ("tell", "ask"): True}
    people = set()
    for row in labelled:
        people |= {vote.annotator for vote in row.votes}
    assert len(people) == 2
    written = (folder / CONTEXT_FILE).read_text(encoding="utf-8")
    assert "anna" not in written
    assert "Smith" not in written


def test_pseudonyms_differ_between_versions(workspace: Workspace, folder: Path) -> None:
    with workspace.warehouse() as con:
        (last,) = [u for u in list_utterances(con) if u.speaker == "S1"][-1:]
        add_annotations(con, [annotate(200, last)], run_id="t")
    release_version(workspace, "calls", say=quiet)
    other = folder.parent / "other"
    write(workspace, "calls@2", other)
    people = []
    for place in (folder, other):
        named = set()
        for row in rows_of(place):
            named |= {vote.annotator for vote in row.votes}
        people.append(named)
    assert people[0].isdisjoint(people[1])


def test_training_run_finds_measures_and_what_the_manifest_states(folder: Path) -> None:
    for row in rows_of(folder):
        assert row.measures["snr_db"] > 0
        assert row.measures["bandwidth_hz"] > 0
        assert 0 < row.measures["speech_ms"] <= row.segment.duration_ms
        assert row.measures["word_probability"] == 1
        assert row.stated.sex == "female"
        assert row.stated.age_band == "40-49"
        assert row.stated.dialect == "Scots"
        assert row.language == "en"
        assert row.num_voices == 3
        assert row.sound is not None
        assert row.sound.sample_rate_hz == 16_000


def test_unlabelled_rows_share_no_voice_group_or_recording_with_another_split(
    folder: Path, manifest: Manifest
) -> None:
    rows = rows_of(folder)
    unlabelled = [row for row in rows if not row.is_labelled]
    assert len(unlabelled) == 2 * NUM_RECORDINGS  # of S1
    sides: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        for kind in ("voice", "group", "recording_id"):
            sides[kind, getattr(row, kind)].add(row.split.value)
    for example in manifest.examples:
        for kind in ("voice", "group", "recording_id"):
            sides[kind, getattr(example, kind)].add(example.split.value)
    assert {len(splits) for splits in sides.values()} == {1}
    assert {row.split for row in unlabelled} == {e.split for e in manifest.examples}
    ids = {example.utterance_id for example in manifest.examples}
    assert ids.isdisjoint(row.utterance_id for row in unlabelled)


def test_context_says_why_unlabelled_utterances_stay_out(folder: Path) -> None:
    header = read_context_header(folder / CONTEXT_FILE)
    assert header.left_out == {"voice in another split": 2 * NUM_RECORDINGS}  # of S2
    assert header.num_unlabelled == 2 * NUM_RECORDINGS
    assert header.num_rows == 4 * NUM_RECORDINGS


def test_context_is_the_same_whatever_came_after_the_release(
    workspace: Workspace, folder: Path
) -> None:
    before = (folder / CONTEXT_FILE).read_bytes()
    with workspace.warehouse() as con:
        spoken = [u for u in list_utterances(con) if u.speaker == "S0"]
        later = annotate(300, spoken[0], annotator="cleo", text="something else altogether")
        add_annotations(con, [later], run_id="t")
        store_metadata(con, spoken[0].recording_id, {"gender": "male"}, manifest="m", run_id="t")
    settings = workspace.root / FILE_NAME
    other = settings.read_text(encoding="utf-8").replace(
        "[transcriber]", '[utterance]\nmin_ms = 0\npause_ms = 60\n[transcriber]\nrevision = "2"'
    )
    settings.write_text(other, encoding="utf-8")
    changed = open_workspace(workspace.root)
    prelabel_pending(changed, say=quiet)
    with changed.warehouse() as con:
        now = {utterance.utterance_id for utterance in list_utterances(con)}
    assert now.isdisjoint(row.utterance_id for row in rows_of(folder))
    write(changed, "calls", folder)
    assert (folder / CONTEXT_FILE).read_bytes() == before


def test_recordings_without_consent_today_give_no_unlabelled_rows(
    workspace: Workspace, folder: Path
) -> None:
    some = next(row for row in rows_of(folder) if row.is_labelled)
    with workspace.warehouse() as con:
        store_metadata(con, some.recording_id, {"consent": "no"}, manifest="m", run_id="t")
    write(workspace, "calls", folder)
    left = [row for row in rows_of(folder) if row.recording_id == some.recording_id]
    assert {row.is_labelled for row in left} == {True}
    assert read_context_header(folder / CONTEXT_FILE).left_out["consent"] == 4


def test_forget_takes_a_recording_out_of_manifest_and_context(
    workspace: Workspace, folder: Path
) -> None:
    gone = rows_of(folder)[0].recording_id
    done = run(workspace, "forget", "--recording", gone, "--yes", "--reason", "asked", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["proven"] is True
    assert gone not in (folder / CONTEXT_FILE).read_text(encoding="utf-8")
    left = {row.recording_id for row in rows_of(folder)}
    assert len(left) == NUM_RECORDINGS - 1
    examples = read_manifest(folder / "manifest.jsonl").examples
    assert {example.recording_id for example in examples} == left


def test_forget_leaves_a_run_of_an_earlier_release_without_a_context(
    workspace: Workspace, folder: Path
) -> None:
    gone = rows_of(folder)[0].recording_id
    (folder / CONTEXT_FILE).unlink()
    done = run(workspace, "forget", "--recording", gone, "--yes", "--reason", "asked")
    assert done.exit_code == 0, done.output
    assert gone not in (folder / "manifest.jsonl").read_text(encoding="utf-8")
    assert not (folder / CONTEXT_FILE).exists()


def test_forget_deletes_the_context_of_a_failed_run(workspace: Workspace, folder: Path) -> None:
    failed = folder.with_name("intent-0123456789ab")
    failed.mkdir()
    context = failed / CONTEXT_FILE
    context.write_bytes((folder / CONTEXT_FILE).read_bytes())
    gone = rows_of(folder)[0].recording_id
    done = run(workspace, "forget", "--recording", gone, "--yes", "--reason", "asked")
    assert done.exit_code == 0, done.output
    assert not context.exists()
