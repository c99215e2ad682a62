"""Reading what is to be audited: a table of anybody's, into one frame with known columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from voxdata.audit.findings import SCHEMA, SPLIT_NAMES, name_split
from voxdata.columns import TIMES, unused_times
from voxdata.counted import counted
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
        name: The name of the file.
        folder: What relative audio paths are relative to.
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        columns: Our name of a column -> its name in the file.
        remarks: What was taken for what and which rows were left out, for people.
    """

    name: str
    folder: Path
    frame: pl.DataFrame
    columns: Mapping[str, str]
    remarks: Sequence[str] = field(default=())


def read_table(
    path: Path,
    *,
    names: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
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
    table = read_file(path, chosen=names)
    return _audit_table(table, rename or {})


def check_rows(
    rows: Sequence[Mapping[str, object]],
    *,
    origin: str,
    names: Mapping[str, str] | None = None,
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
    table = build_table(
        raw,
        origin=origin,
        folder=Path(),
        chosen=names,
    )
    return _audit_table(table, {})


def check_reach(
    table: AuditTable,
    path: Path,
    *,
    audio_root: Path | None,
    anywhere: bool,
) -> None:
    """Refuse a table that names files outside its folder and the audio root.

    None of its files is opened before that.

    Raises:
        ConfigError: Names the first row, and what allows it.
    """
    reach = Reach(
        folder=table.folder,
        root=audio_root,
        anywhere=anywhere,
    )
    base = audio_root or table.folder
    problems: dict[str, str] = {}
    outside: list[tuple[int, str]] = []
    for row, audio in table.frame.select("row", "audio").iter_rows():
        if audio not in problems:
            location = (base / audio).absolute()
            problems[audio] = reach.why_not(str(location))
        if problems[audio]:
            outside.append((row, problems[audio]))
    if outside:
        row, why = outside[0]
        rows = counted(len(outside), "row")
        raise ConfigError(
            f"{path}: {rows} cannot be listened to, "
            f"the first is row {row}: {why}, or listen to none (--no-audio)"
        )


def _audit_table(table: Table, rename: Mapping[str, str]) -> AuditTable:
    _check_complete(table)
    columns = _check_columns(table)
    rows, incomplete = _complete_rows(table, columns)
    _check_splits(table, rows, columns)
    written = [_cell(table, row, "label") for row in rows]
    names = {
        "label": map_labels(written, rename),
        "speaker": unify_names(_cell(table, row, "speaker") for row in rows),
        "session": unify_names(_cell(table, row, "session") for row in rows),
    }
    frame, used = _build_frame(table, rows, names)

    remarks = [*table.remarks, *_describe(table, rows, columns, used)]
    for old, new in _merged(names.values()):
        remarks.append(f"{old!r} is taken for {new!r}")
    if incomplete:
        listed = ", ".join(incomplete[:MAX_LISTED])
        rows_were = counted(len(incomplete), "row was", "rows were")
        remarks.append(f"{rows_were} left out: {listed}")
    _check_usable(
        table.origin,
        frame,
        columns,
        num_labels=len(names["label"]),
    )
    return AuditTable(
        name=Path(table.origin).name,
        folder=table.folder.absolute(),
        frame=frame,
        columns=columns,
        remarks=remarks,
    )


def _check_complete(table: Table) -> None:
    if table.bad:
        bad = table.bad[0]
        remedy = "correct it, since an audit leaves nothing out"
        raise ConfigError(f"{table.origin}: row {bad.number} {bad.problem}; {remedy}")
    if not table.rows:
        raise ConfigError(f"{table.origin}: has no rows; there is nothing to audit")


def _build_frame(
    table: Table,
    rows: Sequence[TableRow],
    names: Mapping[str, Mapping[str, str]],
) -> tuple[pl.DataFrame, set[str]]:
    """The rows as `SCHEMA` describes them, and the columns that times were taken from.

    Args:
        names: "label", "speaker" and "session" -> name as written -> what it is taken for.
    """
    values: dict[str, list[object]] = {name: [] for name in SCHEMA}
    used: set[str] = set()
    for row in rows:
        stretch = Stretch() if row.cut else _stretch(table, row)
        used.update(stretch.used)
        label = _cell(table, row, "label")
        speaker = _cell(table, row, "speaker")
        session = _cell(table, row, "session")
        cells: dict[str, object] = {
            "row": row.number,
            "audio": _audio(table, row),
            "label": names["label"][label],
            "split": name_split(_cell(table, row, "split")),
            "text": _cell(table, row, "text") or None,
            "start_s": stretch.start_s,
            "end_s": stretch.end_s,
            "channel": _channel(table, row),
            "speaker": names["speaker"][speaker] or None,
            "session": names["session"][session] or None,
        }
        for name in SCHEMA:
            values[name].append(cells[name])
    return pl.DataFrame(values, schema=dict(SCHEMA), strict=False), used


def _check_columns(table: Table) -> dict[str, str]:
    """Meaning of a column -> its name in the file."""
    columns: dict[str, str] = {}
    for meaning in table.columns.of:
        name = table.columns.first(meaning)
        if name is not None:
            columns[meaning] = name

    for meaning in REQUIRED:
        if meaning in columns:
            continue
        present = ", ".join(table.columns.names) or "none"
        option = f", or name it with --{meaning} NAME"
        if meaning == "split":
            option = ""
        raise ConfigError(
            f"{table.origin}: has no column {meaning!r}; it has {present}. "
            f"Rename one{option} (a .csv is separated by commas, a .tsv by tabs)"
        )
    return columns


def _complete_rows(table: Table, columns: Mapping[str, str]) -> tuple[list[TableRow], list[str]]:
    """Rows with audio, label and split, and in words what the others lack."""
    complete: list[TableRow] = []
    incomplete: list[str] = []
    for row in table.rows:
        lacking = [meaning for meaning in REQUIRED if not _cell(table, row, meaning)]
        if not lacking:
            complete.append(row)
        elif row.values or row.missing:
            column = columns[lacking[0]]
            incomplete.append(f"row {row.number} has no {column}")
    return complete, incomplete


def _check_splits(
    table: Table,
    rows: Sequence[TableRow],
    columns: Mapping[str, str],
) -> None:
    splits = [_cell(table, row, "split") for row in rows]
    unknown = Counter(split for split in splits if name_split(split) is None)
    if not unknown:
        return
    listed = []
    for name, count in unknown.most_common(MAX_LISTED):
        listed.append(f"{name!r} ({counted(count, 'row')})")
    named = ", ".join(listed)
    raise ConfigError(
        f"{table.origin}: column {columns['split']!r} has {named}, which is no split; "
        "write train, validation (or dev, val) or test (or eval)"
    )


def _cell(table: Table, row: TableRow, meaning: str) -> str:
    return table.columns.value(row.values, meaning) or ""


def _audio(table: Table, row: TableRow) -> str:
    """The path as written; beside a folder of its own when the row has one, as in Kaldi's."""
    written = _cell(table, row, "audio")
    if row.folder is None:
        return written
    return str((row.folder / written).absolute())


def _describe(
    table: Table,
    rows: Sequence[TableRow],
    columns: Mapping[str, str],
    used: set[str],
) -> list[str]:
    """How columns and splits were read, for people."""
    remarks = []
    for meaning, column in columns.items():
        is_idle = meaning in TIMES and column not in used
        if column != meaning and not is_idle:
            remarks.append(f"column {column!r} is read as {meaning}")

    capitalised = {name.capitalize() for name in SPLIT_NAMES}
    ordinary = {*SPLIT_NAMES, *capitalised}
    splits = {_cell(table, row, "split") for row in rows}
    for name in sorted(splits & ordinary):
        split = name_split(name)
        if split != name:
            remarks.append(f"split {name!r} is read as {split}")

    unused = unused_times(table.columns, used)
    if unused:
        rule = "a clip is given by start and end, or start and duration"
        remarks.append(f"not used as a time: {', '.join(unused)}; {rule}")
    return remarks


def _merged(mappings: Iterable[Mapping[str, str]]) -> list[tuple[str, str]]:
    """(name as written, what it is taken for) where these differ, sorted."""
    pairs: set[tuple[str, str]] = set()
    for mapping in mappings:
        pairs.update(mapping.items())
    return sorted((old, new) for old, new in pairs if old != new)


def _check_usable(
    origin: str,
    frame: pl.DataFrame,
    columns: Mapping[str, str],
    *,
    num_labels: int,
) -> None:
    # Labels that only look the same were one when this was read; what else is wrong is still worth
    # saying.
    if frame.is_empty():
        required = ", ".join(columns[meaning] for meaning in REQUIRED)
        raise ConfigError(f"{origin}: no row has {required}; fill them in")
    present = set(frame["split"].unique().to_list())
    for split in (Split.TRAIN, Split.TEST):
        if split.value not in present:
            names = ", ".join(sorted(present))
            raise ConfigError(
                f"{origin}: no row is in the {split.value} split "
                f"(column {columns['split']!r} has {names}); "
                "a split is audited between train and test"
            )
    if num_labels < 2:
        raise ConfigError(
            f"{origin}: all {frame.height} rows have the label {frame['label'][0]!r}; "
            "name another column with --label"
        )


def _channel(table: Table, row: TableRow) -> int | None:
    text = name_key(_cell(table, row, "channel"))
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigError(
            f"{table.origin}: row {row.number} has {text!r} as channel; "
            "channels are numbered from 0"
        )
    return int(text)


def _stretch(table: Table, row: TableRow) -> Stretch:
    stretch = read_stretch(row.values, table.columns)
    if stretch.problem:
        raise ConfigError(f"{table.origin}: row {row.number}: {stretch.problem}")
    return stretch
