"""A warehouse from before annotations could name several labels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from voxdata.label import Annotation
from warehouse.annotations import add_annotations, current_annotations, list_simulated
from warehouse.chain import check_chain
from warehouse.connection import MIGRATIONS, open_warehouse


def test_old_annotations_are_read_as_before_and_sealed(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as con:
        con.execute(
            "create table schema_version(version integer, name varchar, applied_at timestamp)"
        )
        for file in sorted(MIGRATIONS.glob("000[1-4]_*.sql")):
            con.execute(file.read_text(encoding="utf-8"))
            con.execute(
                "insert into schema_version values (?, ?, now())",
                [int(file.name[:4]), file.stem],
            )
        con.execute(
            """
            insert into annotation(
              annotation_id, project_id, utterance_id, annotator, labels,
              skipped, deleted, updated_at, run_id
            ) values
            (1, 1, 'u', 'ann', '{"intent":"查询 \\"余额\\"","emotion":"sad"}',
              false, false, '2026-01-01', 'r'),
            (2, 1, 'v', 'ann', '{}', true, false, '2026-01-02', 'r')"""
        )
        con.execute(
            "insert into push(project_id, utterance_id, predictions_key, run_id) values (1, "
            "'u', 'k', 'r')"
        )
    with open_warehouse(path) as con:
        first, second = current_annotations(con)
        assert dict(first.labels) == {"intent": ('查询 "余额"',), "emotion": ("sad",)}
        assert dict(first.ratings) == {}
        assert first.flags == ()
        assert first.proposal == ""
        assert second.skipped is True
        assert dict(second.labels) == {}
        assert check_chain(con) == []
        added = add_annotations(con, [first, second], run_id="t")
        assert added == 0
        assert check_chain(con) == []
        added = add_annotations(
            con,
            [replace(first, annotation_id=3)],
            run_id="t",
        )
        assert added == 1
        assert check_chain(con) == []


def test_answers_of_the_demos_scripts_from_before_are_known_by_their_haste(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as con:
        con.execute(
            "create table schema_version(version integer, name varchar, applied_at timestamp)"
        )
        for file in sorted(MIGRATIONS.glob("000[1-7]_*.sql")):
            con.execute(file.read_text(encoding="utf-8"))
            con.execute(
                "insert into schema_version values (?, ?, now())",
                [int(file.name[:4]), file.stem],
            )
        con.execute(
            """
            insert into annotation(
              annotation_id, project_id, utterance_id, annotator, labels,
              skipped, deleted, lead_time_ms, updated_at, run_id
            ) values
            (1, 1, 'u', 'annotator-1@voxdata.local', '{}', false, false, 2000, '2026-01-01', 'r'),
            (2, 1, 'u', 'annotator-2@voxdata.local', '{}', false, false, 4711, '2026-01-02', 'r'),
            (3, 1, 'u', 'ann@example.org', '{}', false, false, 2000, '2026-01-02', 'r')"""
        )
    with open_warehouse(path) as con:
        assert list_simulated(con) == {"annotator-1@voxdata.local": 0.05}
        added = add_annotations(con, current_annotations(con), run_id="t")
        assert added == 0
        assert check_chain(con) == []


def say(
    annotator: str,
    number: int,
    *,
    simulated: float | None,
) -> Annotation:
    return Annotation(
        annotation_id=number,
        project_id=1,
        utterance_id=f"u{number}",
        annotator=annotator,
        labels={"intent": ("ask",)},
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        lead_time_ms=2_000,
        simulated=simulated,
    )


def test_list_simulated_goes_by_the_answers_and_not_by_the_address(tmp_path: Path) -> None:
    said = [
        say("annotator-1@voxdata.local", 1, simulated=None),
        say("robot@example.org", 2, simulated=0.2),
        say("both@example.org", 3, simulated=0.2),
        say("both@example.org", 4, simulated=None),
    ]
    with open_warehouse(tmp_path / "w.duckdb") as con:
        add_annotations(con, said, run_id="t")
        assert list_simulated(con) == {"robot@example.org": 0.2}
        marks = [a.simulated for a in current_annotations(con)]
        assert marks == [None, 0.2, 0.2, None]


def test_check_chain_notices_a_mark_that_was_taken_away(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb") as con:
        add_annotations(
            con,
            [say("robot@example.org", 1, simulated=0.2)],
            run_id="t",
        )
        assert check_chain(con) == []
        con.execute("update annotation set simulated = null")
        assert len(check_chain(con)) == 1
