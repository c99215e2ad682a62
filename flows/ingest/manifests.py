"""Manifests: lists of recordings with what people know about them, as ingestion reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from voxdata.columns import NAMES, TIMES, unused_times
from voxdata.errors import ConfigError
from voxdata.tables.reach import Reach
from voxdata.tables.read import read_file
from voxdata.tables.table import BadRow, Table, TableRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One recording.

    Attributes:
        number: Its line or row in the file, from 1.
        uri: Absolute path or URL.
        metadata: Every other column that is not empty, as text.
        repeats: How many further rows say the same.
    """

    number: int
    uri: str
    metadata: Mapping[str, str]
    repeats: int = 0


def read_manifest(
    path: Path, *, reach: Reach | None = None
) -> tuple[list[ManifestRow], list[BadRow]]:
    """Read a manifest of recordings; a bad row costs itself only.

    Args:
        path: See `voxdata.tables.read.read_file`. Relative paths are relative to the manifest's
            folder, or to the audio root.
        reach: Where relative paths lead; whether they may be read is asked by who reads them.

    Returns:
        Rows and bad rows; with what rows repeat they are all rows of the file. A recording named
        again with the same values is one row; with other values the later row is bad.

    Raises:
        ConfigError: The file cannot be read, or has no column that says where the recordings lie.
    """
    table = read_file(path, per_recording=True)
    return name_recordings(table, reach or Reach(folder=table.folder))


def name_recordings(table: Table, reach: Reach) -> tuple[list[ManifestRow], list[BadRow]]:
    """The recordings that the rows of a table name; see `read_manifest`.

    Raises:
        ConfigError: No column says where the recordings lie.
    """
    check_has_audio(table)
    good: dict[str, ManifestRow] = {}
    bad = list(table.bad)
    for found in table.rows:
        row = locate_row(table, found, reach)
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        same = good.setdefault(row.uri, row)
        if same is row:
            continue
        if same.metadata == row.metadata:
            good[row.uri] = replace(same, repeats=same.repeats + 1)
        else:
            problem = (
                f"{row.uri} was named in row {same.number} with other values; keep one of them"
            )
            bad.append(BadRow(number=row.number, problem=problem))
    return list(good.values()), sorted(bad, key=lambda row: row.number)


def locate_row(table: Table, row: TableRow, reach: Reach) -> ManifestRow | BadRow:
    """The file or URL that a row names, with its other values."""
    column = table.columns.find(row.values, "audio")
    if column is None:
        named = table.columns.first("audio") or NAMES["audio"][0]
        return BadRow(number=row.number, problem=f"names no recording; give it a {named}")
    where = row.values[column]
    if "\0" in where:
        return BadRow(number=row.number, problem=f"its {column} is {where!r}, not a path or URL")
    try:
        uri = reach.locate(where, beside=row.folder)
    except ValueError as error:
        return BadRow(number=row.number, problem=f"its {column} {error}")
    metadata = {name: text for name, text in row.values.items() if name != column}
    return ManifestRow(number=row.number, uri=uri, metadata=metadata)


def check_has_audio(table: Table) -> None:
    """Refuse a table none of whose columns says where the recordings lie.

    Raises:
        ConfigError: Lists the names that such a column may have.
    """
    if table.columns.of.get("audio") or (table.bad and not table.rows):
        return
    names = table.columns.names
    divided = f"; it has {', '.join(names) or 'none'}"
    if len(names) == 1 and ";" in names[0]:
        divided = "; its header is divided by ';': write a line `sep=;` before it"
    raise ConfigError(
        f"{table.origin}: no column names the recordings{divided}. "
        f"Call it one of {', '.join(NAMES['audio'])} "
        "(a .csv is separated by commas, a .tsv by tabs)"
    )


def describe_times(table: Table) -> list[str]:
    """What to say about columns of parts of recordings, since ingestion takes whole ones."""
    columns = table.columns
    starts = [name for key in ("start", "end") for name in columns.of.get(key, ())]
    lengths = list(columns.of.get("duration", ())) if starts else []
    named = [
        name
        for name in columns.names
        if name in {*starts, *lengths, *unused_times(columns, _times(columns.of))}
    ]
    if not named:
        return []
    return [
        f"not used: {', '.join(named)}; whole recordings are ingested, "
        "and `voxdata import` takes parts of them"
    ]


def _times(of: Mapping[str, tuple[str, ...]]) -> list[str]:
    return [name for key in TIMES for name in of.get(key, ())]
