"""CSV and TSV. A CSV has quotes, as spreadsheets write it; in a TSV a quote is a character like any other."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from voxdata.errors import ConfigError
from voxdata.lines import split_lines
from voxdata.tables.table import RawRow

_SEPARATOR = re.compile(r'"?sep=(.)"?')
"""Excel's first line."""

_MIN_SURE = 3
"""From so many columns on a line that by itself has all fields is taken for a row, not for part of a text."""


def read_delimited(text: str, path: Path, *, tabs: bool) -> tuple[list[str], list[RawRow]]:
    """The header and the rows, numbered by the line they begin in; empty lines are none.

    Raises:
        ConfigError: The header cannot be read.
    """
    lines = split_lines(text)
    begin, delimiter = 0, "\t" if tabs else ","
    said = _SEPARATOR.fullmatch(lines[0]) if lines else None
    if said:
        begin, delimiter = 1, said[1]
    quoted = delimiter != "\t"
    header: list[str] | None = None
    rows: list[RawRow] = []
    for number, found in _records(lines, begin, delimiter, quoted=quoted):
        if header is None:
            if isinstance(found, str):
                raise ConfigError(f"{path}: its header, line {number}, {found}")
            header = [name.strip() for name in found]
            continue
        rows.append(_row(number, found, header, delimiter))
    return header or [], rows


def _row(number: int, found: Sequence[str] | str, header: Sequence[str], delimiter: str) -> RawRow:
    if isinstance(found, str):
        return RawRow(number=number, problem=found)
    if len(found) > len(header):
        more = any(field.strip() for field in found[len(header) :])
        if more:
            named = "a tab" if delimiter == "\t" else repr(delimiter)
            remedy = (
                "write none inside a field"
                if delimiter == "\t"
                else "quote fields that have one inside"
            )
            return RawRow(
                number=number,
                problem=f"has {len(found)} fields, the header {len(header)}; {named} divides fields: {remedy}",
            )
    return RawRow(number=number, values=dict(zip(header, found, strict=False)))


def _records(
    lines: Sequence[str], begin: int, delimiter: str, *, quoted: bool
) -> Iterator[tuple[int, list[str] | str]]:
    """(number of the line, fields or what is wrong)."""
    at, width = begin, 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if not quoted or '"' not in line:
            found: list[str] | str = line.split(delimiter)
            taken = 1
        else:
            found, taken = _quoted_record(lines, at, delimiter, width)
        if not width and not isinstance(found, str):
            width = len(found)
        yield at + 1, found
        at += taken


def _quoted_record(
    lines: Sequence[str], at: int, delimiter: str, width: int
) -> tuple[list[str] | str, int]:
    """A record with quotes, which may go over several lines; a quote that is not closed costs its own line only."""
    # The reader takes a lone carriage return for the end of a row, and it may stand inside a text.
    spare = next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in lines[at])
    feed = (line.replace("\r", spare) + "\n" for line in _from(lines, at))
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        return (
            f"has a quote that is not closed ({error}); inside a quoted field write a quote twice",
            1,
        )
    taken = reader.line_num
    rows = lines[at : at + taken]
    if (
        taken > 1
        and width >= _MIN_SURE
        and all(line.count(delimiter) + 1 == width for line in rows)
    ):
        return (
            "has a quote that is closed only in a later row; inside a quoted field write a quote twice",
            1,
        )
    if fields:
        fields[-1] = fields[-1].removesuffix("\n")
    return [field.replace(spare, "\r") for field in fields], taken


def _from(lines: Sequence[str], at: int) -> Iterator[str]:
    for number in range(at, len(lines)):
        yield lines[number]
