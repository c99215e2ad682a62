"""Copies of the warehouse: snapshots, batches that were merged, and files that a repair
kept aside.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from flows.forget.files import delete_files, find_files
from flows.forget.found import FoundFiles
from flows.workspace import Workspace
from warehouse.commits import commits_path
from warehouse.engine import connect
from warehouse.erase import ErasurePlan, count_erasures
from warehouse.guards import sidecar_path
from warehouse.snapshot import list_snapshots, take_snapshot

COPIES = frozenset({"snapshots", "merged batches", "damaged copies"})


def keep_copies(found: FoundFiles) -> FoundFiles:
    """What was found, without the copies of the warehouse: they go when the warehouse holds nothing
    any more.
    """
    return replace(
        found, doomed=tuple(doomed for doomed in found.doomed if doomed.kind not in COPIES)
    )


def replace_copies(
    workspace: Workspace, plan: ErasurePlan, *, receipt_id: str, run_id: str
) -> dict[str, int]:
    """Delete the copies that may hold what was erased.

    Where there was a snapshot, one without it is there before the old ones go.

    Args:
        receipt_id: Under which rows were erased from the warehouse.
        run_id: The run id of the forgetting.

    Returns:
        Kind of file -> how many were deleted.
    """
    with workspace.warehouse() as con:
        wanted = count_erasures(con, receipt_id, run_id=run_id)
    snapshots = list_snapshots(workspace.snapshots_dir)
    clean = [path for path in snapshots if _erasures(path, receipt_id, run_id) == wanted]
    if snapshots and not clean:
        clean = [
            take_snapshot(
                workspace.warehouse_path,
                workspace.snapshots_dir,
                batches=workspace.batches_dir,
                now=datetime.now(UTC),
                keep=len(snapshots) + 1,
            )
        ]
    kept: set[Path] = set()
    for path in clean:
        kept |= {path, sidecar_path(path), commits_path(path)}
    files = find_files(workspace, plan)
    doomed = tuple(
        doomed for doomed in files.doomed if doomed.kind in COPIES and doomed.path not in kept
    )
    return delete_files(workspace, replace(files, doomed=doomed)).counts


def _erasures(snapshot: Path, receipt_id: str, run_id: str) -> int:
    """How often a snapshot says that rows were erased; -1 when it says nothing, or was not
    finished.
    """
    if not sidecar_path(snapshot).exists():
        return -1
    try:
        with connect(snapshot, read_only=True) as con:
            return count_erasures(con, receipt_id, run_id=run_id)
    except duckdb.Error:
        return -1
