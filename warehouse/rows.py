"""Reading and writing sets of rows: the one door by which rows come into the warehouse, and the
gate is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from warehouse.gate import open_gate, refuse
from warehouse.plain import (
    FRAME,
    Parameters,
    Row,
    frame_of,
    make_lookup,
    read_frame,
    read_rows,
)

__all__ = [
    "FRAME",
    "Row",
    "insert_new",
    "insert_query",
    "insert_rows",
    "make_lookup",
    "read_frame",
    "read_rows",
    "utc_aware",
    "utc_naive",
]


def insert_new(
    con: DuckDBPyConnection,
    table: str,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    existing: str | None = None,
) -> int:
    """Insert, as one statement, the rows whose key is not there yet; of several with one key the
    first.

    Args:
        rows: All with the same columns; columns left out take their default.
        key: Columns that identify a row; none of them null.
        existing: Table or view that says which keys are there; `table` unless given.

    Returns:
        The number of rows inserted; rows about somebody who was forgotten are refused.
    """
    if not rows:
        return 0
    frame = frame_of(con, table, rows).unique(subset=list(key), keep="first", maintain_order=True)
    columns = ", ".join(f'"{name}"' for name in key)
    con.register(FRAME, frame)
    try:
        query = f'select f.* from {FRAME} f anti join "{existing or table}" using ({columns})'
        return _insert(con, table, query, (), columns=list(rows[0]))
    finally:
        con.unregister(FRAME)


def insert_rows(con: DuckDBPyConnection, table: str, rows: Sequence[Row]) -> int:
    """Insert, as one statement, rows that are known to be new.

    Args:
        rows: All with the same columns; columns left out take their default.

    Returns:
        The number of rows inserted; rows about somebody who was forgotten are refused.
    """
    if not rows:
        return 0
    con.register(FRAME, frame_of(con, table, rows))
    try:
        return _insert(con, table, f"select * from {FRAME}", (), columns=list(rows[0]))
    finally:
        con.unregister(FRAME)


def insert_query(
    con: DuckDBPyConnection, table: str, query: str, parameters: Parameters = ()
) -> int:
    """Insert what a query gives, by the names of its columns.

    Args:
        query: A `select`, or a `from`; it may be run more than once.

    Returns:
        The number of rows inserted; rows about somebody who was forgotten are refused.
    """
    cursor = con.execute(f"select * from ({query}) limit 0", parameters or None)
    columns = [str(column[0]) for column in cursor.description or ()]
    return _insert(con, table, query, parameters, columns=columns)


def _insert(
    con: DuckDBPyConnection,
    table: str,
    query: str,
    parameters: Parameters,
    *,
    columns: Sequence[str],
) -> int:
    kept_out = refuse(con, table, query, parameters, columns)
    admitted = f"from ({query}) where {kept_out}" if kept_out else query
    try:
        return int(
            con.execute(f'insert into "{table}" by name {admitted}', parameters or None).fetchall()[
                0
            ][0]
        )
    finally:
        if kept_out:
            open_gate(con)


def utc_aware(stored: object) -> datetime:
    """A stored timestamp, which is UTC without saying so, as an aware datetime."""
    if not isinstance(stored, datetime):
        raise TypeError(f"not a timestamp: {stored!r}")
    return stored.replace(tzinfo=UTC)


def utc_naive(moment: datetime) -> datetime:
    """An aware datetime as it is stored.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{moment.isoformat()} has no time zone; give times with one, such as datetime.now(UTC)"
        )
    return moment.astimezone(UTC).replace(tzinfo=None)
