"""Opening the warehouse: one writer at a time, migrations, transactions."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import writing
from voxdata.errors import LockedError, WarehouseError
from voxdata.machine import REMEDIES, find_fault, machine_error, named_errno
from warehouse.chain import seal_earlier_bans
from warehouse.commits import check_commits, count_commit, note_commits
from warehouse.guards import check_sidecar, ensure_triggers, write_sidecar
from warehouse.leaves import seal_earlier_rows
from warehouse.places import Places, use_places
from warehouse.rows import read_rows

MIGRATIONS = Path(__file__).parent / "migrations"
FOLLOW_UPS = {6: seal_earlier_rows, 12: seal_earlier_bans}
"""What a migration does that SQL cannot say, in its transaction."""

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25


@dataclass(slots=True)
class _Turnstile:
    """Lets one thread of this process at a time have a warehouse file open; that thread may open it again inside."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    modes: list[bool] = field(default_factory=list)


_TURNSTILES: dict[Path, _Turnstile] = {}
_TURNSTILES_LOCK = threading.Lock()


@contextmanager
def open_warehouse(
    path: Path, *, read_only: bool = False, wait_s: float = 60.0, places: Places | None = None
) -> Iterator[DuckDBPyConnection]:
    """Open the warehouse; open late and close early, since one process at a time can write.

    Args:
        path: The DuckDB file; created, with its folder, unless `read_only`.
        read_only: Several processes may read at once while nobody writes.
        wait_s: How long to wait for whoever has it, other threads of this process included.
        places: Where the workspace lies that places are stored relative to.

    Yields:
        A connection that is closed at the end.

    Raises:
        LockedError: Locked for longer than `wait_s`.
        WarehouseError: Absent, or older than this release, with `read_only`; written by a newer
            release; or a version is missing. Each message names the remedy.
        MachineError: Its disk is full, or it cannot be read or written there; also while the connection is used.
    """
    path = path.resolve()
    deadline = time.monotonic() + wait_s
    with _TURNSTILES_LOCK:
        turnstile = _TURNSTILES.setdefault(path, _Turnstile())
    if not turnstile.lock.acquire(timeout=max(wait_s, 0)):
        raise LockedError(f"{path}: another thread of this process has had it open for {wait_s:g} s; close it there first")
    try:
        if turnstile.modes and turnstile.modes[-1] and not read_only:
            raise WarehouseError(f"{path}: already open for reading in this thread; leave that block before opening it for writing")
        mode = turnstile.modes[-1] if turnstile.modes else read_only
        con = _connect(path, read_only=mode, deadline=deadline, wait_s=wait_s)
        turnstile.modes.append(mode)
        try:
            if len(turnstile.modes) == 1:
                _prepare(con, path, read_only=mode)
            use_places(con, places)
            yield con
        except duckdb.Error as error:
            fault = find_fault(error, place=path.parent)
            if fault is not None:
                raise fault from error
            raise
        finally:
            turnstile.modes.pop()
            con.close()
    finally:
        turnstile.lock.release()


@contextmanager
def transaction(con: DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: commit at the end, roll back when an error passes through. Inside another transaction it joins that one."""
    if con.execute("select getvariable('in_transaction')").fetchall()[0][0]:
        yield
        return
    con.execute("begin")
    con.execute("set variable in_transaction = true")
    count = None
    try:
        yield
        count = count_commit(con)
        con.execute("commit")
    except BaseException:
        # DuckDB may have rolled back by itself, or have given up altogether: the first error is the one to tell.
        for statement in ("rollback", "set variable in_transaction = false"):
            with suppress(duckdb.Error):
                con.execute(statement)
        raise
    con.execute("set variable in_transaction = false")
    if count is not None:
        note_commits(con, count)


def newest_version() -> int:
    """The schema version this release writes."""
    return max(number for number, _ in _migrations())


def _connect(path: Path, *, read_only: bool, deadline: float, wait_s: float) -> DuckDBPyConnection:
    if read_only and not path.exists():
        raise WarehouseError(f"{path}: there is no warehouse yet; ingest something first, or name the right folder")
    if not read_only:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return duckdb.connect(path, read_only=read_only)
        except duckdb.IOException as error:
            message = str(error)
            being_made = "not a valid DuckDB database file" in message and path.exists() and path.stat().st_size < 12_288
            late = time.monotonic() >= deadline
            if "Could not set lock" not in message and named_errno(message, among=REMEDIES) is not None:
                raise machine_error(path, error) from error
            if "Could not set lock" not in message and (late or not being_made):
                raise _damaged(path, error) from error
            if late:
                raise LockedError(
                    f"{path}: locked for {wait_s:g} s by {_holder(message)}; wait for it to finish, or end it if it hangs"
                ) from error
        except duckdb.Error as error:
            raise _damaged(path, error) from error
        time.sleep(min(pause_s * random.uniform(0.5, 1.0), max(deadline - time.monotonic(), 0)))  # noqa: S311 - jitter, not a secret
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _damaged(path: Path, error: duckdb.Error) -> WarehouseError:
    remedy = "if it is damaged, `voxdata repair` makes it anew from a snapshot and the batches"
    return WarehouseError(f"{path}: DuckDB cannot open it: {error}; {remedy}")


def _holder(message: str) -> str:
    found = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", message)
    return f"process {found[2]} ({found[1]})" if found else "another process"


def _prepare(con: DuckDBPyConnection, path: Path, *, read_only: bool) -> None:
    tables = {str(row["table_name"]) for row in read_rows(con, "select table_name from duckdb_tables() where not internal")}
    if tables and "schema_version" not in tables:
        raise WarehouseError(f"{path}: a DuckDB file, but not a voxdata warehouse; name another file under [storage] warehouse")
    found = read_rows(con, "select coalesce(max(version), 0) as version from schema_version")[0]["version"] if tables else 0
    have = int(str(found))
    if have > newest_version():
        raise WarehouseError(
            f"{path}: written by a newer voxdata (schema {have}, this release knows {newest_version()}); upgrade voxdata to open it"
        )
    if not read_only:
        migrate(con, have=have)
        ensure_triggers(con)
    elif have < newest_version():
        raise WarehouseError(
            f"{path}: schema {have} is older than this release's {newest_version()}; run `voxdata ingest` or any writing command once"
        )
    check_sidecar(con, path)
    check_commits(con, path)
    if not read_only:
        write_sidecar(con, path)
        con.execute("set variable count_commits = true")


def _migrations() -> list[tuple[int, Path]]:
    return sorted((int(file.name.split("_")[0]), file) for file in MIGRATIONS.glob("[0-9]*.sql"))


def migrate(con: DuckDBPyConnection, *, have: int = 0) -> None:
    """Bring a warehouse to the schema this release writes, each step in a transaction with its record.

    Args:
        have: Its schema version now; 0 for an empty file.
    """
    for number, file in _migrations():
        if number > have:
            with transaction(con):
                con.execute("create table if not exists schema_version(version integer, name varchar, applied_at timestamp)")
                con.execute(file.read_text(encoding="utf-8"))
                if number in FOLLOW_UPS:
                    FOLLOW_UPS[number](con)
                con.execute("insert into schema_version values (?, ?, now() at time zone 'UTC')", [number, file.stem])
