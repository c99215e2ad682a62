"""Text in files of any kind: Parquet, SQLite and DuckDB as the texts of their cells, all else as
lines.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as parquet  # type: ignore[import-untyped]

SOUND = frozenset([".wav", ".flac"])
WEIGHTS = frozenset([".npz", ".npy", ".safetensors"])

IDENTITY = re.compile(
    r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\blocalhost:\d+|\bpid\W{0,3}\d+"
    r"|"
    r"\b(?=[0-9a-f-]*[a-f])[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b"  # digests and UUIDs
    r"|\b\d{8}-[0-9a-f]{4}-[0-9a-f-]+\b"
    r"|(?:\b\d{4}-\d\d-\d\d[T ])?\b\d\d:\d\d:\d\d(?:[.,]\d+)?"
    r"|\b\d{8}T\d{6}(?:-[0-9a-f]{6})?\b"
    r"|\b\d+\.\d+(?:e-?\d+)?\b"
    r"|(?:^|(?<=[\"']))[a-z]+-[a-z]+(?=$|[\"'])"
)
"""Addresses with ports, process ids, digests, UUIDs, times and decimal numbers: in so many digits
four of ours are found by chance.

And names of two words that stand alone, as Prefect draws them for runs: "exceptional-tiger" gives
no password away.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredText:
    """A text and where it stands.

    Attributes:
        where: For a person, such as "prefect.db, table log, row 12, message" or "worker.log, line
            40".
    """

    text: str
    where: str


def read_texts(paths: Iterable[Path]) -> Iterator[StoredText]:
    """Texts of files and of everything in folders, one a cell or line.

    Sound and arrays of numbers are left out: they hold nothing to read. Numbers are read where they
    are written as text.
    """
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix not in SOUND | WEIGHTS:
                for where, text in _texts(file):
                    yield StoredText(text=text, where=f"{file.name}, {where}")


def leave_identities(text: str) -> str:
    """A text without digests, UUIDs, times, decimals, addresses, process ids, and names that
    Prefect draws.
    """
    return IDENTITY.sub(" ", text)


Placed = Iterator[tuple[str, str]]
"""(where, text)."""


def _texts(path: Path) -> Placed:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3\x00"):
        return _sqlite_texts(path)
    if head.startswith(b"PAR1"):
        table = parquet.read_table(path)
        return _row_texts("", table.column_names, (row.values() for row in table.to_pylist()))
    if head[8:12] == b"DUCK":
        return _duckdb_texts(path)
    content = path.read_bytes()
    if head.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    lines = content.decode("utf-8", errors="replace").splitlines()
    return ((f"line {number}", line) for number, line in enumerate(lines, start=1))


def _sqlite_texts(path: Path) -> Placed:
    with closing(sqlite3.connect(path)) as con:
        con.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        tables = con.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            rows = con.execute(f'select * from "{table}"')
            yield from _row_texts(
                f"table {table}, ",
                [column[0] for column in rows.description],
                rows.fetchall(),
            )


def _duckdb_texts(path: Path) -> Placed:
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        for schema, table in tables:
            rows = con.execute(f'from "{schema}"."{table}"')
            yield from _row_texts(
                f"table {table}, ",
                [column[0] for column in rows.description],
                rows.fetchall(),
            )


def _row_texts(
    table: str,
    columns: Sequence[str],
    rows: Iterable[Iterable[object]],
) -> Placed:
    for number, row in enumerate(rows, start=1):
        for column, value in zip(columns, row, strict=True):
            for text in _texts_in(value):
                yield f"{table}row {number}, {column}", text


def _texts_in(value: object) -> Iterator[str]:
    """Every text inside rows, lists and mappings, however deep."""
    if isinstance(value, str):
        yield from value.splitlines()
    elif isinstance(value, bytes):
        if not value.startswith((b"fLaC", b"RIFF")):
            yield from value.decode("utf-8", errors="replace").splitlines()
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _texts_in(part)
