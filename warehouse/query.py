"""Questions in SQL that can change nothing, reach nothing but the warehouse, and come to an end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from warehouse.engine import time_limit
from warehouse.functions import QUERIES, TABLES
from warehouse.rows import read_rows
from warehouse.views import number_views

if TYPE_CHECKING:
    import polars as pl

NO_QUERY = "that is no query; write SELECT ..., FROM ..., SHOW TABLES or DESCRIBE utterances"


def run_query(con: DuckDBPyConnection, sql: str, *, seconds: float = 300.0) -> pl.DataFrame:
    """Run one query.

    Args:
        con: Open for reading only; it cannot be used for anything else afterwards, since files are
            out of its reach.
        sql: One SELECT, FROM, WITH, VALUES, SHOW, DESCRIBE or SUMMARIZE.
        seconds: After which it is stopped.

    Raises:
        ConfigError: Several statements, one that is no query, one that calls what is not in
            `warehouse.functions`, one that takes too long, or one that DuckDB refuses; the message
            is DuckDB's.
    """
    import polars as pl

    try:
        statements = con.extract_statements(sql)
        if len(statements) != 1:
            raise ConfigError(f"{len(statements)} statements; give one query")
        if statements[0].type is not duckdb.StatementType.SELECT:
            raise ConfigError(NO_QUERY)
        _check_calls(con, sql)
        number_views(con)
        con.execute("set enable_external_access = false")
        con.execute("set lock_configuration = true")
        with time_limit(con, seconds, what="the query"):
            # Only so can it be interrupted, and the rows are there once.
            frame: pl.DataFrame = con.sql(statements[0]).materialize().pl()
            return frame
    except (duckdb.Error, RecursionError) as error:
        raise ConfigError(_first_lines(error)) from error
    except pl.exceptions.PolarsError as error:
        why = f"a column has a type that no table here can hold ({_first_lines(error)})"
        raise ConfigError(f"{why}; cast it, such as to varchar") from error


def _check_calls(con: DuckDBPyConnection, sql: str) -> None:
    """Refuse a query that calls anything that is not listed.

    Raises:
        ConfigError: Names the function.
    """
    parsed = json.loads(
        str(read_rows(con, "select json_serialize_sql(?) as tree", [sql])[0]["tree"])
    )
    if parsed["error"]:
        raise ConfigError(str(parsed["error_message"]))
    for name, is_table in _calls(parsed):
        if name not in (TABLES if is_table else QUERIES):
            reads = (
                "no table function that a query may read from"
                if is_table
                else "no function that a query may call"
            )
            raise ConfigError(f"{name}() is {reads}; docs/warehouse.md lists the allowed ones")


def _calls(parsed: Any) -> Iterator[tuple[str, bool]]:
    """Every function that a parsed query calls, and whether it stands for a table."""
    waiting = [parsed]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
            continue
        if not isinstance(node, dict):
            continue
        called = node.get("function")
        if node.get("type") == "TABLE_FUNCTION" and isinstance(called, dict):
            yield str(called.get("function_name", "")).lower(), True
            waiting += [part for key, part in called.items() if key != "function_name"]
            waiting += [part for key, part in node.items() if key != "function"]
            continue
        if "function_name" in node:
            yield str(node["function_name"]).lower(), False
        waiting += node.values()


def _first_lines(error: Exception) -> str:
    return "\n".join(line for line in str(error).splitlines()[:6] if line.strip())
