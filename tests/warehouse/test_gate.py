"""Whoever was forgotten stays out of every table, whoever writes, and who is on the list of those
is guarded by the chain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import DropReason, WarehouseError
from voxdata.identity import digest
from voxdata.label import Prediction
from warehouse.batches import MERGED, REJECTED, merge_batches, staged_rows
from warehouse.chain import check_chain
from warehouse.connection import FOLLOW_UPS, open_warehouse, transaction
from warehouse.erase import (
    begin_erasure,
    erase_rows,
    is_forgotten,
    known_recordings,
    plan_erasure,
    renew_consent,
)
from warehouse.gate import forgotten_among, naming_columns, refused_rows
from warehouse.guards import sidecar_path
from warehouse.ledger import list_drops
from warehouse.outbox import add_event, list_outbox
from warehouse.repair import repair_warehouse
from warehouse.rows import insert_new, insert_query, insert_rows, read_rows
from warehouse.snapshot import take_snapshot
from warehouse.verify import verify_all
from warehouse.versions import create_version, list_versions, load_examples

Make = Callable[..., Example]
GONE = digest("gone")
STAYS = digest("stays")
SAID = digest(GONE, 0, 0, 60_000)
OTHER = digest(STAYS, 0, 0, 60_000)

NOON = datetime(2026, 1, 1, 12)
VALUES: dict[str, object] = {
    "JSON": "{}",
    "BOOLEAN": True,
    "TIMESTAMP": NOON,
    "DATE": NOON.date(),
    "FLOAT[]": [1.0],
    "UINTEGER[]": [1],
} | dict.fromkeys(("INTEGER", "BIGINT", "UBIGINT", "DOUBLE"), 1)


def forget(con: DuckDBPyConnection, recording_id: str, *, run_id: str = "t") -> str:
    with transaction(con):
        plan = plan_erasure(con, [recording_id])
        receipt = begin_erasure(
            con,
            plan,
            kind="recording",
            subject=recording_id,
            reason="asked",
            run_id=run_id,
        )
    erase_rows(
        con,
        plan,
        receipt_id=receipt,
        kind="recording",
        subject=recording_id,
        reason="asked",
        run_id=run_id,
    )
    return receipt


def utterance(
    recording_id: str,
    key: str = "k",
    end_ms: int = 60_000,
    text: str = "hello",
) -> dict[str, object]:
    return {
        "utterance_id": digest(recording_id, 0, 0, end_ms),
        "recording_id": recording_id,
        "key": key,
        "channel": 0,
        "speaker": "S0",
        "start_ms": 0,
        "end_ms": end_ms,
        "text": text,
        "language": "en",
        "words": "[]",
        "run_id": "t",
    }


def tables(con: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in read_rows(
        con,
        """
        select table_name, column_name, data_type from duckdb_columns() c
        where database_name = current_database()
          and table_name in (
            select table_name from duckdb_tables() where not internal and not temporary)
        """,
    ):
        found.setdefault(str(row["table_name"]), {})[str(row["column_name"])] = str(
            row["data_type"]
        )
    return found


def test_every_table_that_names_somebody_refuses_who_was_forgotten(con: DuckDBPyConnection) -> None:
    con.execute(
        "create table added_later(first_recording_id varchar, last_utterance_id varchar, "
        "note varchar)"
    )
    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    insert_rows(
        con,
        "check_clip",
        [
            {
                "key": digest("check"),
                "utterance_id": SAID,
                "purpose": "gold",
                "shift_ms": 1,
                "run_id": "t",
            }
        ],
    )
    forget(con, GONE)
    named = {
        table: places
        for table, columns in tables(con).items()
        if (places := naming_columns(table, columns))
    }
    assert {
        "added_later",
        "annotation",
        "check_clip",
        "example",
        "ledger",
        "prediction",
        "push",
        "row_salt",
    } <= set(named)
    for table, places in named.items():
        columns = tables(con)[table]
        for place in places:
            value = (
                SAID
                if place in ("utterance_id", "last_utterance_id", "subject")
                else digest("check")
                if place == "key"
                else GONE
            )
            rows = []
            for about in (value, OTHER):
                rows.append(
                    {
                        name: VALUES.get(kind, f"{name} {about}")
                        for name, kind in columns.items()
                        if name not in ("seq", "created_at")
                    }
                    | {place: about}
                )
            if table == "split_assignment":
                rows = [{**row, "voice": f"{row['voice']}/S0"} for row in rows]
            assert insert_rows(con, table, rows) == 1, (table, place)
            inserted = insert_new(
                con,
                table,
                rows[:1],
                key=[place],
            )
            assert inserted == 0, (table, place)
            frame = pl.DataFrame(rows[:1], strict=False)
            con.register("late_rows", frame)
            assert insert_query(con, table, "from late_rows") == 0, (table, place)
            assert not [
                row
                for row in read_rows(con, f'select "{place}" as name from "{table}"')
                if value in str(row["name"])
            ], (
                table,
                place,
            )
    assert refused_rows(con)["prediction"] == 3


def count(con: DuckDBPyConnection, table: str, where: str = "true") -> int:
    return int(str(read_rows(con, f'select count(*) as n from "{table}" where {where}')[0]["n"]))


def test_rows_come_into_the_warehouse_by_one_door_only() -> None:
    root = Path(__file__).parents[2]
    # Books that name nobody: versions of the schema, commits, refused changes, and what erasing
    # leaves behind.
    allowed = {
        "schema_version",
        "commit_count",
        "refused_change",
        "erased_annotation",
        "manifest_erasure",
        "erasure_leaf",
    }
    found = set()
    for folder in ("warehouse", "flows", "annotation", "training", "voxdata"):
        for file in (root / folder).rglob("*.py"):
            for match in re.finditer(
                r"(?i)insert\s+(?:or\s+\w+\s+)?into\s+[\"']?([\w{}]+)",
                file.read_text(encoding="utf-8"),
            ):
                if match[1] not in allowed:
                    found.add((file.name, match[1]))
    assert found == {("rows.py", "{table}"), ("plain.py", "{table}")}
    past = {
        f.name
        for f in root.glob("warehouse/*.py")
        if "write_past_the_gate" in f.read_text(encoding="utf-8")
    }
    assert past == {"plain.py", "gate.py", "chain.py", "erase.py"}


def test_refused_rows_are_counted_in_the_ledger_without_a_name(con: DuckDBPyConnection) -> None:
    insert_rows(con, "utterance", [utterance(GONE, text="a secret"), utterance(STAYS)])
    receipt = forget(con, GONE)
    for _ in range(2):
        insert_rows(
            con,
            "utterance",
            [utterance(GONE, key=key, text="a secret") for key in "ab"]
            + [utterance(STAYS, key="later")],
        )
    (drop,) = [row for row in list_drops(con) if row.reason is DropReason.FORGOTTEN]
    assert drop.stage == "gate"
    assert drop.subject == f"receipt {receipt}"
    assert drop.value == 4.0
    assert drop.recording_id is None
    assert refused_rows(con) == {"utterance": 4}
    told = str(read_rows(con, "from ledger"))
    assert all(secret not in told for secret in (GONE, SAID, "a secret"))


def test_an_utterance_cut_after_its_recording_was_forgotten_is_known_too(
    con: DuckDBPyConnection,
) -> None:
    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    receipt = forget(con, GONE)
    late = utterance(GONE, end_ms=1_000)
    name = str(late["utterance_id"])
    assert forgotten_among(con, [name, SAID]) == {SAID: receipt}
    assert insert_rows(con, "utterance", [late]) == 0
    assert forgotten_among(con, [name]) == {name: receipt}
    inserted = insert_rows(
        con,
        "push",
        [{"project_id": 1, "utterance_id": name, "predictions_key": "k", "run_id": "t"}],
    )
    assert inserted == 0
    assert check_chain(con) == []


def test_renewed_consent_lets_recordings_and_utterances_in(con: DuckDBPyConnection) -> None:
    insert_rows(con, "utterance", [utterance(GONE)])
    receipt = forget(con, GONE)
    late = utterance(GONE, end_ms=1_000)
    insert_rows(con, "utterance", [late])
    renewed = renew_consent(con, receipt, reason="signed", run_id="t")
    assert renewed == 1
    inserted = insert_rows(con, "utterance", [utterance(GONE), late])
    assert inserted == 2
    inserted = insert_rows(
        con,
        "push",
        [{"project_id": 1, "utterance_id": SAID, "predictions_key": "k", "run_id": "t"}],
    )
    assert inserted == 1
    assert check_chain(con) == []
    assert forget(con, GONE, run_id="again") != receipt
    inserted = insert_rows(con, "utterance", [utterance(GONE)])
    assert inserted == 0


def test_a_batch_that_comes_late_brings_nobody_back(
    con: DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    for batch, end_ms in (("known", 60_000), ("cut anew", 1_000)):
        with staged_rows(folder, run_id="t", batch_id=batch) as staged:
            said = [
                utterance(
                    name,
                    key=batch,
                    end_ms=end_ms,
                    text=f"secret of {name}",
                )
                for name in (GONE, STAYS)
            ]
            insert_rows(staged, "utterance", said) if batch == "cut anew" else None
            rows: list[dict[str, object]] = [
                {
                    "prediction_id": digest(batch, row["utterance_id"]),
                    "utterance_id": row["utterance_id"],
                    "scheme": "intent",
                    "scheme_version": 1,
                    "label": "ask",
                    "distribution": "{}",
                    "model_key": "m",
                    "run_id": "t",
                }
                for row in said
            ]
            insert_rows(staged, "prediction", rows)
    forget(con, GONE)
    merged = merge_batches(con, folder, run_id="t")
    assert merged.merged == 2
    assert merged.rejected == 0
    assert merged.rows == 3
    assert count(con, "utterance", f"recording_id = '{GONE}'") == 0
    assert count(con, "prediction") == 2
    # What is kept until the next snapshot, to make a lost warehouse anew, holds nothing of them
    # either, and is merged again as it is.
    kept = sorted((folder / MERGED).glob("*/*.parquet"))
    lengths = [len(pl.read_parquet(file)) for file in kept]
    assert lengths == [1, 1, 1]
    assert all(f"secret of {GONE}" not in str(pl.read_parquet(file).to_dicts()) for file in kept)
    for path in (folder / MERGED).iterdir():
        path.rename(folder / path.name)
    con.execute("delete from merged_batch")
    assert merge_batches(con, folder, run_id="t").rejected == 0


def test_a_damaged_batch_that_comes_late_is_kept_only_as_far_as_it_tells_whom_it_is_about(
    con: DuckDBPyConnection, tmp_path: Path
) -> None:
    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    forget(con, GONE)
    folder = tmp_path / "batches"
    for batch in ("cut short", "another format", "no header"):
        with staged_rows(folder, run_id="t", batch_id=batch) as staged:
            insert_rows(
                staged,
                "utterance",
                [utterance(name, key=batch, text=f"secret of {name}") for name in (GONE, STAYS)],
            )
            remark = {
                "recording_id": STAYS,
                "stage": "t",
                "subject": "s",
                "kind": "k",
                "detail": "d",
                "key": batch,
                "run_id": "t",
            }
            insert_rows(staged, "remark", [remark])
    damaged = folder / "cut short" / "utterance.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    notes_file = folder / "cut short" / "notes.txt"
    notes_file.write_text(f"secret of {GONE}")
    header = folder / "another format" / "batch.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "format": "voxdata-batch/9"}))
    batch_file = folder / "no header" / "batch.json"
    batch_file.write_text(f'"secret of {GONE}"')
    assert merge_batches(con, folder, run_id="t").rejected == 3
    rejected = folder / REJECTED
    kept = {}
    for batch in rejected.iterdir():
        kept[batch.name] = sorted(file.name for file in batch.iterdir())
    assert kept == {
        "cut short": ["batch.json", "remark.parquet"],
        "another format": ["batch.json", "remark.parquet", "utterance.parquet"],
        "no header": [],
    }
    (stays,) = pl.read_parquet(rejected / "another format" / "utterance.parquet").to_dicts()
    assert stays["text"] == f"secret of {STAYS}"
    details = {row.subject: row.detail for row in list_drops(con) if row.stage == "merge"}
    assert (
        "notes.txt, utterance.parquet deleted, which may have held somebody who was forgotten"
        in details["cut short"]
    )


def test_ids_are_taken_out_of_text_and_json_in_any_table(
    con: DuckDBPyConnection, example: Make
) -> None:
    con.execute("create table notes(body json, line varchar, about varchar)")
    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    add_event(
        con,
        "told",
        {"utterances": [SAID, OTHER]},
        key=("a",),
        run_id="t",
    )
    insert_rows(
        con,
        "notes",
        [
            {
                "body": json.dumps({"on": [GONE, STAYS]}),
                "line": f"see {SAID}.wav",
                "about": GONE,
            }
        ],
    )
    insert_rows(
        con,
        "notes",
        [{"body": "{}", "line": f"see {OTHER}.wav", "about": f"{GONE}ff"}],
    )
    create_version(
        con,
        "calls",
        [example(1)],
        recipe={"where": f"recording_id <> '{GONE}'"},
        run_id="t",
    )
    insert_rows(
        con,
        "ledger",
        [
            {
                "stage": "pull",
                "subject": "s",
                "reason": "r",
                "detail": f"clip {SAID}",
                "key": "",
                "run_id": "t",
            }
        ],
    )
    forget(con, GONE)
    assert [
        list(row.values()) for row in read_rows(con, "select body::varchar, line, about from notes")
    ] == [
        ['{"on": ["[erased]", "' + STAYS + '"]}', "see [erased].wav", "[erased]"],
        ["{}", f"see {OTHER}.wav", f"{GONE}ff"],
    ]
    payloads = [event.payload for event in list_outbox(con) if event.event == "told"]
    assert payloads == [{"utterances": ["[erased]", OTHER]}]
    (version,) = list_versions(con)
    assert version.recipe == {"where": "recording_id <> '[erased]'"}
    assert count(con, "ledger", "detail = 'clip [erased]'") == 1
    assert all(one.ok for one in verify_all(con))
    with pytest.raises(duckdb.Error, match="immutable"):
        con.execute("update outbox set payload = '{}'")


def test_what_came_by_an_import_only_is_known_and_erased(
    con: DuckDBPyConnection, example: Make
) -> None:
    version, _ = create_version(
        con,
        "calls",
        [example(1), example(2)],
        recipe={"imported": {}},
        run_id="t",
    )
    assert known_recordings(con) == ["r1", "r2"]
    plan = plan_erasure(con, ["r1"])
    assert plan.utterance_ids == ("u001",)
    assert plan.audio_files == ("r1.flac",)
    forget(con, "r1")
    assert known_recordings(con) == ["r2"]
    # It comes again with others, as by an import that nobody looked at: the version lacks it.
    again, _ = create_calls(con, [example(1), example(2), example(3)])
    recording_ids = [e.recording_id for e in load_examples(con, again.version_id)]
    assert recording_ids == ["r2", "r3"]
    assert again.num_examples == 2
    assert version.num_examples == 2
    assert all(one.ok for one in verify_all(con))
    assert count(con, "row_salt", "recording_id = 'r1'") == 0


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ("update forgotten set renewed = true", "is not as it was written"),
        ("update forgotten set subject = 'somebody else'", "is not as it was written"),
        ("delete from forgotten where kind = 'recording'", "is gone"),
        (
            (
                "insert into forgotten by name select * replace ('another' as subject, "
                "nextval('row_seq') as seq) from forgotten limit 1"
            ),
            "never sealed",
        ),
    ],
)
def test_check_chain_notices_a_ban_that_was_tampered_with(
    con: DuckDBPyConnection, change: str, trouble: str
) -> None:
    insert_rows(con, "utterance", [utterance(GONE)])
    forget(con, GONE)
    assert check_chain(con) == []
    if not change.startswith("insert"):
        with pytest.raises(duckdb.Error, match="immutable"):
            con.execute(change)
    for verb in ("update", "delete"):
        con.execute(f"drop trigger forgotten_no_{verb} on forgotten")
    con.execute(change)
    assert trouble in str(check_chain(con))


def test_a_warehouse_that_lost_the_newest_bans_with_their_seals_is_not_opened(path: Path) -> None:
    with open_warehouse(path) as con:
        insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
        forget(con, GONE)
        assert is_forgotten(con, GONE)
    with open_warehouse(path) as con:
        assert check_chain(con) == []
    assert '"bans": 2' in sidecar_path(path).read_text()
    with duckdb.connect(path) as raw:
        raw.execute("drop trigger forgotten_no_delete on forgotten")
        raw.execute(
            "delete from annotation_seal where annotation_seq in (select seq from forgotten)"
        )
        raw.execute("delete from forgotten")
    with (
        pytest.raises(
            WarehouseError, match="2 entries keep out who was forgotten, and the warehouse has 0"
        ),
        open_warehouse(path),
    ):
        pass


def test_repair_says_how_many_bans_a_snapshot_lacks(path: Path, tmp_path: Path) -> None:
    with open_warehouse(path) as con:
        insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    take_snapshot(
        path,
        tmp_path / "snapshots",
        batches=tmp_path / "batches",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    with open_warehouse(path) as con:
        forget(con, GONE)
    with open_warehouse(path):
        pass
    path.write_bytes(b"damaged")
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    repair = repair_warehouse(
        path,
        snapshots=tmp_path / "snapshots",
        batches=tmp_path / "batches",
        now=datetime(2026, 1, 2, tzinfo=UTC),
        run_id="t",
    )
    assert repair.source[:8] == "snapshot"
    assert repair.lost_bans == 2


def test_an_older_warehouse_gets_its_bans_sealed(con: DuckDBPyConnection) -> None:
    insert_rows(con, "utterance", [utterance(GONE)])
    forget(con, GONE)
    con.execute("delete from annotation_seal")
    assert len(check_chain(con)) == 2
    FOLLOW_UPS[12](con)
    assert check_chain(con) == []
    assert is_forgotten(con, GONE)


def test_predictions_are_refused_one_by_one(con: DuckDBPyConnection) -> None:
    from voxdata.identity import ModelRef
    from warehouse.labels import add_predictions

    insert_rows(con, "utterance", [utterance(GONE), utterance(STAYS)])
    forget(con, GONE)
    model = ModelRef(name="m", revision="1")
    said = [
        Prediction(
            utterance_id=name,
            scheme="intent",
            distribution={"ask": 1.0},
            model=model,
        )
        for name in (SAID, OTHER)
    ]
    added = add_predictions(
        con,
        said,
        scheme_versions={"intent": 1},
        run_id="t",
    )
    assert added == 1
