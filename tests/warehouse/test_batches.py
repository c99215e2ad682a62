from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from voxdata.recording import Recording
from warehouse.batches import (
    MERGED,
    REJECTED,
    forget_merged,
    leave_batch,
    list_batches,
    merge_batches,
    staged_rows,
)
from warehouse.connection import open_warehouse, transaction
from warehouse.ledger import list_drops
from warehouse.recordings import add_recording, add_source, list_recordings
from warehouse.rows import read_rows


def sources(*names: str) -> dict[str, pl.DataFrame]:
    rows = [
        {
            "uri": name,
            "size_bytes": 1,
            "modified_ns": 2,
            "recording_id": None,
            "decoder": "d",
            "run_id": "t",
        }
        for name in names
    ]
    return {"source": pl.DataFrame(rows, schema_overrides={"recording_id": pl.String})}


def uris(con: DuckDBPyConnection) -> list[str]:
    return [str(row["uri"]) for row in read_rows(con, "select uri from source order by seq")]


def test_merge_batches_counts_every_batch_once(con: DuckDBPyConnection, tmp_path: Path) -> None:
    folder = tmp_path / "batches"
    leave_batch(
        folder,
        sources("a", "b"),
        run_id="t",
        batch_id="one",
    )
    leave_batch(
        folder,
        sources("你好", "a"),
        run_id="t",
        batch_id="two",
    )
    batch_id = leave_batch(
        folder,
        sources("a", "b"),
        run_id="t",
        batch_id="one",
    )
    assert batch_id == "one"
    merged = merge_batches(con, folder, run_id="t")
    assert merged.merged == 2
    assert merged.rows == 3
    assert uris(con) == ["a", "b", "你好"]
    # As after a death between the commit and the clearing away.
    merged_batch = folder / MERGED / "one"
    merged_batch.rename(folder / "one")
    again = merge_batches(con, folder, run_id="t")
    assert again.merged == 0
    assert again.known == 1
    assert again.rows == 0
    assert list_batches(folder) == []
    assert read_rows(con, "select batch_id, num_rows from merged_batch order by batch_id") == [
        {"batch_id": "one", "num_rows": 2},
        {"batch_id": "two", "num_rows": 2},
    ]
    assert forget_merged(folder, held={"one"}) == 1
    assert forget_merged(folder, held={"one", "two"}) == 1


def test_merge_batches_puts_aside_what_is_damaged_or_strange_and_goes_on(
    con: DuckDBPyConnection, tmp_path: Path
) -> None:
    for name in ("good", "flipped", "no-header", "other-format", "strange", "misfit"):
        leave_batch(
            tmp_path / "b",
            sources(name),
            run_id="t",
            batch_id=name,
        )
    folder = tmp_path / "b"
    flipped = bytearray((folder / "flipped" / "source.parquet").read_bytes())
    flipped[20] ^= 1
    (folder / "flipped" / "source.parquet").write_bytes(flipped)
    (folder / "no-header" / "batch.json").unlink()
    text = (folder / "other-format" / "batch.json").read_text()
    header = json.loads(text)
    (folder / "other-format" / "batch.json").write_text(
        json.dumps({**header, "format": "voxdata-batch/9"})
    )
    (folder / "strange" / "batch.json").write_text(
        json.dumps({**header, "tables": {"dataset_version": {"rows": 1, "sha256": ""}}})
    )
    odd = leave_batch(
        folder,
        {"source": pl.DataFrame({"nonsense": [1]})},
        run_id="t",
        batch_id="odd",
    )
    (folder / "misfit").rename(folder / "zz")
    merged = merge_batches(con, folder, run_id="t")
    assert merged.merged == 2
    assert merged.rejected == 5
    assert sorted(uris(con)) == ["good", "misfit"]
    names = sorted(path.name for path in (folder / REJECTED).iterdir())
    assert names == [
        "flipped",
        "no-header",
        odd,
        "other-format",
        "strange",
    ]
    drops = {row.subject: row.detail for row in list_drops(con)}
    assert "damaged" in drops["flipped"]
    assert "voxdata-batch/9" in drops["other-format"]
    assert "dataset_version cannot be merged" in drops["strange"]
    assert "do not fit" in drops[odd]


def test_leave_batch_refuses_tables_that_are_not_merged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dataset_version"):
        leave_batch(
            tmp_path,
            {"dataset_version": pl.DataFrame({"a": [1]})},
            run_id="t",
        )
    assert list(tmp_path.iterdir()) == []


def test_staged_rows_are_written_as_if_directly(
    path: Path, tmp_path: Path, recording: Recording
) -> None:
    def write(con: DuckDBPyConnection) -> None:
        with transaction(con):
            first = recording("r1")  # type: ignore[operator]
            add_recording(con, first, audio_file="a.flac", run_id="t")
            add_source(
                con,
                uri="a",
                size_bytes=1,
                modified_ns=1,
                recording_id="r1",
                run_id="t",
            )

    with staged_rows(tmp_path / "b", run_id="t") as staged:
        write(staged)
    with pytest.raises(KeyError), staged_rows(tmp_path / "b", run_id="t") as staged:
        write({"con": staged}["no such key"])
    with open_warehouse(path) as con:
        merged = merge_batches(con, tmp_path / "b", run_id="t")
        assert merged.merged == 1
        write(con)  # what is there already is not doubled
        recording_ids = [s.recording.recording_id for s in list_recordings(con)]
        assert recording_ids == ["r1"]
        assert uris(con) == ["a"]
