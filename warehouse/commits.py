"""Counting commits: a write-ahead log that lost its end opens without complaint and without its
last transactions.

Every transaction adds one to a count in the warehouse and, once it is committed, to a file beside
it, `<warehouse>.commits`. A warehouse that counts fewer than the file has lost what it had
acknowledged.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import write_over
from voxdata.errors import MachineError, WarehouseError
from warehouse.beside import read_beside
from warehouse.guards import note_later, warehouse_path
from warehouse.rows import read_rows

LONGEST = 64
"""So many bytes at most say a number of commits."""


def commits_path(warehouse: Path) -> Path:
    """Where the number of commits of a warehouse file stands."""
    return warehouse.with_name(warehouse.name + ".commits")


def read_commits(warehouse: Path) -> int:
    """How many commits were acknowledged; 0 when nobody counted, as when a process was killed
    before it wrote the first number.

    Raises:
        WarehouseError: The file holds no number, or is none of ours.
    """
    path, remedy = commits_path(warehouse), "let `voxdata repair` count again"
    digits = (read_beside(path, at_most=LONGEST, remedy=remedy) or b"").strip()
    if digits and not digits.isdigit():
        raise WarehouseError(f"{path}: is no number; {remedy}")
    return int(digits or b"0")


def write_commits(warehouse: Path, count: int) -> None:
    """Write the number down, durably: one short write over the old one."""
    write_over(commits_path(warehouse), f"{count:020d}\n".encode(), mode=0o600)


def held_commits(con: DuckDBPyConnection) -> int:
    """How many commits a warehouse has; 0 for one of a release that did not count."""
    try:
        return int(str(read_rows(con, "select coalesce(max(n), 0) as n from commit_count")[0]["n"]))
    except duckdb.CatalogException:
        return 0


def count_commit(con: DuckDBPyConnection) -> int | None:
    """Count the transaction that is about to be committed; None where nobody counts."""
    if not read_rows(con, "select coalesce(getvariable('count_commits'), false) as counts")[0][
        "counts"
    ]:
        return None
    con.execute("insert into commit_count select coalesce(max(n), 0) + 1 from commit_count")
    return held_commits(con)


def note_commits(con: DuckDBPyConnection, count: int) -> None:
    """Write down that a transaction is committed.

    It is, whether this can be written or not: what cannot is said when the file is closed.
    """
    path = warehouse_path(con)
    if path is None:
        return
    try:
        write_commits(path, count)
    except MachineError as error:
        note_later(con, f"the number of commits could not be written down ({error})")


def check_commits(path: Path, *, held: int) -> int:
    """Compare the count in the warehouse with the one beside it.

    Args:
        held: What the warehouse counts.

    Returns:
        How many are written down beside it.

    Raises:
        WarehouseError: The warehouse has fewer.
    """
    noted = read_commits(path)
    if held < noted:
        raise WarehouseError(
            f"{path}: {noted - held} of {noted} acknowledged transactions are missing, so its "
            "write-ahead log lost its end. Leave the files as they are and run `voxdata repair`, "
            "which rebuilds the warehouse from a snapshot and the batches; or, to go on without "
            f"them, delete {commits_path(path)}"
        )
    return noted
