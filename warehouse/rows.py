"""Reading and writing sets of rows; the one place that knows the quirks of the DuckDB client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import polars as pl
from duckdb import DuckDBPyConnection

Row = dict[str, object]
"""Column name -> value."""

FRAME = "incoming_rows"


def read_rows(con: DuckDBPyConnection, sql: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[dict[str, object]]:
    """Run a query and fetch it whole (an unread result would block the connection).

    Args:
        sql: With `?` for each parameter, or `$name` when `parameters` is a mapping.
    """
    cursor = con.execute(sql, parameters or None)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def insert_new(con: DuckDBPyConnection, table: str, rows: Sequence[Row], *, key: Sequence[str], existing: str | None = None) -> int:
    """Insert, as one statement, the rows whose key is not there yet; of several with one key the first.

    Args:
        rows: All with the same columns; columns left out take their default.
        key: Columns that identify a row; none of them null.
        existing: Table or view that says which keys are there; `table` unless given.

    Returns:
        The number of rows inserted.
    """
    if not rows:
        return 0
    types = con.sql(f'select * from "{table}" limit 0').pl().schema
    frame = pl.DataFrame(list(rows), schema={name: types[name] for name in rows[0]}).unique(
        subset=list(key), keep="first", maintain_order=True
    )
    columns = ", ".join(f'"{name}"' for name in key)
    con.register(FRAME, frame)
    try:
        inserted = con.execute(
            f'insert into "{table}" by name select f.* from {FRAME} f anti join "{existing or table}" using ({columns})'
        ).fetchall()
    finally:
        con.unregister(FRAME)
    return int(inserted[0][0])


def insert_rows(con: DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert, as one statement, rows that are known to be new.

    Args:
        rows: All with the same columns; columns left out take their default.
    """
    if not rows:
        return
    types = con.sql(f'select * from "{table}" limit 0').pl().schema
    con.register(FRAME, pl.DataFrame(list(rows), schema={name: types[name] for name in rows[0]}))
    try:
        con.execute(f'insert into "{table}" by name select * from {FRAME}')
    finally:
        con.unregister(FRAME)


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
        raise ValueError(f"{moment.isoformat()} has no time zone; give times with one, such as datetime.now(UTC)")
    return moment.astimezone(UTC).replace(tzinfo=None)
