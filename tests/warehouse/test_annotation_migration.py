"""A warehouse from before annotations could name several labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from warehouse.annotations import add_annotations, check_chain, current_annotations
from warehouse.connection import MIGRATIONS, open_warehouse


def test_old_annotations_are_read_as_before_and_sealed_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with duckdb.connect(path) as con:
        con.execute("create table schema_version(version integer, name varchar, applied_at timestamp)")
        for file in sorted(MIGRATIONS.glob("000[1-4]_*.sql")):
            con.execute(file.read_text(encoding="utf-8"))
            con.execute("insert into schema_version values (?, ?, now())", [int(file.name[:4]), file.stem])
        con.execute(
            """
            insert into annotation(annotation_id, project_id, utterance_id, annotator, labels, skipped, deleted, updated_at, run_id) values
            (1, 1, 'u', 'ann', '{"intent":"查询 \\"余额\\"","emotion":"sad"}', false, false, '2026-01-01', 'r'),
            (2, 1, 'v', 'ann', '{}', true, false, '2026-01-02', 'r')"""
        )
        con.execute("insert into push(project_id, utterance_id, predictions_key, run_id) values (1, 'u', 'k', 'r')")
    with open_warehouse(path) as con:
        first, second = current_annotations(con)
        assert dict(first.labels) == {"intent": ('查询 "余额"',), "emotion": ("sad",)}
        assert (dict(first.ratings), first.flags, first.proposal) == ({}, (), "")
        assert (second.skipped, dict(second.labels)) == (True, {})
        assert len(check_chain(con)) == 2
        assert add_annotations(con, [first, second], run_id="t") == 0
        assert check_chain(con) == []
        assert add_annotations(con, [replace(first, annotation_id=3)], run_id="t") == 1
        assert check_chain(con) == []
