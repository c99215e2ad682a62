"""A workspace that is copied or moved knows its files again, and shows them where they are now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.forget.flow import find_recordings
from flows.pages.views import recording_rows
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest
from tests.flows.ingest.test_machine_faults import make_workspace
from voxdata.errors import NotFoundError
from voxdata.remark import Remark, RemarkKind
from warehouse.guards import unguarded
from warehouse.ledger import list_drops
from warehouse.lineage import explain
from warehouse.recordings import list_recordings
from warehouse.remarks import record_remarks
from warehouse.rows import read_rows


def make_odd_files(workspace: Workspace) -> None:
    """Besides three recordings: one whose name is no UTF-8, and a file that is no audio."""
    sound_file = workspace.root / "inbox/1.wav"
    sound_file.rename(workspace.root / "inbox" / "b\udcff.wav")
    notes_file = workspace.root / "inbox/notes.txt"
    notes_file.write_text("no audio", encoding="utf-8")


def as_older_releases_wrote(workspace: Workspace) -> None:
    """Every place absolute."""
    with workspace.warehouse() as con:
        for table, column in (("source", "uri"), ("ledger", "subject")):
            con.execute(f"update {table} set {column} = placed({column})")
        with unguarded(con, "remark"):
            con.execute("update remark set subject = placed(subject)")


def move(workspace: Workspace, target: Path) -> Workspace:
    """A copy, with the original gone."""
    shutil.copytree(workspace.root, target, symlinks=True)
    shutil.rmtree(workspace.root)
    return open_workspace(target)


@pytest.mark.parametrize("older", [False, True])
def test_ingest_sources_knows_every_file_of_a_moved_workspace(tmp_path: Path, older: bool) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=4)
    make_odd_files(workspace)
    assert ingest(workspace).recordings == 4
    if older:
        as_older_releases_wrote(workspace)
    moved = move(workspace, tmp_path / "elsewhere" / "copy")
    summary = ingest(moved)
    assert summary.listed == 5
    assert summary.known == 5
    assert summary.recordings == 0
    assert summary.duplicates == 0
    assert summary.dropped == 0
    with moved.warehouse() as con:
        stored = {str(row["uri"]) for row in read_rows(con, "select uri from source")}
        subjects = {str(row["subject"]) for row in read_rows(con, "select subject from ledger")}
    assert stored == {
        "./inbox/0.wav",
        "./inbox/2.wav",
        "./inbox/3.wav",
        "./inbox/notes.txt",
        "file:./inbox/b%FF.wav",
    }
    assert subjects == {"./inbox/notes.txt"}


def test_ingest_sources_knows_a_plain_copy_that_lost_the_times_of_change(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=3)
    ingest(workspace)
    shutil.copytree(
        workspace.root,
        tmp_path / "copy",
        copy_function=shutil.copyfile,
    )
    shutil.rmtree(workspace.root)
    copied = open_workspace(tmp_path / "copy")
    summary = ingest(copied)
    assert summary.known == 3
    assert summary.recordings == 0
    assert summary.duplicates == 0
    assert ingest(copied).known == 3
    path = copied.root / "inbox/0.wav"
    changed = bytearray(path.read_bytes())
    changed[1_000] ^= 1
    path.write_bytes(changed)
    assert ingest(copied).recordings == 1


def test_a_moved_workspace_shows_its_files_where_they_are_now(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    notes_file = workspace.root / "inbox/notes.txt"
    notes_file.write_text("no audio", encoding="utf-8")
    ingest(workspace)
    moved = move(workspace, tmp_path / "copy")
    here = str(moved.root / "inbox/0.wav")
    with moved.warehouse(read_only=True) as con:
        (stored,) = list_recordings(con)
        assert stored.uri == here
        files = [row["files"] for row in recording_rows(con)]
        assert files == [here]
        subjects = [drop.subject for drop in list_drops(con)]
        assert subjects == [str(moved.root / "inbox/notes.txt")]
        story = explain(con, stored.recording.recording_id)
        files = [row["file"] for row in story["recording"]]
        assert files == [here]
        for ref in (here, str(moved.root / "inbox"), str(moved.root)):
            assert find_recordings(con, "source", ref) == {stored.recording.recording_id}
        with pytest.raises(NotFoundError):
            find_recordings(con, "source", str(tmp_path / "w" / "inbox"))


def test_ingest_sources_writes_places_of_older_releases_relative(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=2)
    ingest(workspace)
    remark = Remark(
        kind=RemarkKind.GAP,
        detail="a gap",
        amount_ms=9,
    )
    with workspace.warehouse() as con:
        (first, _) = list_recordings(con)
        record_remarks(
            con,
            [remark],
            recording_id=first.recording.recording_id,
            stage="ingest",
            subject="./inbox/0.wav",
            run_id="t",
        )
    as_older_releases_wrote(workspace)
    with workspace.warehouse() as con:
        assert all(
            str(row["uri"]).startswith("/") for row in read_rows(con, "select uri from source")
        )
    assert ingest(workspace).known == 2
    with workspace.warehouse() as con:
        uris = {row["uri"] for row in read_rows(con, "select uri from source")}
        assert uris == {
            "./inbox/0.wav",
            "./inbox/1.wav",
        }
        (shown,) = read_rows(con, "select subject, detail from remark")
        assert shown == {"subject": "./inbox/0.wav", "detail": "a gap"}


def test_ingest_sources_keeps_an_inbox_beside_the_workspace_relative(tmp_path: Path) -> None:
    both = tmp_path / "both"
    workspace = make_workspace(both / "w", num_files=2)
    inbox = workspace.root / "inbox"
    inbox.rename(both / "calls")
    path = workspace.root / FILE_NAME
    path.write_text(
        path.read_text(encoding="utf-8").replace('"inbox"', '"../calls"'),
        encoding="utf-8",
    )
    assert ingest(open_workspace(workspace.root)).recordings == 2
    shutil.copytree(both, tmp_path / "others")
    shutil.rmtree(both)
    moved = open_workspace(tmp_path / "others" / "w")
    summary = ingest(moved)
    assert summary.known == 2
    assert summary.recordings == 0
    with moved.warehouse() as con:
        uris = {row["uri"] for row in read_rows(con, "select uri from source")}
        assert uris == {
            "../calls/0.wav",
            "../calls/1.wav",
        }
        uris = {s.uri for s in list_recordings(con)}
        assert uris == {
            str(tmp_path / "others/calls/0.wav"),
            str(tmp_path / "others/calls/1.wav"),
        }


def test_ingest_sources_leaves_files_outside_the_workspace_absolute(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    sound_file = workspace.root / "inbox/0.wav"
    sound_file.rename(tmp_path / "outside.wav")
    ingest(workspace, tmp_path / "outside.wav")
    with workspace.warehouse() as con:
        uris = [row["uri"] for row in read_rows(con, "select uri from source")]
        assert uris == [str(tmp_path / "outside.wav")]
