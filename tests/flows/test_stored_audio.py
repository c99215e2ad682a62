"""Canonical audio that is cut short, changed, deleted or another recording's: found, never used,
put back by its source.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from flows.doctor.examine import check_audio
from flows.exchange.export import open_bundle
from flows.labelling.push import push_pending
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.retrain.finetune import train_version
from flows.stored_audio import choose_part, verify_audio
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest, quiet, run
from training.encoder import load_encoder
from training.feature_files import find_shards
from training.features import load_features
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import open_canonical, read_clip
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import AudioError, MachineError, TrainingError
from voxdata.manifest import read_manifest
from voxdata.segment import Segment
from voxdata.testing import speech_like
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.audio_digests import list_audio, list_audio_digests
from warehouse.connection import transaction
from warehouse.exchange.table import write_version_manifest
from warehouse.exchange.write import export_bundle
from warehouse.guards import unguarded
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.runs import list_training_runs
from warehouse.utterances import list_utterances
from warehouse.versions import create_version

SETTINGS = """
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[quality]
mos = ""
[prelabel]
workers = 1
[privacy]
mask = false
[annotation]
embeddings = false
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{ name = "ask" }, { name = "tell" }]
[training]
schemes = ["intent"]
min_examples = 1
min_voices = 1
"""
RECORDINGS = 4


def copied(made: Workspace, root: Path) -> Workspace:
    shutil.copytree(made.root, root)
    return open_workspace(root)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("ingested") / "w"
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    for number in range(RECORDINGS):
        soundfile.write(
            root / "calls" / f"{number}.wav",
            speech_like(4_000, seed=number),
            16_000,
            subtype="PCM_16",
        )
    workspace = open_workspace(root)
    ingest(workspace, root / "calls")
    return workspace


@pytest.fixture
def workspace(ingested: Workspace, tmp_path: Path) -> Workspace:
    """Four recordings."""
    return copied(ingested, tmp_path / "w")


@pytest.fixture
def labelled(released: Workspace, tmp_path: Path) -> Workspace:
    """Four recordings, pre-labelled, and a version of them."""
    return copied(released, tmp_path / "w")


@pytest.fixture(scope="module")
def released(ingested: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = copied(ingested, tmp_path_factory.mktemp("released") / "w")
    prelabel_pending(workspace, say=quiet)
    with workspace.warehouse() as con:
        files = {s.recording.recording_id: s.audio_file for s in list_recordings(con)}
        splits = dict(
            zip(
                files,
                (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST),
                strict=True,
            )
        )
        utterances = list_utterances(con)
        assert {u.recording_id for u in utterances} == set(files)
        examples = [
            Example(
                utterance_id=u.utterance_id,
                recording_id=u.recording_id,
                channel=u.channel,
                segment=u.segment,
                voice=f"{u.recording_id}/S",
                group=u.recording_id,
                audio_file=files[u.recording_id],
                text=u.text,
                language="en",
                split=splits[u.recording_id],
                gold={"intent": GoldLabel(label="ask", distribution={"ask": 1.0}, num_votes=1)},
            )
            for u in utterances
        ]
        create_version(con, "calls", examples, recipe={}, run_id="t")
    return workspace


def stored_files(workspace: Workspace) -> dict[str, Path]:
    with workspace.warehouse() as con:
        return {
            s.recording.recording_id: workspace.audio_dir / s.audio_file
            for s in list_recordings(con)
        }


def cut_short(path: Path, _other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def flip(path: Path, _other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-200] ^= 16
    path.write_bytes(content)


def delete(path: Path, _other: Path) -> None:
    path.unlink()


def exchange(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


ATTACKS = [cut_short, flip, delete, exchange]
Attack = Callable[[Path, Path], None]


def attacked(workspace: Workspace, attack: Attack) -> tuple[str, Path]:
    """The recording whose file was attacked."""
    files = list(stored_files(workspace).items())
    attack(files[0][1], files[1][1])
    return files[0]


def noted(workspace: Workspace) -> set[tuple[str, str | None]]:
    with workspace.warehouse() as con:
        return {(row.stage, row.recording_id) for row in list_drops(con)}


def test_ingest_stores_the_digest_of_every_recording(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        digests = list_audio_digests(con)
    for recording_id, path in stored_files(workspace).items():
        assert digests[recording_id].size_bytes == path.stat().st_size
    sha256s = {d.sha256 for d in digests.values()}
    assert len(sha256s) == RECORDINGS


@pytest.mark.parametrize("attack", ATTACKS)
def test_verify_audio_finds_a_bad_file_and_ingest_puts_it_back(
    workspace: Workspace, attack: Attack
) -> None:
    assert run(workspace, "verify", "--audio").exit_code == 0
    whole = {name: path.read_bytes() for name, path in stored_files(workspace).items()}
    name, path = attacked(workspace, attack)
    done = run(workspace, "verify", "--audio", "--json")
    assert done.exit_code == 1
    (message,) = json.loads(done.stdout)["audio"]["bad"].values()
    assert str(path) in message
    assert name in message
    assert "ingest its source again" in message
    assert ("verify", name) in noted(workspace)
    assert run(workspace, "verify").exit_code == 0
    summary = ingest(workspace, workspace.root / "calls")
    assert summary.known == RECORDINGS - 1
    assert summary.duplicates == 1
    assert summary.recordings == 0
    contents = {name: path.read_bytes() for name, path in stored_files(workspace).items()}
    assert contents == whole
    assert run(workspace, "verify", "--audio").exit_code == 0
    assert ingest(workspace, workspace.root / "calls").known == RECORDINGS


@pytest.mark.parametrize("attack", [cut_short, delete, exchange])
def test_ingest_puts_back_by_itself_what_a_look_at_the_file_tells(
    workspace: Workspace, attack: Attack
) -> None:
    name, path = attacked(workspace, attack)
    other = workspace.root / "another name.wav"
    content = (workspace.root / "calls" / "0.wav").read_bytes()
    other.write_bytes(content)
    ingest(workspace, workspace.root / "calls")
    assert verify_audio(workspace, say=quiet).bad == {}
    assert path.exists()
    assert name in stored_files(workspace)


def test_ingest_puts_back_an_exchanged_file_when_the_recording_comes_under_another_name(
    workspace: Workspace,
) -> None:
    attacked(workspace, exchange)
    sources = sorted((workspace.root / "calls").glob("*.wav"))
    (workspace.root / "new").mkdir()
    for source in sources:
        source.rename(workspace.root / "new" / source.name)
    ingest(workspace, workspace.root / "new")
    assert verify_audio(workspace, say=quiet).bad == {}


@pytest.mark.parametrize("attack", ATTACKS)
def test_export_refuses_a_bad_file_and_writes_nothing(labelled: Workspace, attack: Attack) -> None:
    name, path = attacked(labelled, attack)
    done = run(
        labelled,
        "export",
        "calls",
        "--format",
        "huggingface",
        "--output",
        str(labelled.root / "out"),
    )
    assert isinstance(done.exception, AudioError)
    assert name in str(done.exception)
    assert str(path) in str(done.exception)
    assert "ingest its source again" in str(done.exception)
    assert ("export", name) in noted(labelled)
    assert not (labelled.root / "out").exists()
    ingest(labelled, labelled.root / "calls")
    export_bundle(
        open_bundle(labelled, "calls"),
        format_name="huggingface",
        output=labelled.root / "out",
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_train_refuses_a_bad_file_and_says_which(labelled: Workspace, attack: Attack) -> None:
    name, path = attacked(labelled, attack)
    with pytest.raises(TrainingError, match="ingest its source again") as caught:
        train_version(labelled, ["intent"], "calls", say=quiet)
    assert name in str(caught.value)
    assert str(path) in str(caught.value)
    assert ("train", name) in noted(labelled)
    with labelled.warehouse() as con:
        (failed,) = list_training_runs(con)
    assert failed.state == "failed"
    assert failed.result == {}
    assert find_shards(labelled.models_dir) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_training_elsewhere_refuses_a_bad_file_by_the_manifest(
    labelled: Workspace, attack: Attack
) -> None:
    manifest_file = labelled.root / "manifest.jsonl"
    with labelled.warehouse() as con:
        version_id = con.execute("select version_id from dataset_version").fetchall()[0][0]
        write_version_manifest(
            con,
            version_id,
            audio_root=labelled.audio_dir,
            schemes={"intent": ("ask", "tell")},
            path=manifest_file,
        )
    manifest = read_manifest(manifest_file)
    name, _ = attacked(labelled, attack)

    with pytest.raises(TrainingError, match="ingest its source again"):
        load_features(
            load_encoder("tiny-random"),
            [example for example in manifest.examples if example.recording_id == name],
            audio_root=manifest.audio_root,
            cache_dir=labelled.root / "cache",
            guard=AudioGuard(manifest.audio),
        )


@pytest.mark.parametrize("attack", ATTACKS)
def test_push_goes_on_without_a_bad_file(labelled: Workspace, attack: Attack) -> None:
    queue = FakeQueue(schemes=labelled.schemes, media_dir=labelled.media_dir)
    name, path = attacked(labelled, attack)
    with labelled.warehouse() as con:
        utterances = list_utterances(con)
    good = {u.utterance_id for u in utterances if u.recording_id != name}
    lines: list[str] = []
    summary = push_pending(labelled, queue=queue, say=lines.append)
    assert set(queue.entries) == good
    assert summary.pushed == len(good)
    assert summary.bad_audio == len(utterances) - len(good)
    assert ("push", name) in noted(labelled)
    assert any(name in line and str(path) in line for line in lines)
    ingest(labelled, labelled.root / "calls")
    again = push_pending(labelled, queue=queue, say=quiet)
    assert again.pushed == len(utterances) - len(good)
    assert again.bad_audio == 0
    assert verify_audio(labelled, say=quiet).bad == {}


@pytest.mark.parametrize("attack", ATTACKS)
def test_prelabel_goes_on_without_a_bad_file(workspace: Workspace, attack: Attack) -> None:
    name, _ = attacked(workspace, attack)
    summary = prelabel_pending(workspace, say=quiet)
    assert summary.recordings == RECORDINGS
    assert summary.failed == 1
    assert ("diarize", name) in noted(workspace)
    with workspace.warehouse() as con:
        assert name not in {u.recording_id for u in list_utterances(con)}
    ingest(workspace, workspace.root / "calls")
    assert prelabel_pending(open_workspace(workspace.root), say=quiet).failed == 0
    with workspace.warehouse() as con:
        recording_ids = {u.recording_id for u in list_utterances(con)}
        assert len(recording_ids) == RECORDINGS


@pytest.mark.parametrize("attack", [cut_short, exchange])
def test_read_of_a_piece_refuses_a_file_that_changed_since_it_was_opened(
    workspace: Workspace, attack: Attack
) -> None:
    (name, path), (_, other) = list(stored_files(workspace).items())[:2]
    with workspace.warehouse() as con:
        expected = list_audio_digests(con)[name]
    (sound,) = open_canonical(path, expected=expected)
    attack(path, other)
    with pytest.raises(AudioError, match=name):
        sound.read(0, 1_600)
    with pytest.raises(AudioError, match=name):
        read_clip(
            path,
            segment=Segment(start_ms=0, end_ms=100),
            expected=expected,
        )


def forget_digests(workspace: Workspace) -> None:
    """As a warehouse from before digests."""
    with workspace.warehouse() as con, transaction(con), unguarded(con, "audio_digest"):
        con.execute("delete from audio_digest")


def test_verify_audio_gives_recordings_from_before_their_digests(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        before = list_audio_digests(con)
    forget_digests(workspace)
    done = run(workspace, "verify", "--audio")
    assert done.exit_code == 0
    assert f"{RECORDINGS} had no digest yet and have one now" in done.output
    with workspace.warehouse() as con:
        assert list_audio_digests(con) == before


@pytest.mark.parametrize("attack", [cut_short, flip, delete])
def test_verify_audio_gives_no_digest_to_a_damaged_file(
    workspace: Workspace, attack: Attack
) -> None:
    forget_digests(workspace)
    name, _ = attacked(workspace, attack)
    assert set(verify_audio(workspace, say=quiet).bad) == {name}
    with workspace.warehouse() as con:
        assert name not in list_audio_digests(con)
    ingest(workspace, workspace.root / "calls")
    assert verify_audio(workspace, say=quiet).bad == {}


def test_verify_audio_reads_every_recording_in_seven_parts(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        stored = list_audio(con)
    parts = [choose_part(stored, part, 7) for part in range(1, 8)]
    recording_ids = sorted(one.recording_id for one in itertools.chain.from_iterable(parts))
    assert recording_ids == [one.recording_id for one in stored]
    assert (
        sum(verify_audio(workspace, part=(part, 7), say=quiet).files for part in range(1, 8))
        == RECORDINGS
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--part", "3/7"],
        ["--audio", "--part", "8/7"],
        ["--audio", "--part", "0/7"],
        ["--audio", "--part", "x"],
    ],
)
def test_verify_refuses_what_is_no_part(workspace: Workspace, words: list[str]) -> None:
    assert run(workspace, "verify", *words).exit_code != 0


def test_verify_audio_takes_a_missing_disk_for_no_lost_recordings(workspace: Workspace) -> None:
    workspace.audio_dir.rename(workspace.root / "elsewhere")
    with pytest.raises(MachineError, match="its disk is away"):
        verify_audio(workspace, say=quiet)
    with pytest.raises(MachineError, match="its disk is away"):
        prelabel_pending(workspace, say=quiet)
    assert noted(workspace) == set()


def test_digests_are_never_changed(workspace: Workspace) -> None:
    with workspace.warehouse() as con, pytest.raises(Exception, match="immutable"):
        con.execute("update audio_digest set sha256 = ''")


@pytest.mark.parametrize("attack", ATTACKS)
def test_doctor_tells_of_a_bad_file(workspace: Workspace, attack: Attack) -> None:
    (good,) = check_audio(workspace.root)
    assert good.ok
    name, _ = attacked(workspace, attack)
    (check,) = check_audio(workspace.root)
    assert check.ok is False
    assert name in check.detail
    assert "verify --audio" in check.remedy
