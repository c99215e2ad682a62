"""What every format is read into: rows of text under columns whose meaning is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxdata.cell import Kind, cell_text
from voxdata.columns import Columns, check_header, choose_columns, column_key

MAX_VALUE = 10_000

_KINDS: Mapping[str, Kind] = {
    "text": "words",
    "language": "words",
    "label": "label",
    "speaker": "name",
    "session": "name",
    "channel": "name",
    "start": "name",
    "end": "name",
    "duration": "name",
    "split": "name",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A cell whose value means nothing, and why."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRow:
    """A row as a format has it.

    Attributes:
        number: Its line or row in the file, from 1.
        values: Column -> value of any kind.
        problem: Why it is no row; "" for none.
        folder: What its relative paths are relative to, where that is not the table's folder.
        cut: Whether its sound is the clip itself, so that times say where it was cut from.
    """

    number: int
    values: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""
    folder: Path | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row.

    Attributes:
        values: Column -> text; columns without a value are absent.
        missing: Column -> why its value means nothing.
        folder, cut: See `RawRow`.
    """

    number: int
    values: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be used, and why."""

    number: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that was read; every row of the file is in `rows` or in `bad`.

    Attributes:
        origin: What messages call it.
        folder: What relative paths are relative to.
        remarks: What people should know about how it was read.
    """

    origin: str
    folder: Path
    columns: Columns
    rows: tuple[TableRow, ...]
    bad: tuple[BadRow, ...]
    remarks: tuple[str, ...] = ()


def build_table(
    raw: Iterable[RawRow],
    *,
    origin: str,
    folder: Path,
    columns: Sequence[str] | None = None,
    chosen: Mapping[str, str] | None = None,
    remarks: Sequence[str] = (),
) -> Table:
    """Rows of any format as a table.

    Args:
        columns: The header; None takes what occurs in any row, and names that differ only in case
            are one column.
        chosen: Meaning -> its column, where the user says so.

    Raises:
        ConfigError: The header has a column twice, or a chosen column is not there.
    """
    if columns is not None:
        check_header(columns, origin=origin)
    rows = list(raw)
    spelled = _spellings(rows, columns)
    named = choose_columns(
        list(dict.fromkeys(spelled.values())),
        origin=origin,
        chosen=chosen,
        filled=_filled_columns(rows, spelled),
    )
    kinds = {name: _kind_of(column, named) for name, column in spelled.items()}

    good: list[TableRow] = []
    bad: list[BadRow] = []
    for row in rows:
        built = _build_row(row, spelled, kinds, named)
        if isinstance(built, BadRow):
            bad.append(built)
        else:
            good.append(built)
    return Table(
        origin=origin,
        folder=folder,
        columns=named,
        rows=tuple(good),
        bad=tuple(bad),
        remarks=tuple(remarks),
    )


def _spellings(rows: Iterable[RawRow], columns: Sequence[str] | None) -> dict[str, str]:
    """Name in a row -> the column it stands for."""
    if columns is not None:
        return {name: name.strip() for name in columns if name.strip()}
    first: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for row in rows:
        for name in row.values:
            if name in spelled:
                continue
            key = column_key(name)
            if key:
                spelled[name] = first.setdefault(key, name.strip())
    return spelled


def _filled_columns(rows: Iterable[RawRow], spelled: Mapping[str, str]) -> set[str]:
    """The columns in which at least one row has a value."""
    filled: set[str] = set()
    for row in rows:
        for name, value in row.values.items():
            # A column without a name is left out.
            column = spelled.get(name)
            if column is not None and cell_text(value) is not None:
                filled.add(column)
    return filled


def _kind_of(name: str, columns: Columns) -> Kind:
    meaning = columns.meaning(name)
    if meaning in _KINDS:
        return _KINDS[meaning]
    key = column_key(name)
    return "name" if key == "id" or key.endswith("_id") else "other"


def _build_row(
    row: RawRow,
    spelled: Mapping[str, str],
    kinds: Mapping[str, Kind],
    columns: Columns,
) -> TableRow | BadRow:
    if row.problem:
        return BadRow(number=row.number, problem=row.problem)
    values: dict[str, str] = {}
    missing: dict[str, str] = {}
    audio_columns = columns.of.get("audio", ())
    for name, value in row.values.items():
        column = spelled.get(name)
        if column is None or value is None:
            continue
        if column in values:
            return BadRow(number=row.number, problem=f"names {column!r} twice; keep one")
        if isinstance(value, Unusable):
            missing[column] = value.why
            continue
        plain = _unpack(value, columns.meaning(column))
        if column in audio_columns and not _may_be_path(plain):
            problem = f"its {column} is {plain!r}, not a path or URL"
            return BadRow(number=row.number, problem=problem)
        text = cell_text(plain, kinds[name])
        if text is None:
            continue
        problem = _text_problem(column, text)
        if problem:
            return BadRow(number=row.number, problem=problem)
        values[column] = text
    return TableRow(
        number=row.number,
        values=values,
        missing=missing,
        folder=row.folder,
        cut=row.cut,
    )


def _may_be_path(value: object) -> bool:
    """Whether a value is text, or none; some formats write NaN, which equals nothing, for none."""
    if isinstance(value, float):
        return value != value
    return isinstance(value, str | None)


def _unpack(value: object, meaning: str) -> object:
    """Hugging Face's audio is {"path": ..., "bytes": ...}, a gold label {"label": ...}."""
    if not isinstance(value, dict):
        return value
    if meaning == "audio":
        return value.get("path")
    if meaning == "label" and "label" in value:
        return value["label"]
    return value


def _text_problem(column: str, text: str) -> str:
    """Why a text cannot be stored; "" when it can."""
    try:
        (column + text).encode()
    except UnicodeEncodeError:
        return f"its {column!r} is not Unicode text"
    if len(text) > MAX_VALUE:
        return f"its {column} is longer than {MAX_VALUE} characters"
    return ""
