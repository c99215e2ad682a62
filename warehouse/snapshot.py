"""Snapshots: consistent, compact copies of the warehouse, for BI tools and for bad days."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from voxdata.durable import writing
from voxdata.errors import MachineError, WarehouseError
from warehouse.batches import MERGED
from warehouse.commits import commits_path
from warehouse.compact import copy_warehouse
from warehouse.connection import newest_version
from warehouse.guards import sidecar_path

PREFIX = "warehouse-"


def take_snapshot(path: Path, folder: Path, *, batches: Path, now: datetime, keep: int = 3) -> Path:
    """Copy a warehouse into a folder of snapshots, read-only, with its list of versions; delete the oldest ones.

    Args:
        batches: Folder of batches; those whose rows the snapshot holds are no longer needed to make the warehouse anew.
        now: Names the snapshot, UTC.
        keep: How many stay.

    Returns:
        The snapshot's file.

    Raises:
        WarehouseError: Somebody else holds the warehouse, or a snapshot of this second is there.
        MachineError: There is no room for it, and the folder is as it was.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{now:%Y%m%dT%H%M%SZ}-schema{newest_version()}.duckdb"
    if target.exists():
        raise WarehouseError(f"{target} is there already; wait a second")
    merged = list((batches / MERGED).glob("*")) if batches.is_dir() else []
    write_copy(path, target)
    for batch in merged:
        shutil.rmtree(batch)
    for old in list_snapshots(folder)[:-keep]:
        for part in (old, sidecar_path(old), commits_path(old)):
            part.unlink(missing_ok=True)
    return target


def write_copy(path: Path, target: Path) -> None:
    """Write a compact, read-only copy with its list of versions, so that it opens like the warehouse itself."""
    copy_warehouse(path, target)
    try:
        with writing(target.parent):
            shutil.copyfile(sidecar_path(path), sidecar_path(target))
            for part in (target, sidecar_path(target)):
                part.chmod(0o400)
    except MachineError:
        for part in (target, sidecar_path(target)):
            part.unlink(missing_ok=True)
        raise


def list_snapshots(folder: Path) -> list[Path]:
    """Snapshots in a folder, oldest first."""
    return sorted(folder.glob(f"{PREFIX}*.duckdb")) if folder.is_dir() else []
