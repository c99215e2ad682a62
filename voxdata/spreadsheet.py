"""CSV that a spreadsheet opens as it is meant: in UTF-8, and with no text taken for a formula."""

from __future__ import annotations

import polars as pl

BOM = "\ufeff"
"""By which Excel knows UTF-8."""

STARTS_FORMULA = "^[=+\\-@\t\r\n＝＋－＠]"
"""What a spreadsheet takes for a formula, or looks behind for one; it reads the wide forms, too."""

_TEXT = (pl.String, pl.Categorical, pl.Enum)


def write_spreadsheet(frame: pl.DataFrame) -> str:
    """A table as CSV for a spreadsheet: with a byte order mark, and an apostrophe before each text
    that would be a formula.
    """
    inert = frame.with_columns(
        pl.col(name).cast(pl.String).str.replace(f"({STARTS_FORMULA})", "'${1}")
        for name, kind in frame.schema.items()
        if isinstance(kind, _TEXT)
    )
    named = inert.rename(
        {name: f"'{name}" for name in inert.columns if name[:1] in set("=+-@\t\r\n＝＋－＠")}
    )
    return BOM + named.write_csv()
