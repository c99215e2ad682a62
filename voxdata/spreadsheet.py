"""CSV that a spreadsheet opens as it is meant: in UTF-8, and with no text taken for a formula."""

from __future__ import annotations

import re

import polars as pl

BOM = "\ufeff"
"""The mark by which Excel knows UTF-8."""

STARTS_FORMULA = "^[=+\\-@\t\r\n＝＋－＠]"
"""What a spreadsheet takes for a formula, or looks behind for one; it reads the wide forms, too."""

_TEXT = (pl.String, pl.Categorical, pl.Enum)


def write_spreadsheet(frame: pl.DataFrame) -> str:
    """A table as CSV for a spreadsheet.

    It has a byte order mark, and an apostrophe before each text that would be a formula.
    """
    inert = frame.with_columns(
        pl.col(name).cast(pl.String).str.replace(f"({STARTS_FORMULA})", "'${1}")
        for name, kind in frame.schema.items()
        if isinstance(kind, _TEXT)
    )
    formulas = [name for name in frame.columns if re.match(STARTS_FORMULA, name)]
    inert = inert.rename({name: f"'{name}" for name in formulas})
    return BOM + inert.write_csv()
