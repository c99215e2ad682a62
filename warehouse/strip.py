"""Batches that are kept, without the rows of whoever was forgotten: what the gate refused must not
lie on as a file.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import copy_file, move, remove_tree, sync, write_file
from warehouse.gate import anybody_forgotten, forgotten_among, naming_columns
from warehouse.plain import FRAME, read_rows

if TYPE_CHECKING:
    import polars as pl


def keep_batch(con: DuckDBPyConnection, path: Path, folder: Path) -> int:
    """Move a batch into a folder of batches that are kept, unless it is there; rows about the
    forgotten do not come along.

    Returns:
        How many rows did not.
    """
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    if target.exists():
        remove_tree(path)
        return 0
    less = _without_forgotten(con, path)
    if not less:
        move(path, target)
        return 0
    written = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        _write_anew(path, written, {name: frame for name, (frame, _) in less.items()})
        move(written, target)
        sync(folder)
    finally:
        shutil.rmtree(written, ignore_errors=True)
    remove_tree(path)
    return sum(count for _, count in less.values())


def doubtful_files(con: DuckDBPyConnection, path: Path) -> list[Path]:
    """What in a batch may hold somebody who was forgotten, as far as anybody can tell; nothing
    while nobody was.

    That is what cannot be read, is not as it was left, or does not say whom its rows are about.
    """
    if not anybody_forgotten(con):
        return []
    try:
        header = path / "batch.json"
        tables = json.loads(header.read_text(encoding="utf-8"))["tables"]
        told = {str(name): str(entry["sha256"]) for name, entry in tables.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return sorted(path.iterdir())
    return [
        file
        for file in sorted(path.iterdir())
        if file != header and not _tells_whom(con, file, told.get(file.stem, ""))
    ]


def _tells_whom(con: DuckDBPyConnection, file: Path, sha256: str) -> bool:
    """Whether a file is as it was left, and says of each row whom it is about, as the table in the
    warehouse does.
    """
    if (
        not file.is_file()
        or file.suffix != ".parquet"
        or hashlib.sha256(file.read_bytes()).hexdigest() != sha256
    ):
        return False
    columns = {
        str(row["name"])
        for row in read_rows(
            con,
            "select column_name as name from duckdb_columns() where table_name = ?",
            [file.stem],
        )
    }
    try:
        present = con.sql("select * from read_parquet(?) limit 0", params=[str(file)]).columns
    except duckdb.Error:
        return False
    return bool(columns) and set(naming_columns(file.stem, columns)) <= set(present)


def _without_forgotten(con: DuckDBPyConnection, path: Path) -> dict[str, tuple[pl.DataFrame, int]]:
    """Table -> the rows that stay and how many do not, of those tables that lose some. What cannot
    be read is left as it is.
    """
    less: dict[str, tuple[pl.DataFrame, int]] = {}
    for file in sorted(path.glob("*.parquet")):
        try:
            rows = con.sql("select * from read_parquet(?)", params=[str(file)]).pl()
        except duckdb.Error:
            continue
        places = list(naming_columns(file.stem, rows.columns).values())
        if not places or rows.is_empty():
            continue
        con.register(FRAME, rows)
        try:
            names = con.sql(
                f"select distinct unnest([{', '.join(places)}])::varchar as name from {FRAME}"
            ).fetchall()
            forgotten = forgotten_among(con, {str(name) for (name,) in names if name is not None})
            if forgotten:
                kept = " and ".join(
                    f"not coalesce(list_contains(?, {place}), false)" for place in places
                )
                stays = con.sql(
                    f"select * from {FRAME} where {kept}", params=[list(forgotten)] * len(places)
                ).pl()
                less[file.stem] = stays, len(rows) - len(stays)
        finally:
            con.unregister(FRAME)
    return less


def _write_anew(path: Path, written: Path, less: dict[str, pl.DataFrame]) -> None:
    written.mkdir()
    for file in path.iterdir():
        if file.stem not in less and file.name != "batch.json":
            copy_file(file, written / file.name)
    try:
        header = json.loads((path / "batch.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        header = {"tables": {}}
    for table, frame in less.items():
        content = BytesIO()
        frame.write_parquet(content, compression="zstd")
        write_file(written / f"{table}.parquet", content.getvalue())
        header["tables"][table] = {
            "rows": len(frame),
            "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        }
    write_file(written / "batch.json", json.dumps(header, ensure_ascii=False).encode())
    sync(written)
