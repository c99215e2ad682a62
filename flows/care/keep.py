"""Care for the warehouse file: copy it, make it anew, or take what was put there on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from flows.folders.known import FILE, Known, mark_folders, read_known, write_known
from flows.folders.storage_folders import FOLDERS
from flows.workspace import Say, Workspace
from voxdata.durable import writing
from voxdata.errors import ConfigError, WarehouseError
from warehouse.connection import open_warehouse
from warehouse.identity import KnownWarehouse, read_state
from warehouse.repair import Repair, accept_warehouse, repair_warehouse
from warehouse.snapshot import take_snapshot

WAREHOUSE = "warehouse"


def snapshot_warehouse(workspace: Workspace, *, keep: int) -> Path:
    """Take a snapshot among the workspace's own.

    Of its own warehouse and of no other, since older snapshots go for it.

    Args:
        keep: How many stay.

    Raises:
        WarehouseError: The warehouse is not there, or not the one that it was.
    """
    with workspace.warehouse():
        pass
    return take_snapshot(workspace.warehouse_path, workspace.snapshots_dir, batches=workspace.batches_dir, now=datetime.now(UTC), keep=keep)


def repair_workspace(workspace: Workspace) -> Repair:
    """Make the warehouse anew from the best copy there is and from the batches.

    The workspace knows the repaired one from then on.

    Raises:
        WarehouseError: No copy of it can be opened.
        MachineError: Its folder is away, or cannot be written.
    """
    known = _read_what_is_known(workspace)
    found = repair_warehouse(
        workspace.warehouse_path,
        snapshots=workspace.snapshots_dir,
        batches=workspace.batches_dir,
        now=datetime.now(UTC),
        run_id=workspace.run_id,
        known=known.warehouse if known else None,
    )
    _adopt(workspace, known)
    return found


def accept(workspace: Workspace, names: Sequence[str], *, say: Say) -> Mapping[str, str]:
    """Take as it is what was put back or exchanged on purpose: the warehouse, or a storage folder.

    Args:
        names: "warehouse", or storage folders as [storage] names them; one that is gone is made
            again when it is needed.

    Returns:
        "name@number" of versions that are broken in the warehouse -> what is wrong with them.

    Raises:
        ConfigError: A name is none of these.
        WarehouseError: There is no warehouse to take.
    """
    unknown = sorted(set(names) - {WAREHOUSE, *FOLDERS})
    if unknown:
        raise ConfigError(f"--accept {unknown[0]}: there are {', '.join((WAREHOUSE, *FOLDERS))}")
    broken: Mapping[str, str] = {}
    known = _read_what_is_known(workspace)
    if WAREHOUSE in names:
        broken = accept_warehouse(workspace.warehouse_path, now=datetime.now(UTC))
        now = _adopt(workspace, known)
        say(f"repair: {workspace.warehouse_path} is the warehouse of {workspace.root} from now on")
        lost = known.warehouse.commits - now.warehouse.commits if known else 0
        if known is not None and (lost > 0 or known.warehouse.warehouse_id != now.warehouse.warehouse_id):
            say("repair: whoever was forgotten in the warehouse before may be in this one: forget them again (`voxdata forget`)")
        known = now
    folders = [name for name in names if name in FOLDERS]
    if folders and known is None:
        raise WarehouseError(f"{workspace.root}: this workspace knows no warehouse yet, so every folder is taken as it is")
    if folders and known is not None:
        write_known(workspace.state_dir, mark_folders(known, workspace.storage_folders, again=folders))
        say(f"repair: {', '.join(folders)} taken as they are; `voxdata ingest` and `voxdata push` make anew what they lack")
    return broken


def _read_what_is_known(workspace: Workspace) -> Known | None:
    with suppress(WarehouseError):
        return read_known(workspace.state_dir)
    return None


def _adopt(workspace: Workspace, before: Known | None) -> Known:
    """Know the warehouse that is there now; earlier ones that come back are refused."""
    with open_warehouse(workspace.warehouse_path, create=False, places=workspace.places, say=lambda line: None) as con:
        state = read_state(con)
    former = (*before.warehouse.former, before.warehouse.warehouse_id) if before else ()
    now = Known(
        warehouse=KnownWarehouse(
            warehouse_id=state.warehouse_id,
            commits=state.commits,
            former=tuple(dict.fromkeys(one for one in former if one != state.warehouse_id)),
        ),
        place=workspace.settings.storage.warehouse,
        folders=before.folders if before else (),
    )
    _clear_place(workspace.state_dir / FILE)
    write_known(workspace.state_dir, now)
    return now


def _clear_place(path: Path) -> None:
    """Move away what is in the place of a file and is none, such as a folder."""
    if path.is_dir() and not path.is_symlink():
        with writing(path.parent):
            path.rename(path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))
