"""CSV and TSV.

A CSV has quotes, as spreadsheets write it; in a TSV a quote is a character like any other.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxdata.errors import ConfigError
from voxdata.lines import split_lines
from voxdata.tables.table import RawRow

_SEPARATOR = re.compile(r'"?sep=(.)"?')
"""Excel's first line."""

_MIN_SURE = 3
"""From so many columns on, a line that has all fields by itself is a row, not part of a text."""

_HOW_TO_QUOTE = "inside a quoted field write a quote twice"

# Private-use characters, of which one stands for a carriage return while a record is read.
_SPARE = range(0xE000, 0xF8FF)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """A row as it is written.

    Attributes:
        number: The line it begins in, from 1.
        num_lines: How many lines it takes.
        problem: Why it cannot be read; "" for none.
    """

    number: int
    fields: Sequence[str] = ()
    num_lines: int = 1
    problem: str = ""


def read_delimited(
    text: str,
    path: Path,
    *,
    tabs: bool,
) -> tuple[list[str], list[RawRow]]:
    """The header and the rows, numbered by the line they begin in; empty lines are none.

    Raises:
        ConfigError: The header cannot be read.
    """
    lines = split_lines(text)
    delimiter = "\t" if tabs else ","
    begin = 0
    stated = _SEPARATOR.fullmatch(lines[0]) if lines else None
    if stated:
        delimiter = stated[1]
        begin = 1

    records = _records(lines, begin, delimiter)
    first = next(records, None)
    if first is None:
        return [], []
    if first.problem:
        raise ConfigError(f"{path}: its header, line {first.number}, {first.problem}")
    header = [name.strip() for name in first.fields]
    return header, [_row(record, header, delimiter) for record in records]


def _row(
    record: _Record,
    header: Sequence[str],
    delimiter: str,
) -> RawRow:
    if record.problem:
        return RawRow(number=record.number, problem=record.problem)
    num_fields = len(record.fields)
    surplus = record.fields[len(header) :]
    if any(field.strip() for field in surplus):
        if delimiter == "\t":
            rule = "a tab divides fields: write none inside a field"
        else:
            rule = f"{delimiter!r} divides fields: quote fields that have one inside"
        problem = f"has {num_fields} fields, the header {len(header)}; {rule}"
        return RawRow(number=record.number, problem=problem)
    values = dict(zip(header, record.fields, strict=False))
    return RawRow(number=record.number, values=values)


def _records(
    lines: Sequence[str],
    begin: int,
    delimiter: str,
) -> Iterator[_Record]:
    at = begin
    width = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
            continue
        if delimiter == "\t" or '"' not in line:
            record = _Record(number=at + 1, fields=line.split(delimiter))
        else:
            record = _quoted_record(lines, at, delimiter, width)
        if not width:
            width = len(record.fields)
        yield record
        at += record.num_lines


def _unused_character(line: str) -> str:
    return next(chr(code) for code in _SPARE if chr(code) not in line)


def _quoted_record(
    lines: Sequence[str],
    at: int,
    delimiter: str,
    width: int,
) -> _Record:
    """A record with quotes, which may go over several lines.

    A quote that is not closed costs its own line only.
    """
    # The reader takes a lone carriage return for the end of a row, and it may stand inside a text.
    spare = _unused_character(lines[at])
    remaining = (lines[number] for number in range(at, len(lines)))
    feed = (line.replace("\r", spare) + "\n" for line in remaining)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        problem = f"has a quote that is not closed ({error}); {_HOW_TO_QUOTE}"
        return _Record(number=at + 1, problem=problem)

    num_lines = reader.line_num
    if num_lines > 1 and width >= _MIN_SURE:
        spanned = lines[at : at + num_lines]
        if all(line.count(delimiter) + 1 == width for line in spanned):
            problem = f"has a quote that is closed only in a later row; {_HOW_TO_QUOTE}"
            return _Record(number=at + 1, problem=problem)
    if fields:
        fields[-1] = fields[-1].removesuffix("\n")
    restored = [field.replace(spare, "\r") for field in fields]
    return _Record(
        number=at + 1,
        fields=restored,
        num_lines=num_lines,
    )
