"""Opening the warehouse: one writer at a time, migrations, transactions."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import writing
from voxdata.errors import LockedError, MachineError, WarehouseError
from voxdata.machine import REMEDIES, find_fault, machine_error, named_errno
from warehouse.chain import seal_earlier_entries
from warehouse.commits import check_commits, count_commit, held_commits, note_commits
from warehouse.engine import DEFAULT, Engine, connect
from warehouse.guards import check_sidecar, ensure_triggers, note_versions, told_later
from warehouse.identity import (
    KnownWarehouse,
    check_identity,
    missing,
    read_identity,
    require_present,
)
from warehouse.leaves import seal_earlier_rows
from warehouse.places import Places, use_places
from warehouse.rows import read_rows

MIGRATIONS = Path(__file__).parent / "migrations"
FOLLOW_UPS = {6: seal_earlier_rows, 12: seal_earlier_entries}
"""What a migration does that SQL cannot say, in its transaction."""

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25


@dataclass(slots=True)
class _Turnstile:
    """Lets one thread of this process at a time have a warehouse file open; that thread may open it
    again inside.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    modes: list[bool] = field(default_factory=list)


_TURNSTILES: dict[Path, _Turnstile] = {}
_TURNSTILES_LOCK = threading.Lock()


@contextmanager
def open_warehouse(
    path: Path,
    *,
    read_only: bool = False,
    wait_s: float = 60.0,
    places: Places | None = None,
    known: KnownWarehouse | None = None,
    create: bool = True,
    say: Callable[[str], None] = warnings.warn,
    engine: Engine = DEFAULT,
) -> Iterator[DuckDBPyConnection]:
    """Open the warehouse; open late and close early, since one process at a time can write.

    Args:
        path: The DuckDB file.
        read_only: Several processes may read at once while nobody writes.
        wait_s: How long to wait for whoever has it, other threads of this process included.
        places: Where the workspace lies that places are stored relative to.
        known: What the caller knows of it; another one, an older copy or none is refused before
            anything is written.
        create: Make it, with its folder, where there is none; never with `read_only` or `known`.
        say: Told what does not make failed what has succeeded, such as a file beside it that cannot
            be written.
        engine: What the connection may take; the same for all of one process.

    Yields:
        A connection that is closed at the end.

    Raises:
        LockedError: Locked for longer than `wait_s`.
        WarehouseError: Absent; older than this release, with `read_only`; written by a newer
            release; not the one that is known; or a version is missing. Each message names the
            remedy.
        MachineError: Its disk is full, or it cannot be read or written there; also while the
            connection is used.
    """
    create = create and not read_only and known is None
    with writing(path.parent):
        require_present(path, known=known, create=create)
        path = path.resolve()
    deadline = time.monotonic() + wait_s
    with _TURNSTILES_LOCK:
        turnstile = _TURNSTILES.setdefault(path, _Turnstile())
    if not turnstile.lock.acquire(timeout=max(wait_s, 0)):
        raise LockedError(
            f"{path}: another thread of this process has had it open for {wait_s:g} s; close it "
            "there first"
        )
    try:
        if turnstile.modes and turnstile.modes[-1] and not read_only:
            raise WarehouseError(
                f"{path}: already open for reading in this thread; leave that block before opening "
                "it for writing"
            )
        mode = turnstile.modes[-1] if turnstile.modes else read_only
        con = _connect(path, read_only=mode, deadline=deadline, wait_s=wait_s, engine=engine)
        turnstile.modes.append(mode)
        try:
            if len(turnstile.modes) == 1:
                if not mode and engine.spill is not None:
                    # Nobody else has the file now: what lies there is of a process that was killed.
                    shutil.rmtree(engine.spill, ignore_errors=True)
                _prepare(con, path, read_only=mode, known=known, create=create)
            use_places(con, places)
            yield con
        except duckdb.Error as error:
            fault = find_fault(error, place=path.parent) or _refused(error, path)
            if fault is not None:
                raise fault from error
            raise
        finally:
            turnstile.modes.pop()
            late = _close(con)
            for line in late:
                say(f"{path}: {line}")
    finally:
        turnstile.lock.release()


def copy_open_file(con: DuckDBPyConnection, path: Path, target: Path) -> None:
    """Copy the file of a warehouse that this thread has open for writing.

    A process of its own does it: whoever opens and closes a file takes away the locks that his
    process has on it, DuckDB's among them.

    Raises:
        MachineError: There is no room for it.
    """
    con.execute("checkpoint")
    done = subprocess.run(
        ["cp", "--", str(path), str(target)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        raise machine_error(target.parent, OSError(done.stderr.strip()))


@contextmanager
def open_copy(path: Path, *, places: Places, engine: Engine) -> Iterator[DuckDBPyConnection]:
    """Open a copy of a warehouse that this process made, for reading, and for nobody else."""
    with connect(path, read_only=True, engine=engine) as con:
        use_places(con, places)
        yield con


@contextmanager
def transaction(con: DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: commit at the end, roll back when an error passes through. Inside another
    transaction it joins that one.
    """
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
        # DuckDB may have rolled back by itself, or have given up altogether: the first error is the
        # one to tell.
        for statement in ("rollback", "set variable in_transaction = false"):
            with suppress(duckdb.Error):
                con.execute(statement)
        raise
    con.execute("set variable in_transaction = false")
    if count is not None:
        note_commits(con, count)


def _close(con: DuckDBPyConnection) -> list[str]:
    """Close a connection. Returns what is to be said."""
    late: list[str] = []
    with suppress(duckdb.Error):
        late = told_later(con)
    con.close()
    return late


def newest_version() -> int:
    """The schema version this release writes."""
    return max(number for number, _ in _migrations())


def _connect(
    path: Path, *, read_only: bool, deadline: float, wait_s: float, engine: Engine
) -> DuckDBPyConnection:
    if not read_only:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return connect(path, read_only=read_only, engine=engine)
        except duckdb.IOException as error:
            message = str(error)
            being_made = (
                "not a valid DuckDB database file" in message
                and path.exists()
                and path.stat().st_size < 12_288
            )
            locked = "Could not set lock" in message
            late = time.monotonic() >= deadline
            if not locked and named_errno(message, among=REMEDIES) is not None:
                raise machine_error(path, error) from error
            if not locked and (late or not being_made):
                raise _damaged(path, error) from error
            if late:
                raise LockedError(
                    f"{path}: locked for {wait_s:g} s by {_holder(message)}; wait for it to "
                    "finish, or end it if it hangs"
                ) from error
        except duckdb.Error as error:
            raise _damaged(path, error) from error
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        left_s = max(deadline - time.monotonic(), 0)
        time.sleep(min(pause_s * jitter, left_s))
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _refused(error: duckdb.Error, path: Path) -> MachineError | None:
    """What the system refused about the warehouse's own files, such as its log in a folder that
    cannot be written.
    """
    own = f'"{path}' in str(error)
    if not own or named_errno(str(error), among=REMEDIES) is None:
        return None
    return machine_error(path.parent, error)


def _damaged(path: Path, error: duckdb.Error) -> WarehouseError:
    remedy = "if it is damaged, `voxdata repair` rebuilds it from a snapshot and the batches"
    return WarehouseError(f"{path}: DuckDB cannot open it: {error}; {remedy}")


def _holder(message: str) -> str:
    holder = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", message)
    return f"process {holder[2]} ({holder[1]})" if holder else "another process"


def _prepare(
    con: DuckDBPyConnection,
    path: Path,
    *,
    read_only: bool,
    known: KnownWarehouse | None,
    create: bool,
) -> None:
    tables = {
        str(row["table_name"])
        for row in read_rows(con, "select table_name from duckdb_tables() where not internal")
    }
    if tables and "schema_version" not in tables:
        raise WarehouseError(
            f"{path}: a DuckDB file, but not a voxdata warehouse; name another file under "
            "[storage] warehouse"
        )
    have = 0
    if tables:
        newest = read_rows(con, "select coalesce(max(version), 0) as version from schema_version")
        have = int(str(newest[0]["version"]))
    if have > newest_version():
        raise WarehouseError(
            f"{path}: written by a newer voxdata (schema {have}, this release knows "
            f"{newest_version()}); upgrade voxdata to open it"
        )
    if not tables and known is not None:
        raise missing(path, known)
    if not tables and not create:
        raise WarehouseError(
            f"{path}: is empty; put the warehouse back from a backup, or let `voxdata repair` "
            "rebuild it"
        )
    held = held_commits(con) if "commit_count" in tables else 0
    if known is not None:
        warehouse_id = read_identity(con) if "identity" in tables else ""
        check_identity(path, known, found=warehouse_id, held=held)
    if not read_only:
        migrate(con, have=have)
        ensure_triggers(con)
    elif have < newest_version():
        raise WarehouseError(
            f"{path}: schema {have} is older than this release's {newest_version()}; run `voxdata "
            "ingest` or any writing command once"
        )
    _compare_beside(con, path, held=held, read_only=read_only)


def _compare_beside(con: DuckDBPyConnection, path: Path, *, held: int, read_only: bool) -> None:
    """Compare the warehouse with its list of versions and its number of commits, and update them.

    Raises:
        WarehouseError: The warehouse has less than they say.
    """
    complete = check_sidecar(con, path)
    noted = check_commits(path, held=held)
    if read_only:
        return
    if not complete:
        note_versions(con, path)
    if held > noted:
        note_commits(con, held)  # it could not be written down when it was made
    con.execute("set variable count_commits = true")


def _migrations() -> list[tuple[int, Path]]:
    return sorted((int(file.name.split("_")[0]), file) for file in MIGRATIONS.glob("[0-9]*.sql"))


def migrate(con: DuckDBPyConnection, *, have: int = 0) -> None:
    """Bring a warehouse to the schema this release writes, each step in a transaction with its
    record.

    Args:
        have: Its schema version now; 0 for an empty file.
    """
    for number, file in _migrations():
        if number > have:
            with transaction(con):
                con.execute(
                    """create table if not exists schema_version(
                      version integer, name varchar, applied_at timestamp
                    )"""
                )
                con.execute(file.read_text(encoding="utf-8"))
                if number in FOLLOW_UPS:
                    FOLLOW_UPS[number](con)
                con.execute(
                    "insert into schema_version values (?, ?, now() at time zone 'UTC')",
                    [number, file.stem],
                )
