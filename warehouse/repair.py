"""Repair: a warehouse that is damaged, or lost what it had acknowledged, rebuilt from the best
copy there is and from the batches.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from secrets import token_hex

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import copy_file, move, remove, sync, workshop, writing
from voxdata.errors import LockedError, WarehouseError
from voxdata.lines import split_lines
from voxdata.machine import find_fault
from warehouse.batches import MERGED, merge_batches
from warehouse.beside import read_beside
from warehouse.commits import commits_path, held_commits, read_commits, write_commits
from warehouse.connection import migrate, newest_version
from warehouse.engine import connect
from warehouse.guards import BANS, LARGEST, ensure_triggers, sidecar_path, write_sidecar
from warehouse.identity import KnownWarehouse, read_identity
from warehouse.rows import read_rows
from warehouse.snapshot import list_snapshots
from warehouse.verify import read_everything, verify_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was done.

    Attributes:
        source: What the warehouse was made from.
        kept: Folder with the files as they were.
        batches: Merged again.
        lost_commits: Acknowledged transactions that are in none of the copies; what they wrote
            through batches came back all the same.
        lost_versions: "name@number" that were listed and are nowhere.
        broken_versions: "name@number" -> what is wrong with it.
        lost_bans: Entries of who must stay out that are nowhere; whoever they kept out could come
            in again.
    """

    source: str
    kept: Path
    batches: int
    lost_commits: int
    lost_versions: tuple[str, ...]
    broken_versions: Mapping[str, str]
    lost_bans: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    name: str
    path: Path
    commits: int
    broken: Mapping[str, str]


def repair_warehouse(
    path: Path,
    *,
    snapshots: Path,
    batches: Path,
    now: datetime,
    run_id: str,
    known: KnownWarehouse | None = None,
) -> Repair:
    """Rebuild a warehouse from whatever has most: the file as it opens, the file without its
    write-ahead log, or a snapshot.

    The files as they were are kept aside; nothing is deleted. Nobody may have the warehouse open.

    Args:
        known: What the caller knows of it: copies of another warehouse are left out, and what it
            has seen counts as acknowledged.
        snapshots: Folder of snapshots.
        batches: Folder of batches; merged ones are merged again where they are missing.
        now: Names the folder of what is kept, UTC.

    Raises:
        WarehouseError: No copy can be opened.
        MachineError: Its folder is away, or cannot be written.
    """
    path = path.resolve()
    with writing(path.parent):
        _require_free(path)
    listed, listed_bans = _listed_versions(path), _listed_bans(path)
    noted = max(_noted(path), known.commits if known else 0)
    with workshop(path.parent) as folder:
        candidates = _candidates(path, snapshots, folder, known)
        if not candidates:
            raise WarehouseError(
                f"{path}: neither the file nor a snapshot in {snapshots} can be opened; restore it "
                "from a backup, or start again in another folder (`voxdata init`)"
            )
        best = max(candidates, key=lambda copy: (-len(copy.broken), copy.commits))
        with connect(best.path) as con:
            if known is not None:
                # Should the file that it replaces turn up again, as when its disk was only away, it
                # is known for another one.
                con.execute("update identity set warehouse_id = ?", [token_hex(16)])
            merged = _merge_again(con, batches, run_id=run_id)
            held = held_commits(con)
            bans = int(str(read_rows(con, "select count(*) as n from forgotten")[0]["n"]))
            versions = read_rows(con, "select name || '@' || number as ref from dataset_version")
            held_refs = {str(row["ref"]) for row in versions}
            con.execute("checkpoint")
            write_sidecar(con, best.path)
        write_commits(best.path, held)
        with writing(path.parent):
            kept = _put_in_place(path, best.path, now=now)
    return Repair(
        source=best.name,
        kept=kept,
        batches=merged,
        lost_commits=max(0, noted - held),
        lost_versions=tuple(ref for ref in listed if ref not in held_refs),
        broken_versions=best.broken,
        lost_bans=max(0, listed_bans - bans),
    )


def accept_warehouse(path: Path, *, now: datetime) -> Mapping[str, str]:
    """Take a warehouse file as it is, though it is not what the files beside it say: read all of
    it, and write these again.

    The files beside it are kept aside. Nobody may have the warehouse open.

    Args:
        now: Names the folder of what is kept, UTC.

    Returns:
        "name@number" of versions that are broken -> what is wrong with them.

    Raises:
        WarehouseError: There is none, it cannot be opened, or a newer release wrote it.
        MachineError: Its folder cannot be written.
    """
    path = path.resolve()
    with writing(path.parent):
        if not path.is_file() or not path.stat().st_size:
            raise WarehouseError(f"{path}: there is no warehouse to take; put the file there first")
        _require_free(path)
    try:
        with connect(path) as con:
            have = _schema_version(con)
            if have > newest_version():
                raise WarehouseError(
                    f"{path}: written by a newer voxdata (schema {have}); upgrade voxdata to open "
                    "it"
                )
            read_everything(con)
            migrate(con, have=have)
            ensure_triggers(con)
            broken = _broken_versions(con)
            with writing(path.parent):
                _keep_aside(path, now=now)
            write_sidecar(con, path)
            write_commits(path, held_commits(con))
    except duckdb.Error as error:
        fault = find_fault(error, place=path.parent)
        raise fault or WarehouseError(
            f"{path}: cannot be opened ({error}); put a sound copy there"
        ) from error
    return broken


def _keep_aside(path: Path, *, now: datetime) -> None:
    """Move what lies beside a warehouse file into a folder, whatever it is: a list, a folder, a
    link that leads nowhere.
    """
    beside = [part for part in (sidecar_path(path), commits_path(path)) if os.path.lexists(part)]
    if beside:
        kept = _new_folder(path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"))
        for part in beside:
            move(part, kept / part.name)


def _broken_versions(con: DuckDBPyConnection) -> dict[str, str]:
    return {one.version.ref: "; ".join(one.problems) for one in verify_all(con) if not one.ok}


def _require_free(path: Path) -> None:
    """DuckDB locks its file as POSIX does; who holds it would write into what is being copied."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(
                f"{path}: somebody has it open; stop `voxdata up` and whoever reads it, then repair"
            ) from error


def _candidates(
    path: Path, snapshots: Path, folder: Path, known: KnownWarehouse | None
) -> list[_Candidate]:
    wal = path.with_name(path.name + ".wal")
    sources: list[tuple[str, Path, Path | None]] = []
    if path.exists():
        sources.append(("the file as it opens", path, wal if wal.exists() else None))
        if wal.exists():
            sources.append(("the file without its write-ahead log", path, None))
    sources += [
        (f"snapshot {snapshot.name}", snapshot, None)
        for snapshot in reversed(list_snapshots(snapshots))
    ]
    candidates: list[_Candidate] = []
    for number, (name, source, log) in enumerate(sources):
        copy = folder / f"{number}.duckdb"
        shutil.copyfile(source, copy)
        if log is not None:
            shutil.copyfile(log, copy.with_name(copy.name + ".wal"))
        try:
            candidate = _read_candidate(name, copy, known)
        except duckdb.Error as error:
            fault = find_fault(error, place=folder)
            if fault is not None:
                raise fault from error
            continue  # it cannot be opened or read: that is what the others are for
        if candidate is not None:
            candidates.append(candidate)
    return candidates


def _read_candidate(name: str, copy: Path, known: KnownWarehouse | None) -> _Candidate | None:
    """Migrate and read a copy; None when it is another warehouse's or a newer release's.

    Raises:
        duckdb.Error: It cannot be opened or read.
    """
    with connect(copy) as con:
        have = _schema_version(con)
        if have > newest_version():
            return None
        if known and read_identity(con) not in ("", known.warehouse_id, *known.former):
            return None
        migrate(con, have=have)
        ensure_triggers(con)
        read_everything(con)
        return _Candidate(
            name=name, path=copy, commits=held_commits(con), broken=_broken_versions(con)
        )


def _schema_version(con: DuckDBPyConnection) -> int:
    newest = read_rows(con, "select max(version) as version from schema_version")[0]
    return int(str(newest["version"]))


def _merge_again(con: DuckDBPyConnection, batches: Path, *, run_id: str) -> int:
    """Merge what waits, and what was merged into the warehouse that is lost."""
    if not batches.is_dir():
        return 0
    for path in (batches / MERGED).glob("*"):
        move(path, batches / path.name)
    return merge_batches(con, batches, run_id=run_id).merged


def _put_in_place(path: Path, repaired: Path, *, now: datetime) -> Path:
    """Keep what is there aside, then put a repaired warehouse and what lies beside it there.

    Whoever dies here is refused by the list or the count that are there still, and repairs again.
    """
    kept = _new_folder(path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"))
    wal = path.with_name(path.name + ".wal")
    for part in (path, wal):
        if part.exists():
            copy_file(part, kept / part.name)
    sync(kept)
    remove(wal, missing_ok=True)
    move(repaired, path)
    for beside in (sidecar_path, commits_path):
        if os.path.lexists(beside(path)):
            # Whatever it is: a folder, a link that leads nowhere.
            move(beside(path), kept / beside(path).name)
        move(beside(repaired), beside(path))
    sync(path.parent)
    return kept


def _new_folder(path: Path) -> Path:
    """Make a folder of this name, with a number behind it when the clock gave the name before."""
    new = path
    for number in count(1):
        if not os.path.lexists(new):
            break
        new = path.with_name(f"{path.name}-{number}")
    new.mkdir()
    return new


def _noted(path: Path) -> int:
    try:
        return read_commits(path)
    except WarehouseError:
        return 0


def _listed_versions(path: Path) -> list[str]:
    return [
        f"{row['name']}@{row['number']}"
        for row in _listed(path)
        if {"name", "number"} <= row.keys()
    ]


def _listed_bans(path: Path) -> int:
    numbers = [row.get(BANS) for row in _listed(path)]
    return max((number for number in numbers if isinstance(number, int)), default=0)


def _listed(path: Path) -> list[dict[str, object]]:
    """What the list beside a warehouse says, as far as it can be read."""
    try:
        content = read_beside(sidecar_path(path), at_most=LARGEST, remedy="") or b""
    except WarehouseError:
        return []
    rows = []
    for line in split_lines(content.decode("utf-8", "replace")):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue  # a list that is damaged says what it still says
        if isinstance(row, dict):
            rows.append(row)
    return rows
