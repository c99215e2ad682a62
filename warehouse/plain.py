"""Reading sets of rows, and writing them past the gate, as only the gate's own books may; the one
place that knows the DuckDB client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

if TYPE_CHECKING:
    import polars as pl

Row = dict[str, object]
"""Column name -> value."""

FRAME = "incoming_rows"
OWN_FRAME = "rows_of_the_gate"

_ROWS_AT_ONCE = 100_000

Parameters = Sequence[object] | Mapping[str, object]


def read_rows(
    con: DuckDBPyConnection, sql: str, parameters: Parameters = ()
) -> list[dict[str, object]]:
    """Run a query and fetch it whole (an unread result would block the connection).

    Args:
        sql: With `?` for each parameter, or `$name` when `parameters` is a mapping.
    """
    cursor = con.execute(sql, parameters or None)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def read_frame(con: DuckDBPyConnection, sql: str, parameters: Parameters = ()) -> pl.DataFrame:
    """Run a query and fetch it whole as a frame.

    It is fetched in batches: DuckDB would hold all of it in its own memory beside the frame.
    """
    import polars as pl

    reader = con.sql(sql, params=parameters or None).to_arrow_reader(_ROWS_AT_ONCE)
    parts = [pl.DataFrame(batch) for batch in reader]
    # What is left to read is a table without rows, of the right types; pyarrow's own way to make
    # one imports pandas.
    return pl.concat(parts) if parts else pl.DataFrame(reader.read_all())


def make_lookup(
    con: DuckDBPyConnection, name: str, columns: Mapping[str, tuple[str, Sequence[object]]]
) -> None:
    """Make a small temporary table, without a frame: to import polars takes a quick command longer
    than all the rest.

    Args:
        columns: Name -> its type and values, one for each row.
    """
    parts = ", ".join(
        f"unnest(${column}::{kind}[]) as {column}" for column, (kind, _) in columns.items()
    )
    values = {column: list(given) for column, (_, given) in columns.items()}
    con.execute(f"create or replace temp table {name} as select {parts}", values)


def frame_of(con: DuckDBPyConnection, table: str, rows: Sequence[Row]) -> pl.DataFrame:
    """Rows, all with the same columns, as a frame with the types of a table."""
    import polars as pl

    types = con.sql(f'select * from "{table}" limit 0').pl().schema
    return pl.DataFrame(list(rows), schema={name: types[name] for name in rows[0]})


def write_past_the_gate(con: DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows of the books of the gate itself: they name nobody but by digests."""
    if not rows:
        return
    con.register(OWN_FRAME, frame_of(con, table, rows))
    try:
        con.execute(f'insert into "{table}" by name select * from {OWN_FRAME}')
    finally:
        con.unregister(OWN_FRAME)
