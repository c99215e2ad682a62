"""A dataset version as files: flat tables for anyone, a manifest for the trainer. Equal versions
give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from voxdata.dataset import Example
from voxdata.errors import WarehouseError
from voxdata.identity import canonical_json
from voxdata.manifest import Manifest, encode_example, write_manifest
from voxdata.spreadsheet import write_spreadsheet
from warehouse.audio_digests import list_audio_digests
from warehouse.versions import erased_leaves, find_version, load_examples

INTEGERS = ("channel", "start_ms", "end_ms")
PLAIN = (
    "utterance_id",
    "recording_id",
    "channel",
    "start_ms",
    "end_ms",
    "voice",
    "group",
    "audio_file",
    "text",
    "language",
    "split",
)
LAST = ("gold", "salt")


def write_version_manifest(
    con: DuckDBPyConnection,
    version_id: str,
    *,
    audio_root: Path,
    schemes: Mapping[str, tuple[str, ...]],
    path: Path,
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
    examples = load_examples(con, version_id)
    manifest = Manifest(
        version_id=version_id,
        name=version.ref,
        audio_root=audio_root,
        schemes=schemes,
        examples=tuple(examples),
        erased=tuple(erased_leaves(con, version_id)),
        root=version.root if version.root != version_id else "",
        audio=list_audio_digests(con, {example.recording_id for example in examples}),
    )
    write_manifest(path, manifest)
    return path


def flat_rows(examples: Sequence[Example]) -> list[dict[str, object]]:
    """Examples as flat rows, each with the same columns: JSON values, distributions as JSON text.

    For each scheme there are three columns: `<scheme>` (the gold label), `<scheme>_distribution`
    (shares of the votes) and `<scheme>_votes`; null where an example has no gold label. `gold` and
    `salt` are what the leaf of the row is made of.

    Raises:
        WarehouseError: A scheme is named like a column.
    """
    labelled: set[str] = set()
    for example in examples:
        labelled.update(example.gold)
    schemes = sorted(labelled)
    columns = list(PLAIN)
    for scheme in schemes:
        columns += [scheme, f"{scheme}_distribution", f"{scheme}_votes"]
    if len({*columns, *LAST}) < len(columns) + len(LAST):
        raise WarehouseError(
            f"schemes {', '.join(schemes)} clash with the columns of an export; rename one in "
            "voxdata.toml"
        )
    rows = []
    for example in examples:
        encoded = encode_example(example)
        row: dict[str, object] = {name: encoded[name] for name in PLAIN}
        for scheme in schemes:
            gold = example.gold.get(scheme)
            row[scheme] = gold.label if gold else None
            row[f"{scheme}_distribution"] = (
                canonical_json(dict(gold.distribution)) if gold else None
            )
            row[f"{scheme}_votes"] = gold.num_votes if gold else None
        rows.append({**row, "gold": canonical_json(encoded["gold"]), "salt": example.salt})
    return rows


def flat_frame(examples: Sequence[Example]) -> pl.DataFrame:
    """Flat rows as a frame: integers for times, channel and votes, text for all else.

    Raises:
        WarehouseError: A scheme is named like a column.
    """
    rows = flat_rows(examples)
    names = list(rows[0]) if rows else [*PLAIN, *LAST]
    return pl.DataFrame(rows, schema={name: _type_of(name) for name in names})


def _type_of(column: str) -> type[pl.DataType]:
    counted = column.endswith("_votes") and column not in PLAIN
    return pl.Int64 if counted or column in INTEGERS else pl.String


def write_table(
    examples: Sequence[Example], *, kind: str, path: Path, version_id: str, for_excel: bool = False
) -> None:
    """Write the flat rows as one file.

    Args:
        kind: "parquet" (its footer carries the version's id under `voxdata_version_id`), "jsonl" or
            "csv".
        path: Replaced when it exists.
        for_excel: Whether a CSV is one for spreadsheets.

    Raises:
        WarehouseError: An unknown kind, or a scheme named like a column.
    """
    if kind == "jsonl":
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in flat_rows(examples)]
        path.write_text("".join(lines), encoding="utf-8")
        return
    if kind not in ("parquet", "csv"):
        raise WarehouseError(f"format {kind!r} cannot be written; choose parquet, jsonl or csv")
    frame = flat_frame(examples)
    if kind == "csv" and for_excel:
        path.write_text(write_spreadsheet(frame), encoding="utf-8", newline="")
    elif kind == "csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path, compression="zstd", metadata={"voxdata_version_id": version_id})
