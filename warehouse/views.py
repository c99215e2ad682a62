"""The views that people query, and the number that tells when one of them changed."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

VIEWS = (
    "agreement",
    "gold",
    "imported",
    "labels",
    "ledger",
    "remarks",
    "utterances",
    "versions",
)
"""What docs/warehouse.md describes for people; other tables and views may change at any time."""

VIEWS_VERSION = 1
"""Raised by one with every column of `VIEWS` that comes, goes, or changes name, type or meaning.

`tests/data/layouts/views.json` holds the columns under each number.
"""


def number_views(con: DuckDBPyConnection) -> None:
    """Let the queries of a connection call `views_version()`."""
    con.execute(f"create or replace temp macro views_version() as {VIEWS_VERSION}")
