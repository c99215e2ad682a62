"""What keeps a dataset version the way it was cut: triggers that refuse changes, and a list of versions beside the file.

A trigger goes when its table is dropped and recreated, and `COPY FROM DATABASE` leaves triggers behind, so they are put
back whenever the warehouse is opened for writing. The sidecar `<warehouse>.versions.jsonl` catches what a database
cannot know of itself: a write-ahead log cut short opens without complaint and without its last commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duckdb import DuckDBPyConnection

from voxdata.durable import sync, write_file
from voxdata.errors import WarehouseError
from voxdata.lines import split_lines
from warehouse.rows import read_rows

IMMUTABLE_TABLES = (
    "example", "example_leaf", "manifest", "dataset_version", "version_summary", "version_tag", "split_assignment", "outbox", "erasure",
    "remark", "audio_digest",
)  # fmt: skip


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


@contextmanager
def unguarded(con: DuckDBPyConnection, *tables: str) -> Iterator[None]:
    """Let rows of some tables be deleted inside, as erasing needs; in a transaction, so that an error brings the triggers back.

    Raises:
        WarehouseError: A trigger is missing afterwards.
    """
    for table in tables:
        con.execute(f"drop trigger {table}_no_delete on {table}")
    yield
    ensure_triggers(con)
    require_triggers(con)


def require_triggers(con: DuckDBPyConnection) -> None:
    """Make sure that nothing can change what is immutable.

    Raises:
        WarehouseError: A trigger is missing.
    """
    present = {str(row["trigger_name"]) for row in read_rows(con, "select trigger_name from duckdb_triggers()")}
    missing = {f"{table}_no_{verb}" for table in IMMUTABLE_TABLES for verb in ("update", "delete")} - present
    if missing:
        raise WarehouseError(f"the warehouse lacks {', '.join(sorted(missing))}; any writing voxdata command puts them back")


def sidecar_path(warehouse: Path) -> Path:
    """Where the list of versions of a warehouse file lies."""
    return warehouse.with_name(warehouse.name + ".versions.jsonl")


def check_sidecar(con: DuckDBPyConnection, path: Path) -> None:
    """Compare the versions in the file with those in the list beside it.

    Raises:
        WarehouseError: A version of the list is not in the file, or is another; or there are versions and no list.
    """
    there = {(row["name"], row["number"]): row for row in _versions(con)}
    sidecar = sidecar_path(path)
    if there and not sidecar.exists():
        raise WarehouseError(
            f"{path}: its list of versions {sidecar.name} is missing, so nobody can tell whether commits were lost. "
            f"Put it back from a backup; or let `voxdata repair` verify every version and write it anew"
        )
    for row in _read_sidecar(sidecar):
        found = there.get((row["name"], row["number"]), {})
        if any(found.get(field) != value for field, value in row.items()):
            raise WarehouseError(
                f"{path}: version {row['name']}@{row['number']} ({str(row['version_id'])[:12]}) is listed in {sidecar.name} but not in the "
                f"warehouse, so commits were lost. `voxdata repair` brings back what a snapshot and the batches have; or restore the "
                f"warehouse file and its .wal from a backup; or, to go on without that version, delete its line from {sidecar}"
            )


def write_sidecar(con: DuckDBPyConnection, path: Path) -> None:
    """Bring the list up to date, durably: temporary file, fsync, rename. Leaves a complete list alone."""
    rows = _versions(con)
    sidecar = sidecar_path(path)
    if sidecar.exists() and rows == _read_sidecar(sidecar):
        return
    write_file(sidecar, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    sync(sidecar.parent)


def warehouse_path(con: DuckDBPyConnection) -> Path | None:
    """The file behind a connection; None for a database in memory."""
    path = read_rows(con, "select path from duckdb_databases() where database_name = current_database()")[0]["path"]
    return None if path is None else Path(str(path))


def _versions(con: DuckDBPyConnection) -> list[dict[str, object]]:
    return read_rows(con, "select version_id, root, name, number, num_examples as n from dataset_version order by seq")


def _read_sidecar(sidecar: Path) -> list[dict[str, object]]:
    if not sidecar.exists():
        return []
    try:
        return [json.loads(line) for line in split_lines(sidecar.read_text(encoding="utf-8"))]
    except ValueError as error:
        raise WarehouseError(
            f"{sidecar}: not readable ({error}); restore it from a backup, or let `voxdata repair` verify every version and write it anew"
        ) from error
