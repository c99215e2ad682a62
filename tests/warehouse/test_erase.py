from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import NotFoundError
from voxdata.label import Annotation
from warehouse.annotations import add_annotations
from warehouse.chain import check_chain
from warehouse.compact import compact_warehouse
from warehouse.connection import open_warehouse
from warehouse.erase import (
    begin_erasure,
    erase_rows,
    forgotten_receipts,
    is_forgotten,
    list_receipts,
    plan_erasure,
    recordings_of_voice,
    renew_consent,
)
from warehouse.guards import IMMUTABLE_TABLES, require_triggers, unguarded
from warehouse.outbox import list_outbox
from warehouse.promotions import Promotion, add_promotion
from warehouse.rollback import roll_back
from warehouse.rows import insert_rows, read_rows
from warehouse.verify import verify_all
from warehouse.versions import create_version, list_versions, load_examples

Make = Callable[..., Example]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "my name is Xiomara Quillfeather and I live at 我家"


def fill(con: DuckDBPyConnection, example: Make) -> None:
    """Two versions of five recordings; what r1 says is secret, and one annotation of each is on
    record.
    """
    examples = [replace(example(n), text=SECRET if n == 1 else f"text {n}") for n in range(5)]
    create_calls(con, examples)
    create_calls(con, [replace(e, text=f"{e.text} again") for e in examples])
    add_annotations(
        con,
        [
            Annotation(
                annotation_id=n,
                project_id=1,
                utterance_id=f"u{n:03d}",
                annotator="a",
                labels={"intent": ("ask",)},
                text=e.text,
                updated_at=NOON,
            )
            for n, e in enumerate(examples)
        ],
        run_id="t",
    )
    insert_rows(
        con,
        "recording_metadata",
        [{"recording_id": "r1", "name": "who", "value": SECRET, "manifest": "m", "run_id": "t"}],
    )


def erase(con: DuckDBPyConnection, recording_id: str) -> str:
    plan = plan_erasure(con, [recording_id])
    receipt = begin_erasure(
        con,
        plan,
        kind="recording",
        subject=recording_id,
        reason="asked",
        run_id="t",
    )
    erase_rows(
        con,
        plan,
        receipt_id=receipt,
        kind="recording",
        subject=recording_id,
        reason="asked",
        run_id="t",
    )
    return receipt


def test_erase_rows_leaves_every_version_verifiable(con: DuckDBPyConnection, example: Make) -> None:
    fill(con, example)
    before = {v.ref: v.root for v in list_versions(con)}
    receipt = erase(con, "r1")
    roots_by_ref = {v.ref: v.root for v in list_versions(con)}
    assert roots_by_ref == before
    assert [(one.ok, one.num_intact, one.num_erased) for one in verify_all(con)] == [
        (True, 4, 1)
    ] * 2
    assert check_chain(con) == []
    recording_ids = [e.recording_id for e in load_examples(con, list_versions(con)[0].version_id)]
    assert recording_ids == [
        "r0",
        "r2",
        "r3",
        "r4",
    ]
    (found,) = list_receipts(con)
    assert found.receipt_id == receipt
    assert found.versions == {"calls@1": 1, "calls@2": 1}
    assert found.renewed is False
    assert SECRET not in str(read_rows(con, "from erasure"))
    require_triggers(con)


def test_erase_rows_notices_when_something_else_went_too(
    con: DuckDBPyConnection, example: Make
) -> None:
    fill(con, example)
    erase(con, "r1")
    with unguarded(con, "example"):
        con.execute("delete from example where recording_id = 'r2'")
    assert all("rows are gone" in one.problems[0] for one in verify_all(con))
    con.execute("delete from annotation where annotation_id = 3")
    assert check_chain(con) == ["ledger entry 4 is gone"] or len(check_chain(con)) == 1


def test_compact_warehouse_takes_the_bytes_out_of_the_file(path: Path, example: Make) -> None:
    with open_warehouse(path) as con:
        con.execute("pragma force_compression = 'uncompressed'")
        fill(con, example)
    assert SECRET.encode() in path.read_bytes()
    with open_warehouse(path) as con:
        con.execute("pragma force_compression = 'uncompressed'")
        erase(con, "r1")
    assert SECRET.encode() in path.read_bytes()  # deleting rows alone leaves them there
    with open_warehouse(path) as con:
        tables = {
            str(row["table_name"])
            for row in read_rows(con, "select table_name from duckdb_tables()")
        }
        last = read_rows(con, "select max(seq) as seq from dataset_version")[0]["seq"]
    compact_warehouse(path)
    for part in path.parent.iterdir():
        assert part.is_dir() or SECRET.encode() not in part.read_bytes(), part
    with open_warehouse(path) as con:
        texts = {
            str(row["table_name"])
            for row in read_rows(con, "select table_name from duckdb_tables()")
        }
        assert texts == tables
        assert len(read_rows(con, "from duckdb_triggers()")) == 2 * len(IMMUTABLE_TABLES)
        assert all(one.ok for one in verify_all(con))
        _, new = create_version(
            con,
            "later",
            [example(7)],
            recipe={},
            run_id="t",
        )
        assert new
        assert int(
            str(read_rows(con, "select seq from dataset_version where name = 'later'")[0]["seq"])
        ) > int(str(last))
        with pytest.raises(duckdb.Error, match="immutable"):
            con.execute("delete from example")


def test_forgotten_recordings_stay_out_until_consent_is_renewed(
    con: DuckDBPyConnection, example: Make
) -> None:
    fill(con, example)
    receipt = erase(con, "r1")
    assert is_forgotten(con, "r1") == receipt
    assert is_forgotten(con, "r2") is None
    assert "r1" not in str(forgotten_receipts(con))
    with pytest.raises(NotFoundError, match=r"no receipt that keeps anybody out begins with .zzz"):
        renew_consent(con, "zzz", reason="", run_id="t")
    renewed = renew_consent(
        con,
        receipt[:8],
        reason="signed again",
        run_id="t",
    )
    assert renewed == 1
    assert is_forgotten(con, "r1") is None
    assert list_receipts(con)[0].renewed
    # It may come in again, and its rows get new salts and leaves.
    again, new = create_calls(
        con,
        [replace(example(n), text=SECRET if n == 1 else f"text {n}") for n in range(5)],
    )
    assert new is True
    assert again.num_erased == 0
    assert again.root not in {v.root for v in list_versions(con)[:2]}
    assert all(one.ok for one in verify_all(con))


def test_roll_back_does_not_bring_erased_rows_back(con: DuckDBPyConnection, example: Make) -> None:
    fill(con, example)
    first = list_versions(con)[0]
    same, new = roll_back(con, first, run_id="t")
    assert new is True
    assert same.number == 3
    assert same.version_id == first.version_id
    assert same.recipe["rollback_of"] == "calls@1"
    erase(con, "r1")
    version, new = roll_back(
        con,
        list_versions(con)[0],
        run_id="t",
    )
    assert new is True
    assert version.num_examples == 4
    assert version.num_erased == 0
    assert roll_back(con, version, run_id="t")[1] is False


def test_erasure_asks_for_retraining_of_the_models_concerned(
    con: DuckDBPyConnection, example: Make
) -> None:
    fill(con, example)
    version_id = list_versions(con)[0].version_id
    row: dict[str, object] = {
        "training_id": "t1",
        "scheme": "intent",
        "version_id": version_id,
        "config_key": "c",
        "state": "done",
        "model_key": "m",
        "model_name": "n",
        "checkpoint_dir": "d",
        "result": "{}",
        "promoted": True,
        "reason": "",
        "seconds": 1.0,
        "run_id": "t",
    }
    insert_rows(con, "training_run", [row])
    assert plan_erasure(con, ["r1"]).models == {"t1": False}
    in_use = Promotion(role="label:intent", training_id="t1", decided_by="rule", reason="better")
    add_promotion(con, in_use, run_id="t")
    assert plan_erasure(con, ["r1"]).models == {"t1": True}
    receipt = erase(con, "r1")
    assert list_receipts(con)[0].models == ("t1",)
    (asked,) = [
        event for event in list_outbox(con) if event.event == "voxdata.retraining.requested"
    ]
    assert asked.payload == {
        "receipt_id": receipt,
        "models": ["t1"],
        "versions": {"calls@1": 1, "calls@2": 1},
    }


def test_recordings_of_voice_follows_merges(con: DuckDBPyConnection) -> None:
    def event(
        kind: str,
        voice: str,
        recording: str | None,
        other: str | None = None,
    ) -> None:
        row: dict[str, object] = {
            "kind": kind,
            "voice_id": voice,
            "other_id": other,
            "recording_id": recording,
            "channel": 0,
            "speaker": "S",
            "key": "k",
            "reason": "",
            "run_id": "t",
        }
        insert_rows(con, "voice_event", [row])

    event("new", "v", "r1")
    event("join", "v", "r2")
    event("new", "w", "r3")
    event("new", "x", "r4")
    event("merge", "w", None, "v")
    assert recordings_of_voice(con, "v") == {"r1", "r2", "r3"}
    assert recordings_of_voice(con, "x") == {"r4"}


def test_every_table_that_names_a_recording_or_an_utterance_is_erased(
    con: DuckDBPyConnection,
) -> None:
    from warehouse.erase import _doomed

    naming = {
        str(row["table_name"])
        for row in read_rows(
            con,
            """
            select distinct table_name from duckdb_columns()
            where column_name in ('recording_id', 'utterance_id', 'uri')
              and table_name in (select table_name from duckdb_tables())
            """,
        )
    }
    assert naming <= set(_doomed(con))
