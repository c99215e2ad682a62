"""The texts of tables, whatever file they lie in and however deep in lists, structures and maps."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import feather, ipc, orc, parquet

from flows.forget.kinds import Kind
from flows.forget.needles import Needles
from warehouse.engine import connect

ROWS = 16_384
"""Rows that are read at once."""

WAIT_S = 60.0
"""How long to wait for whoever has a DuckDB file open."""

_NO_TEXT = re.compile(
    r"(BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|REAL|DECIMAL\(.*\)|DATE|TIME.*"
    r"|INTERVAL)(\[\d*\])*",
    re.IGNORECASE,
)
_CATALOG = (
    "duckdb_tables()",
    "duckdb_views()",
    "duckdb_columns()",
    "duckdb_types()",
    "duckdb_functions()",
)

Texts = tuple[str, Any]
"""Where it is, in words, and an Arrow array of text or bytes."""


class _Text(bytes):
    """A text of SQLite, whose encoding may be wrong."""


class UnreadError(Exception):
    """A file cannot be read as what it is; the message says why."""


def search_texts(needles: Needles, array: Any) -> Iterator[tuple[str, int]]:
    """(string, row) for each place of a string in an array of `read_arrow` or `read_duckdb`.

    A place never reaches across two rows.
    """
    _, offsets, content = array.buffers()
    if content is None or offsets is None:
        return
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    starts = np.frombuffer(offsets, dtype=np.int64 if wide else np.int32)[
        array.offset : array.offset + len(array) + 1
    ]
    first, last = int(starts[0]), int(starts[-1])
    for needle in needles.find(content.slice(first, last - first).to_pybytes()):
        row = int(np.searchsorted(starts, first + needle.start, side="right")) - 1
        if first + needle.end <= int(starts[row + 1]):
            yield needle.text, row


def read_arrow(kind: Kind, path: Path) -> Iterator[Texts]:
    """The texts of a Parquet, Arrow or ORC file.

    Raises:
        UnreadError: It is damaged, or encrypted.
    """
    try:
        for batch in _batches(kind, path):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                for array in _leaves(column):
                    yield f"column {name}", array
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadError(
            str(error).splitlines()[0] if str(error) else type(error).__name__
        ) from error


def read_duckdb(path: Path, *, ours: bool) -> Iterator[Texts]:
    """The texts of every table of a DuckDB file, and of its catalog.

    Args:
        ours: It was written again since anything was deleted from it; others may still hold,
            compressed, what no query shows.

    Raises:
        UnreadError: It is damaged, encrypted, held by somebody, or holds what was deleted from it.
    """
    try:
        with closing(_connect(path)) as con:
            tables = con.execute(
                "select schema_name, table_name from duckdb_tables() where not internal and "
                "database_name = current_database() order by all"
            ).fetchall()
            for schema, table in tables:
                yield from _read_table(con, schema, table, ours=ours)
            for view in _CATALOG:
                columns = con.execute(
                    f"select column_name, column_type from (describe select * from {view})"
                ).fetchall()
                yield from _read_query(
                    con, _names(columns), f"{view} where not internal", "the catalog"
                )
            if not ours and _number(con, "select free_blocks from pragma_database_size()"):
                raise UnreadError("it has free blocks, which may hold what was deleted from it")
    except (duckdb.Error, pa.ArrowException) as error:
        raise UnreadError(str(error).splitlines()[0]) from error


def read_sqlite(path: Path) -> Iterator[tuple[str, list[bytes], list[bytes]]]:
    """(where, texts, blobs) of every table of an SQLite file, some rows at a time.

    Raises:
        UnreadError: It is damaged, encrypted or held by somebody.
    """
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT_S)
        ) as con:
            con.text_factory = _Text
            for (name,) in con.execute(
                "select name from sqlite_master where type = 'table' order by 1"
            ).fetchall():
                table = name.decode("utf-8", "replace")
                cursor = con.execute('select * from "' + table.replace('"', '""') + '"')
                while rows := cursor.fetchmany(ROWS):
                    cells = chain.from_iterable(rows)
                    values = [value for value in cells if isinstance(value, bytes)]
                    yield (
                        f"table {table}",
                        [value for value in values if isinstance(value, _Text)],
                        [value for value in values if not isinstance(value, _Text)],
                    )
    except sqlite3.Error as error:
        raise UnreadError(str(error)) from error


def is_text(array: Any) -> bool:
    """Whether an array is of text, not of bytes that may be a file."""
    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            con = connect(path, read_only=True)
            con.execute("set enable_external_access = false")
            return con
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _read_table(
    con: duckdb.DuckDBPyConnection, schema: str, table: str, *, ours: bool
) -> Iterator[Texts]:
    columns = con.execute(
        """select column_name, data_type from duckdb_columns()
        where database_name = current_database() and schema_name = ? and table_name = ?""",
        [schema, table],
    ).fetchall()
    place = f"{_quoted(schema)}.{_quoted(table)}"
    yield from _read_query(con, _names(columns), place, f"table {table}")
    if ours:
        return
    name = place.replace("'", "''")
    stored = _number(
        con,
        "select coalesce(max(n), 0) from (select sum(count) as n from "
        f"pragma_storage_info('{name}') "
        "where not contains(column_path, ',') group by column_path)",
    )
    if stored > _number(con, f"select count(*) from {place}"):
        raise UnreadError(f"table {table} holds rows that were deleted")


def _number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])


def _read_query(
    con: duckdb.DuckDBPyConnection, names: Sequence[str], place: str, where: str
) -> Iterator[Texts]:
    if not names:
        return
    columns = ", ".join(map(_quoted, names))
    for batch in con.sql(f"select {columns} from {place}").to_arrow_reader(ROWS):
        for name, column in zip(names, batch.columns, strict=True):
            for array in _leaves(column):
                yield f"{where}, column {name}", array


def _names(columns: Sequence[tuple[str, str]]) -> list[str]:
    return [name for name, kind in columns if not _NO_TEXT.fullmatch(kind)]


def _batches(kind: Kind, path: Path) -> Iterator[Any]:
    if kind is Kind.PARQUET:
        with parquet.ParquetFile(path) as file:
            names = [field.name for field in file.schema_arrow if _has_text(field.type)]
            if names:
                yield from file.iter_batches(batch_size=ROWS, columns=names)
    elif kind is Kind.ORC:
        orc_file = orc.ORCFile(path)
        yield from (orc_file.read_stripe(number) for number in range(orc_file.nstripes))
    elif kind is Kind.ARROW_STREAM:
        with pa.OSFile(str(path)) as file, ipc.open_stream(file) as stream:
            yield from stream
    elif _begins_as_feather(path):
        yield from feather.read_table(path).to_batches()
    else:
        with pa.OSFile(str(path)) as file, ipc.open_file(file) as table:
            yield from (table.get_batch(number) for number in range(table.num_record_batches))


def _begins_as_feather(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"FEA1"


def _has_text(kind: Any) -> bool:
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        return any(_has_text(kind.field(number).type) for number in range(kind.num_fields))
    return not pa.types.is_primitive(kind)


def _leaves(array: Any) -> Iterator[Any]:
    """Arrays of text or bytes in an array."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        yield from _leaves(array.storage)
    elif pa.types.is_dictionary(kind):
        yield from _leaves(array.dictionary)
    elif pa.types.is_map(kind):
        yield from (*_leaves(array.keys), *_leaves(array.items))
    elif pa.types.is_struct(kind) or pa.types.is_union(kind):
        for number in range(kind.num_fields):
            yield from _leaves(array.field(number))
    elif pa.types.is_nested(kind) or pa.types.is_run_end_encoded(kind):
        yield from _leaves(array.values)
    elif pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        yield array.cast(pa.large_binary())
    elif pa.types.is_string_view(kind):
        yield array.cast(pa.large_string())
    elif (
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    ):
        yield array


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
