"""Snapshots: consistent, compact copies of the warehouse, for BI tools and for bad days.

They are numbered, since a clock may be set back: the numbers say which is the newest, and which
go.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import duckdb

from voxdata.durable import remove, writing
from voxdata.errors import WarehouseError
from voxdata.machine import find_fault
from warehouse.batches import forget_merged
from warehouse.commits import commits_path
from warehouse.compact import copy_warehouse
from warehouse.connection import newest_version
from warehouse.engine import connect
from warehouse.guards import sidecar_path, write_sidecar
from warehouse.rows import read_rows
from warehouse.verify import read_everything

_NAME = re.compile(r"warehouse-(?:n(\d+)-)?\d{8}T\d{6}Z-schema\d+\.duckdb")
"""Snapshots of earlier releases have no number, and are older than all that have one."""


def take_snapshot(path: Path, folder: Path, *, batches: Path, now: datetime, keep: int = 3) -> Path:
    """Copy a warehouse into a folder of snapshots; delete the oldest ones.

    Only what the new snapshot was read to hold makes anything else needless: nothing is deleted
    before.

    Args:
        batches: Folder of batches; those whose rows the snapshot holds are no longer needed to
            rebuild the warehouse.
        now: Part of the snapshot's name, UTC.
        keep: How many stay.

    Returns:
        The snapshot's file.

    Raises:
        WarehouseError: There is no warehouse, somebody else holds it, or the snapshot cannot be
            read.
        MachineError: There is no room for it, and the folder is as it was.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    number = max((_number(old) for old in list_snapshots(folder)), default=0) + 1
    target = (
        folder / f"warehouse-n{number:06d}-{now:%Y%m%dT%H%M%SZ}-schema{newest_version()}.duckdb"
    )
    write_copy(path, target)
    with writing(folder):
        forget_merged(batches, held=_held_batches(target))
        older = [old for old in list_snapshots(folder) if old != target]
        for old in older[: max(0, len(older) - (keep - 1))]:
            for part in (old, sidecar_path(old), commits_path(old)):
                remove(part, missing_ok=True)
    return target


def write_copy(path: Path, target: Path) -> None:
    """Write a compact, read-only copy with its list of versions, and read all of it once.

    It opens like the warehouse itself, or is not left there.

    Raises:
        WarehouseError: There is no warehouse, somebody else holds it, or the copy cannot be read.
        MachineError: There is no room for it; nothing of it is left.
    """
    good = False
    try:
        copy_warehouse(path, target)
        with connect(target, read_only=True) as con:
            read_everything(con)
            # From the copy: a version that was cut since is not in it.
            write_sidecar(con, target)
        with writing(target.parent):
            for part in (target, sidecar_path(target)):
                part.chmod(0o400)
        good = True
    except duckdb.Error as error:
        fault = find_fault(error, place=target.parent)
        raise fault or WarehouseError(
            f"{target}: the copy that was just made cannot be read ({error}); look at its disk"
        ) from error
    finally:
        if not good:
            for part in (target, sidecar_path(target)):
                remove(part, missing_ok=True)


def list_snapshots(folder: Path) -> list[Path]:
    """Snapshots in a folder, oldest first."""
    if not folder.is_dir():
        return []
    snapshots = [path for path in folder.glob("warehouse-*.duckdb") if _NAME.fullmatch(path.name)]
    return sorted(snapshots, key=lambda path: (_number(path), path.name))


def _number(snapshot: Path) -> int:
    named = _NAME.fullmatch(snapshot.name)
    return int(named[1] or 0) if named else 0


def _held_batches(snapshot: Path) -> set[str]:
    """Ids of the batches whose rows a snapshot holds, read from it."""
    with connect(snapshot, read_only=True) as con:
        return {str(row["batch_id"]) for row in read_rows(con, "select batch_id from merged_batch")}
