"""Care for the warehouse file: copy it, make it anew, or take what was put there on purpose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.folders.bans import remember_bans, restore_bans
from flows.folders.known import FILE, Known, mark_folders, read_known, write_known
from flows.folders.storage_folders import FOLDERS
from flows.forget.work import begin_work, list_work
from flows.workspace import Say, Workspace
from voxdata.counted import counted
from voxdata.durable import move
from voxdata.errors import ConfigError, WarehouseError
from warehouse.connection import open_warehouse, transaction
from warehouse.erase import known_recordings
from warehouse.gate import forgotten_among
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
    return take_snapshot(
        workspace.warehouse_path,
        workspace.snapshots_dir,
        batches=workspace.batches_dir,
        now=datetime.now(UTC),
        keep=keep,
    )


def repair_workspace(workspace: Workspace, *, say: Say) -> Repair:
    """Make the warehouse anew from the best copy there is and from the batches.

    The workspace knows the repaired one from then on.

    Raises:
        WarehouseError: No copy of it can be opened.
        MachineError: Its folder is away, or cannot be written.
    """
    before = _read_what_is_known(workspace)
    repaired = repair_warehouse(
        workspace.warehouse_path,
        snapshots=workspace.snapshots_dir,
        batches=workspace.batches_dir,
        now=datetime.now(UTC),
        run_id=workspace.run_id,
        known=before.warehouse if before else None,
    )
    _, told = _adopt(workspace, before, say=say)
    return replace(repaired, lost_bans=max(0, repaired.lost_bans - told))


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
    before = _read_what_is_known(workspace)
    if WAREHOUSE in names:
        broken = accept_warehouse(workspace.warehouse_path, now=datetime.now(UTC))
        now, _ = _adopt(workspace, before, say=say)
        say(f"repair: {workspace.warehouse_path} is the warehouse of {workspace.root} from now on")
        before = now
    folders = [name for name in names if name in FOLDERS]
    if folders and before is None:
        raise WarehouseError(
            f"{workspace.root}: this workspace knows no warehouse yet, "
            "so every folder is taken as it is"
        )
    if folders and before is not None:
        write_known(
            workspace.state_dir, mark_folders(before, workspace.storage_folders, again=folders)
        )
        say(
            f"repair: {', '.join(folders)} accepted as they are; "
            "`voxdata ingest` and `voxdata push` make again what they lack"
        )
    return broken


def _read_what_is_known(workspace: Workspace) -> Known | None:
    with suppress(WarehouseError):
        return read_known(workspace.state_dir)
    return None


def _adopt(workspace: Workspace, before: Known | None, *, say: Say) -> tuple[Known, int]:
    """Know the warehouse that is there now; earlier ones that come back are refused.

    It is told whom this workspace has forgotten. Whoever of them is in it is begun to be forgotten
    again: `voxdata forget --finish`.

    Returns:
        What is known, and how many entries of who must stay out it lacked.
    """
    with open_warehouse(
        workspace.warehouse_path, create=False, places=workspace.places, say=lambda line: None
    ) as con:
        with transaction(con):
            told = restore_bans(workspace.state_dir, con, run_id=workspace.run_id)
        if told:
            say(
                f"repair: {counted(told, 'entry', 'entries')} of who must stay out added, "
                "which this warehouse did not have"
            )
        back = _forget_who_came_back(workspace, con)
        if back:
            say(
                f"repair: {counted(back, 'recording')} of who was forgotten came back with it and "
                "must go again"
            )
        remember_bans(workspace.state_dir, con)
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
    return now, told


def _forget_who_came_back(workspace: Workspace, con: DuckDBPyConnection) -> int:
    """Begin to forget again whoever must stay out and is in a warehouse all the same.

    Returns:
        How many recordings.
    """
    back: defaultdict[str, list[str]] = defaultdict(list)
    for recording_id, receipt_id in forgotten_among(con, known_recordings(con)).items():
        back[receipt_id].append(recording_id)
    begun: set[str] = set()
    for work in list_work(workspace.state_dir):
        begun |= set(work.recording_ids)
    for _, recordings in sorted(back.items()):
        if not begun.issuperset(recordings):
            begin_work(
                workspace.state_dir,
                kind="recording",
                ref=" ".join(sorted(recordings)),
                run_id=workspace.run_id,
                recording_ids=recordings,
                reason="was forgotten before; a warehouse from before brought it back",
                delete_sources=False,
            )
    return sum(map(len, back.values()))


def _clear_place(path: Path) -> None:
    """Move away what is in the place of a file and is none, such as a folder."""
    if path.is_dir() and not path.is_symlink():
        move(path, path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))
