from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from voxdata.label import Annotation
from warehouse.annotations import add_annotations, current_annotations, newest_annotation_at
from warehouse.labels import add_predictions, list_predictions

NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
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


def test_add_predictions_adds_each_once_for_scheme_version_and_model(con: DuckDBPyConnection, heard: Callable[..., Any]) -> None:
    old, new = heard(revision="1").predictions, heard(revision="2").predictions
    assert [add_predictions(con, p, scheme_versions={"intent": 1}, run_id="t") for p in (old, old, new[:1], [])] == [2, 0, 1, 0]
    assert add_predictions(con, old, scheme_versions={"intent": 2}, run_id="t") == 2
    assert list_predictions(con, scheme="intent", model_key=new[0].model.key) == {new[0].utterance_id: new[0]}
    assert list_predictions(con, scheme="emotion") == {}


def test_list_predictions_prefers_the_newest_model(con: DuckDBPyConnection, heard: Callable[..., Any]) -> None:
    old, new = heard(revision="1").predictions, heard(revision="2").predictions
    for predictions in (old, new[:1]):
        add_predictions(con, predictions, scheme_versions={"intent": 1}, run_id="t")
    assert list_predictions(con, scheme="intent") == {new[0].utterance_id: new[0], old[1].utterance_id: old[1]}


def test_add_annotations_keeps_revisions_and_shows_the_newest(con: DuckDBPyConnection) -> None:
    later = replace(ANNOTATION, labels={}, skipped=True, text=None, lead_time_ms=None, updated_at=NOON + timedelta(seconds=1))
    assert [add_annotations(con, [a], run_id="t") for a in (ANNOTATION, later, ANNOTATION)] == [1, 1, 0]
    assert current_annotations(con) == [later]
    gone = replace(later, deleted=True)
    assert add_annotations(con, [gone, gone], run_id="t") == 1
    assert current_annotations(con) == [gone]


def test_newest_annotation_at_is_utc_whatever_zone_was_given(con: DuckDBPyConnection) -> None:
    assert newest_annotation_at(con, project_id=1) is None
    add_annotations(con, [replace(ANNOTATION, updated_at=NOON.astimezone(timezone(timedelta(hours=8))))], run_id="t")
    assert newest_annotation_at(con, project_id=1) == NOON
    assert newest_annotation_at(con, project_id=2) is None
    with pytest.raises(ValueError, match="time zone"):
        add_annotations(con, [replace(ANNOTATION, updated_at=NOON.replace(tzinfo=None))], run_id="t")
