"""Copies of the warehouse: snapshots, batches that were merged, and files that a repair kept aside."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from flows.workspace import Workspace
from warehouse.batches import MERGED, REJECTED
from warehouse.commits import commits_path
from warehouse.erase import count_erasures
from warehouse.guards import sidecar_path
from warehouse.snapshot import list_snapshots, take_snapshot


def replace_copies(workspace: Workspace, *, receipt_id: str, run_id: str) -> dict[str, int]:
    """Delete the copies that may hold what was erased; where there was a snapshot, one without it is there before the old ones go.

    Args:
        receipt_id: Under which rows were erased from the warehouse.
        run_id: Of the forgetting.

    Returns:
        Kind of file -> how many were deleted.
    """
    with workspace.warehouse() as con:
        wanted = count_erasures(con, receipt_id, run_id=run_id)
    snapshots = list_snapshots(workspace.snapshots_dir)
    stale = [path for path in snapshots if _erasures(path, receipt_id, run_id) != wanted]
    if stale and len(stale) == len(snapshots):
        while (now := datetime.now(UTC)) and any(f"{now:%Y%m%dT%H%M%SZ}" in path.name for path in snapshots):
            time.sleep(0.2)  # snapshots are named by the second
        take_snapshot(workspace.warehouse_path, workspace.snapshots_dir, batches=workspace.batches_dir, now=now, keep=len(snapshots) + 1)
    for path in stale:
        for part in (sidecar_path(path), commits_path(path), path):
            part.unlink(missing_ok=True)
    damaged = [path for path in workspace.warehouse_path.parent.glob(f"{workspace.warehouse_path.name}.*") if path.is_dir()]
    counts = {
        "snapshots": len(stale),
        "merged batches": sum(_delete_folder(workspace.batches_dir / name) for name in (MERGED, REJECTED)),
        "damaged copies": sum(map(_delete_folder, damaged)),
    }
    return {name: count for name, count in counts.items() if count}


def _erasures(snapshot: Path, receipt_id: str, run_id: str) -> int:
    """How often a snapshot says that rows were erased; -1 when it says nothing, or was not finished."""
    if not sidecar_path(snapshot).exists():
        return -1
    try:
        with duckdb.connect(snapshot, read_only=True) as con:
            return count_erasures(con, receipt_id, run_id=run_id)
    except duckdb.Error:
        return -1


def _delete_folder(folder: Path) -> int:
    count = sum(path.is_file() for path in folder.rglob("*"))
    if folder.exists():
        shutil.rmtree(folder)
    return count
