from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import WarehouseError
from voxdata.manifest import read_manifest
from voxdata.root import fingerprint
from warehouse.exchange.table import write_table, write_version_manifest
from warehouse.rows import read_rows

Make = Callable[..., Example]


def test_write_table_puts_the_id_into_the_parquet_footer(
    con: DuckDBPyConnection, example: Make, tmp_path: Path
) -> None:
    write_table(
        [example()],
        kind="parquet",
        path=tmp_path / "a.parquet",
        version_id="abc",
    )
    rows = read_rows(
        con,
        "select value from parquet_kv_metadata(?) where key::varchar = 'voxdata_version_id'",
        [str(tmp_path / "a.parquet")],
    )
    assert rows == [{"value": b"abc"}]


def test_write_table_refuses_an_unknown_kind(example: Make, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="xlsx"):
        write_table(
            [example()],
            kind="xlsx",
            path=tmp_path / "a",
            version_id="abc",
        )


def test_write_version_manifest_is_read_back_with_its_root(
    con: DuckDBPyConnection, example: Make, tmp_path: Path
) -> None:
    examples = [example(1), example(2)]
    version, _ = create_calls(con, examples)
    path = write_version_manifest(
        con,
        version.version_id,
        audio_root=tmp_path,
        schemes={"intent": ("ask", "tell")},
        path=tmp_path / "m.jsonl",
    )
    manifest = read_manifest(path)
    assert manifest.name == "calls@1"
    assert manifest.version_id == fingerprint(manifest.examples)
    assert manifest.examples == tuple(examples)
