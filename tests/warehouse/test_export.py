from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, fingerprint
from voxdata.errors import NotFoundError, WarehouseError
from voxdata.manifest import read_manifest
from warehouse.connection import open_warehouse
from warehouse.export import export_version, write_version_manifest
from warehouse.rows import read_rows
from warehouse.versions import create_version

Make = Callable[..., Example]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_export_version_gives_the_same_bytes_again(con: DuckDBPyConnection, example: Make, tmp_path: Path, kind: str) -> None:
    examples = [example(n) for n in range(200)]
    version, _ = create_version(con, "calls", [*examples, replace(example(999), gold={})], recipe={}, run_id="t")
    first = export_version(con, version.version_id, format=kind, output=tmp_path / f"it's a.{kind}")
    second = export_version(con, version.version_id, format=kind, output=tmp_path)
    assert second == tmp_path / f"calls-1.{kind}"
    assert first.read_bytes() == second.read_bytes()
    frame = pl.read_parquet(first) if kind == "parquet" else pl.read_ndjson(first, infer_schema_length=None)
    assert frame["utterance_id"].to_list() == [*(e.utterance_id for e in examples), "u999"]
    assert frame["intent"].to_list() == ["ask"] * 200 + [None]
    shares = frame["intent_distribution"][0]
    assert (json.loads(shares) if kind == "parquet" else shares) == {"ask": 0.666667, "other": 0.333333}


def test_export_version_puts_the_id_into_the_parquet_footer(con: DuckDBPyConnection, example: Make, tmp_path: Path) -> None:
    version, _ = create_version(con, "calls", [example()], recipe={}, run_id="t")
    path = export_version(con, version.version_id, format="parquet", output=tmp_path / "a.parquet")
    found = read_rows(con, "select value from parquet_kv_metadata(?) where key::varchar = 'voxdata_version_id'", [str(path)])
    assert found == [{"value": version.version_id.encode()}]


def test_export_version_refuses_unknown_ids_formats_and_clashing_schemes(con: DuckDBPyConnection, example: Make, tmp_path: Path) -> None:
    clashing = replace(example(), gold={"text": example().gold["intent"]})
    version, _ = create_version(con, "calls", [clashing], recipe={}, run_id="t")
    with pytest.raises(WarehouseError, match="clash"):
        export_version(con, version.version_id, format="jsonl", output=tmp_path / "a")
    with pytest.raises(WarehouseError, match="csv"):
        export_version(con, version.version_id, format="csv", output=tmp_path / "a")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError):
        export_version(con, "nope", format="jsonl", output=tmp_path / "a")
    assert list(tmp_path.glob("a*")) == []


def test_write_version_manifest_is_read_back_with_its_fingerprint(con: DuckDBPyConnection, example: Make, tmp_path: Path) -> None:
    examples = [example(1), example(2)]
    version, _ = create_version(con, "calls", examples, recipe={}, run_id="t")
    path = write_version_manifest(
        con, version.version_id, audio_root=tmp_path, schemes={"intent": ("ask", "tell")}, path=tmp_path / "m.jsonl"
    )
    manifest = read_manifest(path)
    assert (manifest.name, manifest.version_id, manifest.examples) == ("calls@1", fingerprint(manifest.examples), tuple(examples))


def test_export_version_works_on_a_read_only_warehouse(path: Path, example: Make, tmp_path: Path) -> None:
    with open_warehouse(path) as con:
        version, _ = create_version(con, "calls", [example()], recipe={}, run_id="t")
    with open_warehouse(path, read_only=True) as con:
        written = export_version(con, version.version_id, format="parquet", output=tmp_path / "a.parquet")
    assert pl.read_parquet(written)["text"].to_list() == ["it's 天气"]
