"""On which days something was tried in vain, and what becomes of the note."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import polars as pl

from voxdata.errors import DropReason
from voxdata.testing import make_recording
from warehouse.attempts import Tries, list_tries, record_attempt, refused_files
from warehouse.batches import merge_batches, staged_rows
from warehouse.connection import MIGRATIONS, open_warehouse
from warehouse.erase import begin_erasure, erase_rows, plan_erasure
from warehouse.ledger import list_drops, record_drop
from warehouse.listed_files import move_places
from warehouse.places import Places
from warehouse.recordings import add_recording, add_source
from warehouse.rows import read_rows

MONDAY, TUESDAY, WEDNESDAY = (date(2026, 1, day) for day in (5, 6, 7))
HUNG = DropReason.TIMED_OUT


def attempt(
    con: duckdb.DuckDBPyConnection,
    subject: str,
    day: date,
    *,
    reason: DropReason = HUNG,
    key: str = "v1",
) -> Tries:
    return record_attempt(
        con,
        stage="ingest",
        subject=subject,
        key=key,
        reason=reason,
        day=day,
        detail="",
        run_id="t",
    )


def test_record_attempt_counts_different_days_of_one_content(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb") as con:
        assert attempt(con, "/a.wav", MONDAY).waits(MONDAY)
        same = attempt(con, "/a.wav", MONDAY, reason=DropReason.OUT_OF_MEMORY)
        assert same.days == 1
        assert same.rests is False
        killed = attempt(con, "/a.wav", TUESDAY, reason=DropReason.KILLED)
        assert killed.days == 2
        assert killed.waits(TUESDAY) is False
        assert attempt(con, "/a.wav", WEDNESDAY).rests
        assert attempt(con, "/a.wav", WEDNESDAY, key="v2").days == 1


def test_erase_rows_takes_attempts_along(tmp_path: Path) -> None:
    recording = make_recording(1)
    with open_warehouse(tmp_path / "w.duckdb") as con:
        add_recording(con, recording, audio_file="1.flac", run_id="t")
        add_source(
            con,
            uri="/a.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id=recording.recording_id,
            run_id="t",
        )
        attempt(con, "/a.wav", MONDAY)
        attempt(con, "/b.wav", MONDAY)
        plan = plan_erasure(con, [recording.recording_id])
        assert plan.counts["attempt"] == 1
        receipt = begin_erasure(
            con,
            plan,
            kind="recording",
            subject="r",
            reason="",
            run_id="t",
        )
        erase_rows(
            con,
            plan,
            receipt_id=receipt,
            kind="recording",
            subject="r",
            reason="",
            run_id="t",
        )
        assert {subject for _, subject, _ in list_tries(con)} == {"/b.wav"}


def test_attempts_move_with_their_workspace_and_come_with_batches(tmp_path: Path) -> None:
    places = Places(root=tmp_path)
    with staged_rows(tmp_path / "batches", run_id="t", places=places) as staged:
        attempt(staged, f"{tmp_path}/a.wav", MONDAY)
    with open_warehouse(tmp_path / "w.duckdb", places=places) as con:
        attempt(con, f"{tmp_path}/a.wav", MONDAY)
        merge_batches(con, tmp_path / "batches", run_id="t")
        assert len(read_rows(con, "select * from attempt where subject = './a.wav'")) == 1
        move_places(con, pl.DataFrame({"stored": ["./a.wav"], "kept": ["./b.wav"]}))
        assert list(list_tries(con)) == [("ingest", f"{tmp_path}/b.wav", "v1")]


def test_refused_files_are_those_that_never_gave_a_recording(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb") as con:
        for name in ("/a.wav", "/b.wav"):
            record_drop(
                con,
                stage="ingest",
                subject=name,
                reason=HUNG,
                detail="",
                run_id="t",
            )
        attempt(con, "/c.wav", MONDAY)
        attempt(con, "/d.wav", MONDAY, reason=DropReason.KILLED)
        add_source(
            con,
            uri="/b.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id="r",
            run_id="t",
        )
        assert refused_files(con, HUNG) == ["/a.wav", "/c.wav"]
        assert refused_files(con, DropReason.KILLED) == ["/d.wav"]


def test_migration_gives_files_their_tries_that_were_refused_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with open_warehouse(path) as con:
        con.execute("drop table attempt")
        con.execute("delete from schema_version where version >= 15")
        for number, reason in enumerate([HUNG, DropReason.OUT_OF_MEMORY, DropReason.CRASHED]):
            uri = f"/{number}.wav"
            record_drop(
                con,
                stage="ingest",
                subject=uri,
                reason=reason,
                detail="",
                run_id="t",
            )
            add_source(
                con,
                uri=uri,
                size_bytes=1,
                modified_ns=1,
                recording_id=None,
                run_id="t",
            )
        con.execute((MIGRATIONS / "0015_attempts.sql").read_text(encoding="utf-8"))
        left = [row["uri"] for row in read_rows(con, "select uri from source")]
        assert left == ["/2.wav"]
        tries = [drop.tries for drop in list_drops(con)]
        assert tries == [0, 0, 0]
