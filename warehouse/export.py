"""A dataset version as files: Parquet or JSON lines for anyone, a manifest for the trainer. Equal versions give equal bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl
from duckdb import DuckDBPyConnection

from voxdata.dataset import Example
from voxdata.errors import WarehouseError
from voxdata.identity import canonical_json
from voxdata.manifest import Manifest, encode_example, write_manifest
from warehouse.rows import FRAME
from warehouse.versions import erased_leaves, find_version, load_examples

_PLAIN = ("utterance_id", "recording_id", "channel", "start_ms", "end_ms", "voice", "group", "audio_file", "text", "language", "split")


def export_version(con: DuckDBPyConnection, version_id: str, *, format: Literal["parquet", "jsonl"], output: Path) -> Path:
    """Write a version as one flat table, sorted by utterance id.

    For each scheme there are three columns: `<scheme>` (the gold label), `<scheme>_distribution` (shares of the votes; JSON
    text in Parquet) and `<scheme>_votes`; null where an example has no gold label. The Parquet footer carries
    the version id under `voxdata_version_id`; JSON lines hold the rows alone.

    Args:
        output: The file; in an existing folder the file is called after the version. Replaced when it exists.

    Returns:
        The file written.

    Raises:
        NotFoundError: No version has this id.
        WarehouseError: An unknown format, or a scheme named like a column.
    """
    if format not in ("parquet", "jsonl"):
        raise WarehouseError(f"format {format!r} cannot be written; choose parquet or jsonl")
    examples = load_examples(con, version_id)
    if output.is_dir():
        version = find_version(con, version_id)
        output = output / f"{version.name}-{version.number}.{format}"
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(output.name + ".partial")
    rows = _flat_rows(examples)
    if format == "jsonl":
        partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        _write_parquet(con, rows, partial, version_id=version_id)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(output)
    return output


def write_version_manifest(
    con: DuckDBPyConnection, version_id: str, *, audio_root: Path, schemes: Mapping[str, tuple[str, ...]], path: Path
) -> Path:
    """Write the hand-off file of `voxdata.manifest` for a version.

    Args:
        audio_root: Folder of the canonical recordings.
        schemes: Scheme name -> label names in order.

    Returns:
        `path`.

    Raises:
        NotFoundError: No version has this id.
    """
    version = find_version(con, version_id)
    manifest = Manifest(
        version_id=version_id,
        name=version.ref,
        audio_root=audio_root,
        schemes=schemes,
        examples=tuple(load_examples(con, version_id)),
        erased=tuple(erased_leaves(con, version_id)),
        root=version.root if version.root != version_id else "",
    )
    write_manifest(path, manifest)
    return path


def _flat_rows(examples: Sequence[Example]) -> list[dict[str, object]]:
    schemes = sorted({scheme for example in examples for scheme in example.gold})
    columns = [*_PLAIN, *(column for scheme in schemes for column in (scheme, f"{scheme}_distribution", f"{scheme}_votes"))]
    if len(set(columns)) < len(columns):
        raise WarehouseError(f"schemes {', '.join(schemes)} clash with the columns of an export; rename one in voxdata.toml")
    rows = []
    for example in examples:
        encoded = encode_example(example)
        row: dict[str, object] = {name: encoded[name] for name in _PLAIN}
        for scheme in schemes:
            gold = example.gold.get(scheme)
            row[scheme] = gold.label if gold else None
            row[f"{scheme}_distribution"] = dict(sorted(gold.distribution.items())) if gold else None
            row[f"{scheme}_votes"] = gold.num_votes if gold else None
        rows.append(row)
    return rows


def _write_parquet(con: DuckDBPyConnection, rows: Sequence[dict[str, object]], path: Path, *, version_id: str) -> None:
    texts = [{k: canonical_json(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]
    types = {
        name: pl.Int64 if name in ("channel", "start_ms", "end_ms") or (name.endswith("_votes") and name not in _PLAIN) else pl.String
        for name in texts[0]
    }
    con.register(FRAME, pl.DataFrame(texts, schema=types))
    target = str(path).replace("'", "''")
    try:
        con.execute(
            f"copy (select * from {FRAME} order by utterance_id) to '{target}' "
            f"(format parquet, compression zstd, kv_metadata {{voxdata_version_id: '{version_id}'}})"
        ).fetchall()
    finally:
        con.unregister(FRAME)
