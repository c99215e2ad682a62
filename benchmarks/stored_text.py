"""Text in files of any kind: Parquet, SQLite and DuckDB as the texts of their cells, all else as lines."""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
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

And names of two words that stand alone, as Prefect draws them for runs: "exceptional-tiger" gives no password away.
"""


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Texts of files and of everything in folders, one a cell or line, without what `leave_identities` takes out.

    Sound and arrays of numbers are left out: they hold nothing to read. Numbers are read where they are written as text.
    """
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and file.suffix not in SOUND | WEIGHTS:
                yield from leave_identities(_texts(file))


def leave_identities(texts: Iterable[str]) -> Iterator[str]:
    """Texts without digests, UUIDs, times, decimals, and names that Prefect draws."""
    return (IDENTITY.sub(" ", text) for text in texts)


def _texts(path: Path) -> Iterable[str]:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"SQLite format 3\x00"):
        return _sqlite_texts(path)
    if head.startswith(b"PAR1"):
        return _texts_in(parquet.read_table(path).to_pylist())
    if head[8:12] == b"DUCK":
        return _duckdb_texts(path)
    content = path.read_bytes()
    if head.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return content.decode("utf-8", errors="replace").splitlines()


def _sqlite_texts(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as con:
        con.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        tables = con.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            yield from _texts_in(con.execute(f'select * from "{table}"').fetchall())


def _duckdb_texts(path: Path) -> Iterator[str]:
    with duckdb.connect(str(path), read_only=True) as con:
        tables = con.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        for schema, table in tables:
            yield from _texts_in(con.execute(f'from "{schema}"."{table}"').fetchall())


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
