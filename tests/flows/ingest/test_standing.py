"""How a set of files stands is how each of them stands, and a file that is known costs nothing."""

from __future__ import annotations

import os
import random
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

import flows.ingest.listed
from flows.ingest.flow import ingest_sources
from flows.ingest.listed import Source, list_all
from flows.ingest.sources import list_sources
from flows.ingest.standing import read_standing
from flows.ingest.tries import Retry, version_of
from flows.ingest.worker import content_of
from flows.workers.days import today, waits
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import UNTRAINED, workspace_with
from voxdata.audio import decoder_version
from voxdata.audio_digest import read_digest
from voxdata.canonical import open_canonical, write_canonical
from voxdata.errors import AudioError, DropReason
from voxdata.testing import make_recording, speech_like
from warehouse.attempts import list_tries, record_attempt
from warehouse.audio_digests import add_audio_digests, list_audio_digests
from warehouse.ledger import list_drops, record_drop
from warehouse.recordings import add_recording, add_source, find_source, get_recording
from warehouse.rows import read_rows

NUM_FILES = 40


def quiet(_line: str) -> None:
    return None


def make_ground(root: Path, dice: random.Random) -> Workspace:
    """Files of which each may be anything: known, refused, touched, tried, or without its audio."""
    workspace = workspace_with(root, '[sources]\nworkers = 1\ninbox = ["inbox"]\n' + UNTRAINED)
    (root / "inbox").mkdir()
    with workspace.warehouse() as con:
        for number in range(NUM_FILES):
            path = root / "inbox" / f"{number}.wav"
            path.write_bytes(bytes([number]) * 100)
            (source,) = list_sources([str(path)])
            what = dice.choice(["new", "refused", "refused before", "tried", "recording"])
            if what == "tried":
                record_attempt(
                    con,
                    stage="ingest",
                    subject=source.uri,
                    key=version_of(source),
                    reason=DropReason.TIMED_OUT,
                    day=today() - timedelta(days=dice.randrange(2)),
                    detail="",
                    run_id="t",
                )
            if what in ("new", "tried"):
                continue
            recording_id = None
            if what == "recording":
                recording = make_recording(dice.randrange(NUM_FILES // 2))
                recording_id = recording.recording_id
                name = f"{recording_id[:2]}/{recording_id}.flac"
                canonical = workspace.audio_dir / name
                if add_recording(con, recording, audio_file=name, run_id="t"):
                    write_canonical(canonical, np.full((1_000 + number, 1), 0.1, np.float32))
                    if dice.random() < 0.8:
                        digest = read_digest(canonical, recording_id)
                        add_audio_digests(con, [digest], run_id="t")
            add_source(
                con,
                uri=source.uri,
                size_bytes=source.size_bytes,
                modified_ns=source.modified_ns,
                recording_id=recording_id,
                decoder="an older one" if what == "refused before" else decoder_version(),
                content=dice.choice(["", content_of(path)]),
                run_id="t",
            )
    for path in sorted((root / "inbox").iterdir()):
        how = dice.choice(["same", "same", "touched", "changed"])
        if how == "changed":
            path.write_bytes(b"x" * 100)
        if how != "same":
            os.utime(path, ns=(1, 1))
    for path in sorted(workspace.audio_dir.rglob("*.flac")):
        _damage(workspace, path, dice.choice(["", "", "gone", "cut", "folder", "doubted", "flip"]))
    return workspace


def _damage(workspace: Workspace, path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how in ("gone", "folder"):
        path.unlink()
    if how == "folder":
        path.mkdir()
    if how == "cut":
        path.write_bytes(content[:-9])
    if how in ("doubted", "flip"):
        with workspace.warehouse() as con:
            record_drop(
                con,
                stage="verify",
                subject=path.stem,
                reason=DropReason.ALTERED,
                detail="",
                recording_id=path.stem,
                run_id="t",
            )
    if how == "flip":
        content[-9] ^= 1
        path.write_bytes(content)


def stands(workspace: Workspace, source: Source) -> str:
    """How one file stands, by looking at everything about it."""
    with workspace.warehouse() as con:
        row = find_source(
            con,
            uri=source.uri,
            size_bytes=source.size_bytes,
            modified_ns=source.modified_ns,
        )
        tries = list_tries(con).get(("ingest", source.uri, version_of(source)))
        if row is None:
            rows = read_rows(
                con,
                """select recording_id, decoder, content, modified_ns from source
                where placed(uri) = ? and size_bytes = ? and recording_id is not null
                  and content <> '' order by seq desc limit 1""",
                [source.uri, source.size_bytes],
            )
            if rows and source.path and content_of(source.path) == rows[0]["content"]:
                modified_ns = int(str(rows[0]["modified_ns"]))
                row = find_source(
                    con,
                    uri=source.uri,
                    size_bytes=source.size_bytes,
                    modified_ns=modified_ns,
                )
        if row is not None and row.recording_id is None and row.decoder == decoder_version():
            return "known"
        if (
            row is not None
            and row.recording_id is not None
            and _is_sound(workspace, row.recording_id)
        ):
            return "known"
    return "waiting" if tries is not None and waits(tries) else "pending"


def _is_sound(workspace: Workspace, recording_id: str) -> bool:
    """Whether canonical audio is whole, as far as that was asked and a digest is on record."""
    with workspace.warehouse() as con:
        path = workspace.audio_dir / get_recording(con, recording_id).audio_file
        digest = list_audio_digests(con).get(recording_id)
        is_doubted = recording_id in {drop.recording_id for drop in list_drops(con)}
    if not path.is_file():
        return False
    if digest is not None:
        return read_digest(path, recording_id).sha256 == digest.sha256
    try:
        sounds = open_canonical(path)
        return not is_doubted or all(len(sound.read()) == sound.num_samples for sound in sounds)
    except AudioError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_read_standing_says_of_many_what_is_true_of_each(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    workspace = make_ground(tmp_path / "w", dice)
    listing = list_sources([str(workspace.root / "inbox")])
    retry = Retry(uris=frozenset(dice.sample([source.uri for source in listing], 4)))
    wanted = {
        source.uri: "pending" if source.uri in retry.uris else stands(workspace, source)
        for source in listing
    }
    standing = read_standing(workspace, listing, retry)
    pending = {source.uri: "pending" for source in standing.pending}
    unknown = dict.fromkeys(standing.waiting, "waiting") | pending
    assert unknown == {uri: how for uri, how in wanted.items() if how != "known"}
    assert standing.num_known == sum(how == "known" for how in wanted.values())
    again = read_standing(workspace, listing, retry)
    assert (again.num_known, again.waiting) == (standing.num_known, standing.waiting)
    assert {"known", "pending"} <= set(wanted.values())


def ingested(root: Path, *, num_files: int) -> Workspace:
    workspace = workspace_with(root, '[sources]\nworkers = 1\ninbox = ["inbox"]\n' + UNTRAINED)
    (root / "inbox").mkdir()
    for number in range(num_files):
        sound = speech_like(1_000, seed=number)
        soundfile.write(
            root / "inbox" / f"{number}.wav",
            sound,
            16_000,
            subtype="PCM_16",
        )
    ingest_sources(workspace, [], say=quiet)
    return workspace


def test_a_known_file_costs_no_value_and_no_look_into_its_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = ingested(tmp_path / "w", num_files=5)
    (workspace.root / "inbox" / "notes.txt").write_text("no audio", encoding="utf-8")
    assert ingest_sources(workspace, [], say=quiet).dropped == 1
    made: list[str] = []

    def make(**fields: object) -> Source:
        made.append(str(fields["uri"]))
        return Source(**fields)  # type: ignore[arg-type]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("canonical audio was opened")

    for module in ("listed", "local"):
        monkeypatch.setattr(f"flows.ingest.{module}.Source", make)
    monkeypatch.setattr("flows.ingest.standing.open_canonical", refuse)
    monkeypatch.setattr("flows.ingest.standing.check_whole", refuse)
    told: list[str] = []
    found = ingest_sources(workspace, [], say=told.append)
    assert (found.listed, found.known, made) == (6, 6, [])
    assert told[0].startswith("ingest: 6/6 files, 0 new recordings, 0 dropped, 0 remarks; ")
    sound = speech_like(1_000, seed=9)
    soundfile.write(
        workspace.root / "inbox" / "new.wav",
        sound,
        16_000,
        subtype="PCM_16",
    )
    told.clear()
    found = ingest_sources(workspace, [], say=told.append)
    assert (found.known, found.recordings) == (6, 1)
    assert set(made) == {str(workspace.root / "inbox" / "new.wav")}
    assert told[0] == "ingest: 6/7 files, 0 new recordings, 0 dropped, 0 remarks; 1 to decode"
    assert told[1].startswith("ingest: 7/7 files, 1 new recording, ")


def test_ingest_decodes_again_only_what_lost_its_audio(tmp_path: Path) -> None:
    workspace = ingested(tmp_path / "w", num_files=4)
    one, other, *_ = sorted(workspace.audio_dir.rglob("*.flac"))
    whole = other.read_bytes()
    one.unlink()
    other.write_bytes(whole[:-1])
    found = ingest_sources(workspace, [], say=quiet)
    assert (found.known, found.duplicates) == (2, 2)
    assert one.is_file()
    assert other.read_bytes() == whole


def test_a_moved_workspace_knows_many_files_at_once(tmp_path: Path) -> None:
    workspace = ingested(tmp_path / "w", num_files=3)
    with workspace.warehouse() as con:
        con.execute("update source set uri = placed(uri)")
    shutil.copytree(workspace.root, tmp_path / "copy")
    shutil.rmtree(workspace.root)
    moved = open_workspace(tmp_path / "copy")
    assert ingest_sources(moved, [], say=quiet).known == 3
    with moved.warehouse() as con:
        rows = read_rows(con, "select uri from source order by uri")
    assert [row["uri"] for row in rows] == [f"./inbox/{number}.wav" for number in range(3)]


def test_a_listing_holds_each_file_once_and_gives_it_back() -> None:
    problem = Source(
        uri="s3://b/x",
        name="x",
        size_bytes=-1,
        modified_ns=0,
        problem="gone",
    )
    plain = Source(
        uri="/a/b.wav",
        name="b.wav",
        size_bytes=3,
        modified_ns=4,
        path=Path("/a/b.wav"),
    )
    later = Source(
        uri="s3://b/x",
        name="x",
        size_bytes=5,
        modified_ns=6,
    )
    listing = list_all([problem, plain, later])
    assert list(listing) == [plain, later]
    assert (listing[0], list(listing[1:]), listing.list_odd()) == (plain, [later], [later])
    assert flows.ingest.listed.list_all([]).files.is_empty()
