from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from voxdata.label import Annotation
from warehouse.annotations import (
    add_annotations,
    current_annotations,
    find_oddities,
    last_read_at,
    read_marks,
    record_read,
)
from warehouse.chain import chain_head, check_chain
from warehouse.labels import add_predictions, list_predictions
from warehouse.pushes import note_project

NOON = datetime(
    2026,
    5,
    1,
    12,
    0,
    0,
    123456,
    tzinfo=UTC,
)
ANNOTATION = Annotation(
    annotation_id=7,
    project_id=1,
    utterance_id="u1",
    annotator="ann",
    labels={"intent": ("问",)},
    text="hi",
    lead_time_ms=900,
    updated_at=NOON,
)


def test_add_predictions_adds_each_once_for_scheme_version_and_model(
    con: DuckDBPyConnection, heard: Callable[..., Any]
) -> None:
    old = heard(revision="1").predictions
    new = heard(revision="2").predictions
    assert [
        add_predictions(con, p, scheme_versions={"intent": 1}, run_id="t")
        for p in (old, old, new[:1], [])
    ] == [2, 0, 1, 0]
    added = add_predictions(
        con,
        old,
        scheme_versions={"intent": 2},
        run_id="t",
    )
    assert added == 2
    predictions = list_predictions(
        con,
        scheme="intent",
        model_key=new[0].model.key,
    )
    assert predictions == {new[0].utterance_id: new[0]}
    assert list_predictions(con, scheme="emotion") == {}


def test_list_predictions_prefers_the_newest_model(
    con: DuckDBPyConnection, heard: Callable[..., Any]
) -> None:
    old = heard(revision="1").predictions
    new = heard(revision="2").predictions
    for predictions in (old, new[:1]):
        add_predictions(con, predictions, scheme_versions={"intent": 1}, run_id="t")
    assert list_predictions(con, scheme="intent") == {
        new[0].utterance_id: new[0],
        old[1].utterance_id: old[1],
    }


def test_add_annotations_keeps_revisions_and_shows_the_newest(con: DuckDBPyConnection) -> None:
    later = replace(
        ANNOTATION,
        labels={},
        skipped=True,
        text=None,
        lead_time_ms=None,
        updated_at=NOON + timedelta(seconds=1),
    )
    assert [add_annotations(con, [a], run_id="t") for a in (ANNOTATION, later, ANNOTATION)] == [
        1,
        1,
        0,
    ]
    assert current_annotations(con) == [later]
    gone = replace(later, deleted=True)
    added = add_annotations(con, [gone, gone], run_id="t")
    assert added == 1
    assert current_annotations(con) == [gone]


def test_last_read_at_is_utc_whatever_zone_was_given(con: DuckDBPyConnection) -> None:
    assert last_read_at(con, project_id=1) is None
    record_read(
        con,
        project_id=1,
        read_at=NOON.astimezone(timezone(timedelta(hours=8))),
        marks={"u1": "a"},
        run_id="t",
    )
    record_read(
        con,
        project_id=1,
        read_at=NOON + timedelta(seconds=1),
        marks={"u1": "b", "u2": "a"},
        run_id="t",
    )
    assert last_read_at(con, project_id=1) == NOON + timedelta(seconds=1)
    assert last_read_at(con, project_id=2) is None
    assert read_marks(con, project_id=1) == {"u1": "b", "u2": "a"}
    with pytest.raises(ValueError, match="time zone"):
        add_annotations(
            con,
            [replace(ANNOTATION, updated_at=NOON.replace(tzinfo=None))],
            run_id="t",
        )


def test_check_chain_names_what_was_changed_removed_or_slipped_in(con: DuckDBPyConnection) -> None:
    said = [
        replace(ANNOTATION, annotation_id=number, updated_at=NOON + timedelta(seconds=number))
        for number in range(1, 6)
    ]
    for annotation in said:
        add_annotations(con, [annotation], run_id="t")
    assert check_chain(con) == []
    head = chain_head(con)
    assert len(head) == 64
    con.execute('update annotation set labels = \'{"intent":["答"]}\' where annotation_id = 2')
    con.execute("delete from annotation where annotation_id = 4")
    slipped = (
        "select * replace (9 as annotation_id, nextval('row_seq') as seq) from annotation where "
        "annotation_id = 1"
    )
    con.execute(f"insert into annotation by name {slipped}")
    wrong = check_chain(con)
    assert len(wrong) == 3
    assert "annotation 2) is not as it was written" in wrong[0]
    assert "is gone" in wrong[1]
    assert "annotation 9) was never sealed" in wrong[2]
    con.execute("delete from annotation_seal where seq = (select min(seq) from annotation_seal)")
    assert any("not the one it was chained to" in line for line in check_chain(con))


def test_find_oddities_names_each_kind(con: DuckDBPyConnection) -> None:
    note_project(
        con,
        server_id=1,
        made_at="m",
        purpose="label",
        title="t",
        run_id="t",
    )
    note_project(
        con,
        server_id=2,
        made_at="m",
        purpose="adjudicate",
        title="t",
        run_id="t",
    )
    forged = replace(ANNOTATION, annotation_id=1, author="eve")
    gone = replace(ANNOTATION, annotation_id=2, deleted=True)
    decided = replace(
        ANNOTATION,
        annotation_id=3,
        project_id=2,
        updated_at=NOON + timedelta(hours=1),
    )
    late = replace(
        ANNOTATION,
        annotation_id=4,
        updated_at=NOON + timedelta(hours=2),
    )
    add_annotations(con, [forged, gone, decided, late], run_id="t")
    oddities = {(row["oddity"], row["annotation_id"]) for row in find_oddities(con)}
    assert oddities == {
        ("written in the name of another", 1),
        ("vanished from Label Studio", 2),
        ("changed after adjudication", 4),
    }
