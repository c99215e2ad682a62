"""Reading what is to be audited: a table of anybody's, into one frame with known columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from voxdata.audit.findings import SCHEMA, SPLIT_NAMES, name_split
from voxdata.columns import unused_times
from voxdata.dataset import Split
from voxdata.errors import ConfigError
from voxdata.label_names import map_labels
from voxdata.name_key import name_key, unify_names
from voxdata.stretch import Stretch, read_stretch
from voxdata.tables.reach import Reach
from voxdata.tables.read import read_file
from voxdata.tables.table import RawRow, Table, TableRow, build_table

REQUIRED = ("audio", "label", "split")
MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTable:
    """Rows to audit.

    Attributes:
        name: Of the file.
        folder: What relative audio paths are relative to.
        frame: As `voxdata.audit.findings.SCHEMA` says.
        columns: Our name of a column -> its name in the file.
        remarks: What was taken for what and which rows were left out, for people.
    """

    name: str
    folder: Path
    frame: pl.DataFrame
    columns: Mapping[str, str]
    remarks: Sequence[str] = field(default=())


def read_table(
    path: Path, *, names: Mapping[str, str] | None = None, rename: Mapping[str, str] | None = None
) -> AuditTable:
    """Read a manifest.

    Args:
        path: What `voxdata.tables.read.read_file` reads.
        names: Our name of a column ("label", "speaker", ...) -> what it is called in the file,
            where that is not one of `voxdata.columns.NAMES`.
        rename: Label as written -> the label it is taken for.

    Raises:
        ConfigError: It is not there, in another format or encoding, lacks a column, has one twice,
            or nothing in it can be audited; the message says which row or column and what to do.
    """
    return _audit_table(read_file(path, chosen=names), rename or {})


def check_rows(
    rows: Sequence[Mapping[str, object]], *, origin: str, names: Mapping[str, str] | None = None
) -> AuditTable:
    """Rows from anywhere, such as the export of a version, as a table to audit.

    Args:
        rows: With the columns of the manifest.
        origin: What messages call it.
        names: See `read_table`.

    Raises:
        ConfigError: See `read_table`.
    """
    raw = [RawRow(number=number, values=row) for number, row in enumerate(rows, start=1)]
    return _audit_table(build_table(raw, origin=origin, folder=Path(), chosen=names), {})


def check_reach(table: AuditTable, path: Path, *, audio_root: Path | None, anywhere: bool) -> None:
    """Refuse a table that names files outside its folder and the audio root, before any of them is opened.

    Raises:
        ConfigError: Names the first row, and what allows it.
    """
    reach = Reach(folder=table.folder, root=audio_root, anywhere=anywhere)
    asked: dict[str, str] = {}
    outside: list[tuple[int, str]] = []
    for row, audio in table.frame.select("row", "audio").iter_rows():
        if audio not in asked:
            asked[audio] = reach.why_not(str(((audio_root or table.folder) / audio).absolute()))
        if asked[audio]:
            outside.append((row, asked[audio]))
    if outside:
        row, why = outside[0]
        raise ConfigError(
            f"{path}: {len(outside)} rows cannot be listened to, the first is row {row}: {why}, or listen to none (--no-audio)"
        )


def _audit_table(table: Table, rename: Mapping[str, str]) -> AuditTable:
    origin = table.origin
    for trouble in table.bad:
        raise ConfigError(
            f"{origin}: row {trouble.number} {trouble.problem}; correct it, since an audit leaves nothing out"
        )
    if not table.rows:
        raise ConfigError(f"{origin}: has no rows; there is nothing to audit")
    chosen = _check_columns(table)
    kept, left_out = _complete_rows(table, chosen)
    _check_splits(table, kept, chosen)
    labels = map_labels([_said(table, row, "label") for row in kept], rename)
    people = {
        key: unify_names(_said(table, row, key) for row in kept) for key in ("speaker", "session")
    }
    values: dict[str, list[object]] = {name: [] for name in SCHEMA}
    used: set[str] = set()
    for row in kept:
        stretch = Stretch() if row.cut else _stretch(table, row)
        used.update(stretch.used)
        found = {
            "row": row.number,
            "audio": _audio(table, row),
            "label": labels[_said(table, row, "label")],
            "split": name_split(_said(table, row, "split")),
            "text": _said(table, row, "text") or None,
            "start_s": stretch.start_s,
            "end_s": stretch.end_s,
            "channel": _channel(table, row),
            **{key: people[key][_said(table, row, key)] or None for key in people},
        }
        for name in SCHEMA:
            values[name].append(found[name])
    frame = pl.DataFrame(values, schema=dict(SCHEMA), strict=False)
    remarks = [*table.remarks, *_describe(table, kept, chosen, used)]
    remarks += [f"{old!r} is taken for {new!r}" for old, new in _merged(labels, *people.values())]
    if left_out:
        remarks.append(
            f"{len(left_out)} rows were left out: "
            + ", ".join(f"row {n} {why}" for n, why in left_out[:MAX_LISTED])
        )
    _check_usable(origin, frame, chosen, num_labels=len(set(labels)))
    return AuditTable(
        name=Path(origin).name,
        folder=table.folder.absolute(),
        frame=frame,
        columns=chosen,
        remarks=remarks,
    )


def _check_columns(table: Table) -> dict[str, str]:
    chosen = {
        key: name for key in table.columns.of if (name := table.columns.first(key)) is not None
    }
    missing = [key for key in REQUIRED if key not in chosen]
    if missing:
        raise ConfigError(
            f"{table.origin}: has no column {missing[0]!r}; it has {', '.join(table.columns.names) or 'none'}. Rename one"
            + (f", or say which with --{missing[0]} NAME" if missing[0] != "split" else "")
            + " (a .csv is separated by commas, a .tsv by tabs)"
        )
    return chosen


def _complete_rows(
    table: Table, chosen: Mapping[str, str]
) -> tuple[list[TableRow], list[tuple[int, str]]]:
    """Rows with audio, label and split, and what the others lack."""
    kept: list[TableRow] = []
    left_out: list[tuple[int, str]] = []
    for row in table.rows:
        lacking = next((key for key in REQUIRED if not _said(table, row, key)), None)
        if lacking is None:
            kept.append(row)
        elif row.values or row.missing:
            left_out.append((row.number, f"has no {chosen[lacking]}"))
    return kept, left_out


def _check_splits(table: Table, rows: Sequence[TableRow], chosen: Mapping[str, str]) -> None:
    said = [_said(table, row, "split") for row in rows]
    unknown = Counter(split for split in said if name_split(split) is None)
    if unknown:
        named = ", ".join(
            f"{name!r} ({count} rows)" for name, count in unknown.most_common(MAX_LISTED)
        )
        raise ConfigError(
            f"{table.origin}: column {chosen['split']!r} has {named}, which is no split; "
            "write train, validation (or dev, val) or test (or eval)"
        )


def _said(table: Table, row: TableRow, key: str) -> str:
    return table.columns.value(row.values, key) or ""


def _audio(table: Table, row: TableRow) -> str:
    """The path as written; beside a folder of its own when the row has one, as in Kaldi's."""
    said = _said(table, row, "audio")
    return said if row.folder is None else str((row.folder / said).absolute())


def _describe(
    table: Table, rows: Sequence[TableRow], chosen: Mapping[str, str], used: set[str]
) -> list[str]:
    remarks = [
        f"column {column!r} is read as {key}"
        for key, column in chosen.items()
        if column != key and (key not in ("start", "end", "duration") or column in used)
    ]
    splits = {_said(table, row, "split") for row in rows}
    known = {*SPLIT_NAMES, *(name.capitalize() for name in SPLIT_NAMES)}
    remarks += [
        f"split {name!r} is read as {name_split(name)}"
        for name in sorted(splits & known)
        if name_split(name) != name
    ]
    unused = unused_times(table.columns, used)
    if unused:
        remarks.append(
            f"not used as a time: {', '.join(unused)}; a clip is given by start and end, or start and duration"
        )
    return remarks


def _merged(*names: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted({(old, new) for mapping in names for old, new in mapping.items() if old != new})


def _check_usable(
    origin: str, frame: pl.DataFrame, columns: Mapping[str, str], *, num_labels: int
) -> None:
    # Labels that only look the same were one when this was read; what else is wrong is still worth
    # saying.
    if frame.is_empty():
        raise ConfigError(
            f"{origin}: no row has {', '.join(columns[key] for key in REQUIRED)}; fill them in"
        )
    present = set(frame["split"].unique().to_list())
    for split in (Split.TRAIN, Split.TEST):
        if split.value not in present:
            raise ConfigError(
                f"{origin}: no row is in the {split.value} split (column {columns['split']!r} has {', '.join(sorted(present))}); "
                "a split is audited between train and test"
            )
    if num_labels < 2:
        raise ConfigError(
            f"{origin}: all {frame.height} rows have the label {frame['label'][0]!r}; name another column with --label"
        )


def _channel(table: Table, row: TableRow) -> int | None:
    text = name_key(_said(table, row, "channel"))
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigError(
            f"{table.origin}: row {row.number} has {text!r} as channel; channels are numbered from 0"
        )
    return int(text)


def _stretch(table: Table, row: TableRow) -> Stretch:
    stretch = read_stretch(row.values, table.columns)
    if stretch.problem:
        raise ConfigError(f"{table.origin}: row {row.number}: {stretch.problem}")
    return stretch
