"""Repair: a warehouse that is damaged, or lost what it had acknowledged, made anew from the best copy there is and from the batches."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.errors import LockedError, WarehouseError
from voxdata.lines import split_lines
from voxdata.machine import find_fault
from warehouse.batches import MERGED, merge_batches
from warehouse.commits import commits_path, held_commits, read_commits, write_commits
from warehouse.connection import migrate, newest_version
from warehouse.guards import BANS, ensure_triggers, sidecar_path, write_sidecar
from warehouse.rows import read_rows
from warehouse.snapshot import list_snapshots
from warehouse.verify import verify_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was done.

    Attributes:
        source: What the warehouse was made from.
        kept: Folder with the files as they were; None when they stayed in place.
        batches: Merged again.
        lost_commits: Acknowledged transactions that are in none of the copies; what they wrote through batches came back all the same.
        lost_versions: "name@number" that were listed and are nowhere.
        broken_versions: "name@number" -> what is wrong with it.
        lost_bans: Entries of who must stay out that are nowhere; whoever they kept out could come in again.
    """

    source: str
    kept: Path | None
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


def repair_warehouse(path: Path, *, snapshots: Path, batches: Path, now: datetime, run_id: str) -> Repair:
    """Make a warehouse anew from whatever has most: the file as it opens, the file without its write-ahead log, or a snapshot.

    The files as they were are kept aside; nothing is deleted. Nobody may have the warehouse open.

    Args:
        snapshots: Folder of snapshots.
        batches: Folder of batches; merged ones are merged again where they are missing.
        now: Names the folder of what is kept, UTC.

    Raises:
        WarehouseError: No copy can be opened.
    """
    _require_free(path)
    listed, listed_bans = _listed_versions(path), _listed_bans(path)
    noted = _noted(path)
    workshop = path.with_name(f".{path.name}.repair")
    shutil.rmtree(workshop, ignore_errors=True)
    workshop.mkdir()
    try:
        candidates = _candidates(path, snapshots, workshop)
        if not candidates:
            raise WarehouseError(
                f"{path}: neither the file nor a snapshot in {snapshots} can be opened; restore it from a backup, "
                f"or move it away to begin anew"
            )
        best = max(candidates, key=lambda found: (-len(found.broken), found.commits))
        with duckdb.connect(best.path) as con:
            merged = _merge_again(con, batches, run_id=run_id)
            held = held_commits(con)
            bans = int(str(read_rows(con, "select count(*) as n from forgotten")[0]["n"]))
            there = {str(row["ref"]) for row in read_rows(con, "select name || '@' || number as ref from dataset_version")}
            con.execute("checkpoint")
        kept = _put_in_place(path, best.path, now=now)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    with duckdb.connect(path) as con:
        write_sidecar(con, path)
        write_commits(path, held_commits(con))
    return Repair(
        source=best.name,
        kept=kept,
        batches=merged,
        lost_commits=max(0, noted - held),
        lost_versions=tuple(ref for ref in listed if ref not in there),
        broken_versions=best.broken,
        lost_bans=max(0, listed_bans - bans),
    )


def _require_free(path: Path) -> None:
    """DuckDB locks its file as POSIX does; who holds it would write into what is being copied."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(f"{path}: somebody has it open; stop `voxdata up` and whoever reads it, then repair") from error


def _candidates(path: Path, snapshots: Path, workshop: Path) -> list[_Candidate]:
    wal = path.with_name(path.name + ".wal")
    sources: list[tuple[str, Path, Path | None]] = []
    if path.exists():
        sources.append(("the file as it opens", path, wal if wal.exists() else None))
        if wal.exists():
            sources.append(("the file without its write-ahead log", path, None))
    sources += [(f"snapshot {snapshot.name}", snapshot, None) for snapshot in reversed(list_snapshots(snapshots))]
    found: list[_Candidate] = []
    for number, (name, source, log) in enumerate(sources):
        copy = workshop / f"{number}.duckdb"
        shutil.copyfile(source, copy)
        if log is not None:
            shutil.copyfile(log, copy.with_name(copy.name + ".wal"))
        try:
            with duckdb.connect(copy) as con:
                have = int(str(read_rows(con, "select max(version) as version from schema_version")[0]["version"]))
                if have > newest_version():
                    continue
                migrate(con, have=have)
                ensure_triggers(con)
                _read_everything(con)
                broken = {one.version.ref: "; ".join(one.problems) for one in verify_all(con) if not one.ok}
                found.append(_Candidate(name=name, path=copy, commits=held_commits(con), broken=broken))
        except duckdb.Error as error:
            fault = find_fault(error, place=workshop)
            if fault is not None:
                raise fault from error
            continue  # it cannot be opened or read: that is what the others are for
    return found


def _read_everything(con: DuckDBPyConnection) -> None:
    """Read every block: damage in the file shows when it is read, not when it is opened."""
    for row in read_rows(con, "select table_name from duckdb_tables() where not internal and not temporary"):
        con.execute(f'select hash(t) from "{row["table_name"]}" t').fetchall()


def _merge_again(con: DuckDBPyConnection, batches: Path, *, run_id: str) -> int:
    """Merge what waits, and what was merged into the warehouse that is lost."""
    if not batches.is_dir():
        return 0
    for path in (batches / MERGED).glob("*"):
        path.rename(batches / path.name)
    return merge_batches(con, batches, run_id=run_id).merged


def _put_in_place(path: Path, repaired: Path, *, now: datetime) -> Path | None:
    parts = [part for part in (path, path.with_name(path.name + ".wal"), sidecar_path(path), commits_path(path)) if part.exists()]
    kept = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    kept.mkdir()
    for part in parts:
        shutil.copyfile(part, kept / part.name)
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    for part in (sidecar_path(path), commits_path(path)):
        part.unlink(missing_ok=True)
    repaired.replace(path)
    return kept


def _noted(path: Path) -> int:
    try:
        return read_commits(path)
    except WarehouseError:
        return 0


def _listed_versions(path: Path) -> list[str]:
    return [f"{row['name']}@{row['number']}" for row in _listed(path) if {"name", "number"} <= set(row)]


def _listed_bans(path: Path) -> int:
    return max((number for row in _listed(path) if isinstance(number := row.get(BANS), int)), default=0)


def _listed(path: Path) -> list[dict[str, object]]:
    """The lines of the list beside a warehouse; one that is damaged says what it still says."""
    sidecar = sidecar_path(path)
    rows = []
    for line in split_lines(sidecar.read_text(encoding="utf-8", errors="replace")) if sidecar.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows
