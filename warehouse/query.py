"""Questions in SQL that can change nothing and reach nothing but the warehouse."""

from __future__ import annotations

import duckdb
import polars as pl
from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError


def run_query(con: DuckDBPyConnection, sql: str) -> pl.DataFrame:
    """Run one query.

    Args:
        con: Open for reading only; it cannot be used for anything else afterwards, since files are out of its reach.
        sql: One SELECT, FROM, WITH, SHOW, DESCRIBE or SUMMARIZE.

    Raises:
        ConfigError: Several statements, one that is no query, or one that DuckDB refuses; the message is DuckDB's.
    """
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise ConfigError(_first_lines(error)) from error
    if len(statements) != 1:
        raise ConfigError(f"{len(statements)} statements; give one query")
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")
    try:
        found = con.sql(statements[0])
        if found is None:
            raise ConfigError("that is no query; write SELECT ..., FROM ..., SHOW TABLES or DESCRIBE utterances")
        frame: pl.DataFrame = found.pl()
        return frame
    except duckdb.Error as error:
        raise ConfigError(_first_lines(error)) from error


def _first_lines(error: duckdb.Error) -> str:
    return "\n".join(line for line in str(error).splitlines()[:6] if line.strip())
