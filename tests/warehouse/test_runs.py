from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import DropReason, NotFoundError
from voxdata.label import Annotation
from voxdata.recording import Recording
from warehouse.annotations import add_annotations
from warehouse.ledger import record_drop
from warehouse.promotions import add_judged_run, promoted_run
from warehouse.pushes import PushedClip, record_pushes
from warehouse.recordings import add_recording, add_source
from warehouse.runs import (
    TrainingRun,
    add_training_run,
    find_training_run,
    list_training_runs,
)
from warehouse.status import Counts, count_rows

RUN = TrainingRun(
    training_id="t1",
    scheme="intent",
    role="label:intent",
    version_id="v",
    config_key="c",
    state="done",
    model_key="m",
    model_name="head",
    checkpoint_dir="d",
    result={"uar": 0.5},
    promoted=True,
    reason="better",
    seconds=3,
)


def test_add_judged_run_adds_once_and_promotes_as_judged(con: DuckDBPyConnection) -> None:
    runs = [
        RUN,
        replace(RUN, training_id="t2"),
        replace(RUN, training_id="t3", promoted=False),
        replace(RUN, training_id="t4", scheme="emotion", role="label:emotion"),
    ]
    assert [add_judged_run(con, run, run_id="t") for run in (*runs, RUN)] == [
        True,
        True,
        True,
        True,
        False,
    ]
    training_ids = [run.training_id for run in list_training_runs(con, "intent")]
    assert training_ids == ["t1", "t2", "t3"]
    assert len(list_training_runs(con)) == 4
    promoted = promoted_run(con, "label:intent")
    assert promoted is not None
    assert replace(promoted, created_at=RUN.created_at) == runs[1]
    assert promoted_run(con, "label:topic") is None
    with pytest.raises(NotFoundError, match="nope"):
        find_training_run(con, "nope")


def test_add_training_run_lets_a_success_follow_a_failure(con: DuckDBPyConnection) -> None:
    failed = replace(RUN, state="failed", promoted=False)
    assert [add_training_run(con, run, run_id="t") for run in (failed, failed, RUN, failed)] == [
        True,
        False,
        True,
        False,
    ]
    assert find_training_run(con, "t1").state == "done"
    assert len(list_training_runs(con)) == 1


def test_count_rows_counts_every_stage(
    con: DuckDBPyConnection,
    recording: Callable[[str], Recording],
    heard: Callable[..., Any],
    example: Callable[..., Example],
) -> None:
    empty = count_rows(con)
    assert empty.sources == 0
    assert empty.recording_minutes == 0
    assert empty.drops == {}
    assert empty.promoted == {}
    add_recording(con, recording("r1"), audio_file="a", run_id="t")
    add_source(
        con,
        uri="a",
        size_bytes=1,
        modified_ns=1,
        recording_id="r1",
        run_id="t",
    )
    heard().store(con, key="k1")
    heard().store(con, key="k2")
    record_pushes(
        con,
        [PushedClip(utterance_id="u", clip_digest="k")],
        project_id=1,
        run_id="t",
    )
    record_drop(
        con,
        stage="push",
        subject="u",
        reason=DropReason.TOO_SHORT,
        detail="",
        run_id="t",
    )
    now = datetime.now(UTC)
    annotation = Annotation(
        annotation_id=1,
        project_id=1,
        utterance_id="u",
        annotator="ann",
        labels={"intent": ("ask",)},
        updated_at=now,
    )
    add_annotations(
        con,
        [
            annotation,
            replace(annotation, annotation_id=2, skipped=True),
            replace(annotation, annotation_id=3, deleted=True),
        ],
        run_id="t",
    )
    create_calls(con, [example()])
    add_judged_run(con, RUN, run_id="t")
    assert count_rows(con) == Counts(
        sources=1,
        recordings=1,
        recording_minutes=1.0,
        utterances=2,
        utterance_minutes=0.05,
        predictions=2,
        pushed=1,
        annotations=1,
        annotators=1,
        drops={("push", "too_short"): 1},
        remarks=0,
        versions=1,
        training_runs=1,
        promoted={"label:intent": "t1"},
    )
