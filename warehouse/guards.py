"""What keeps a dataset version the way it was cut: triggers that refuse changes, and a list of versions beside the file.

A trigger goes when its table is dropped and recreated, and `COPY FROM DATABASE` leaves triggers behind, so they are put
back whenever the warehouse is opened for writing. The sidecar `<warehouse>.versions.jsonl` catches what a database
cannot know of itself: a write-ahead log cut short opens without complaint and without its last commits.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from duckdb import DuckDBPyConnection

from voxdata.errors import WarehouseError
from warehouse.rows import read_rows

IMMUTABLE_TABLES = ("example", "manifest", "dataset_version", "split_assignment", "outbox")


def ensure_triggers(con: DuckDBPyConnection) -> int:
    """Create the triggers that are missing.

    Returns:
        How many were.
    """
    present = {str(row["trigger_name"]) for row in read_rows(con, "select trigger_name from duckdb_triggers()")}
    missing = [(table, verb) for table in IMMUTABLE_TABLES for verb in ("update", "delete") if f"{table}_no_{verb}" not in present]
    for table, verb in missing:
        con.execute(
            f"create trigger {table}_no_{verb} after {verb} on {table} referencing old table as old_rows for each statement "
            f"insert into refused_change select error('{table} is immutable: dataset versions are only added, never changed') from old_rows"
        )
    return len(missing)


def sidecar_path(warehouse: Path) -> Path:
    """Where the list of versions of a warehouse file lies."""
    return warehouse.with_name(warehouse.name + ".versions.jsonl")


def check_sidecar(con: DuckDBPyConnection, path: Path) -> None:
    """Compare the versions in the file with those in the list beside it.

    Raises:
        WarehouseError: A version of the list is not in the file, or is another.
    """
    there = {(row["name"], row["number"]): row for row in _versions(con)}
    sidecar = sidecar_path(path)
    for row in _read_sidecar(sidecar):
        if there.get((row["name"], row["number"])) != row:
            raise WarehouseError(
                f"{path}: version {row['name']}@{row['number']} ({str(row['version_id'])[:12]}) is listed in {sidecar.name} but not in the "
                f"warehouse, so commits were lost. Restore the warehouse file and its .wal from a backup; or, to go on without "
                f"that version, delete {sidecar}"
            )


def write_sidecar(con: DuckDBPyConnection, path: Path) -> None:
    """Bring the list up to date, durably: temporary file, fsync, rename. Leaves a complete list alone."""
    rows = _versions(con)
    sidecar = sidecar_path(path)
    if rows == _read_sidecar(sidecar):
        return
    partial = sidecar.with_name(sidecar.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(sidecar)
    folder = os.open(sidecar.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def warehouse_path(con: DuckDBPyConnection) -> Path | None:
    """The file behind a connection; None for a database in memory."""
    path = read_rows(con, "select path from duckdb_databases() where database_name = current_database()")[0]["path"]
    return None if path is None else Path(str(path))


def _versions(con: DuckDBPyConnection) -> list[dict[str, object]]:
    return read_rows(con, "select version_id, name, number, num_examples as n from dataset_version order by seq")


def _read_sidecar(sidecar: Path) -> list[dict[str, object]]:
    if not sidecar.exists():
        return []
    try:
        return [json.loads(line) for line in sidecar.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise WarehouseError(
            f"{sidecar}: not readable ({error}); restore it from a backup, or delete it to have it written anew"
        ) from error
