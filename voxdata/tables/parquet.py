"""Parquet tables."""

from __future__ import annotations

import io
import re
from pathlib import Path

import polars as pl

from voxdata.errors import ConfigError
from voxdata.tables.table import RawRow

MAGIC = b"PAR1"


def read_parquet(raw: bytes, path: Path) -> tuple[list[str], list[RawRow]]:
    """The columns and the rows, numbered from 1.

    Raises:
        ConfigError: It is no Parquet file, or has a column twice.
    """
    try:
        frame = pl.read_parquet(io.BytesIO(raw))
    except pl.exceptions.DuplicateError as error:
        quoted = re.search(r"'(.*)'", str(error))
        column = repr(quoted[1]) if quoted else "one"
        message = f"{path}: the column {column} is in the header twice; rename or remove one"
        raise ConfigError(message) from error
    except (OSError, pl.exceptions.PolarsError) as error:
        first_line, _, _ = str(error).partition("\n")
        raise ConfigError(f"{path}: is no Parquet file ({first_line})") from error

    rows = enumerate(frame.iter_rows(named=True), start=1)
    return frame.columns, [RawRow(number=number, values=row) for number, row in rows]
