"""Labelled clips of others, as rows that say all that an example needs but its sound.

Nothing is written here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flows.ingest.manifests import ManifestRow, check_has_audio, locate_row
from voxdata.audit.findings import name_split
from voxdata.columns import column_key, unused_times
from voxdata.dataset import Split
from voxdata.errors import ConfigError
from voxdata.label_names import describe_near_labels, find_near_labels, map_labels
from voxdata.name_key import find_near_names, unify_names
from voxdata.stretch import Stretch, read_stretch
from voxdata.tables.reach import Reach
from voxdata.tables.read import Format, read_dataset
from voxdata.tables.table import BadRow, Table, TableRow

MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRow:
    """A row that says all that an example needs, before its sound is read.

    Attributes:
        uri: Where its sound lies.
        speaker: "" when the row does not say.
    """

    number: int
    uri: str
    label: str
    split: Split
    speaker: str
    text: str
    language: str
    channel: str
    stretch: Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """What a table says.

    Attributes:
        rows: Those that name a label, a split and a file that may be read.
        bad: The others.
        remarks: What people should know about how it was read.
    """

    rows: tuple[LabelledRow, ...]
    bad: tuple[BadRow, ...]
    remarks: tuple[str, ...]


def read_labelled(
    path: Path,
    *,
    kind: Format,
    scratch: Path,
    label: str = "label",
    audio_root: Path | None = None,
    anywhere: bool = False,
    rename: Mapping[str, str] | None = None,
    known: Sequence[str] = (),
) -> LabelledRows:
    """Read labelled clips of any format.

    Names that look the same get one spelling: of a label the scheme's, else the first.

    Args:
        path: What `voxdata.tables.read.read_dataset` reads as a `kind`.
        scratch: Empty folder for sound that is no file by itself; keep it until the rows were used.
        label: The column of the labels.
        audio_root: What paths are relative to; else the table's folder.
        anywhere: Whether rows may name files outside both.
        rename: Label as written -> the label it is taken for.
        known: Labels of the scheme.

    Raises:
        ConfigError: The table cannot be read or lacks a column, or a renamed label is in no row.
    """
    if audio_root is not None and not audio_root.is_dir():
        raise ConfigError(
            f"--audio-root {audio_root} is no folder; name the one that the recordings lie in"
        )
    folder = path if path.is_dir() else path.parent
    reach = Reach(folder=folder, root=audio_root, anywhere=anywhere, own=scratch)
    chosen = {"label": label} if column_key(label) != "label" else None
    table = read_dataset(path, kind=kind, scratch=scratch, reach=reach, chosen=chosen)
    _check_columns(table)
    rows, bad = _read_rows(table, reach)
    rows, remarks_on_names = _settle_names(rows, rename=rename or {}, known=known)
    remarks = (*table.remarks, *_describe_times(table, rows), *remarks_on_names)
    return LabelledRows(rows=tuple(rows), bad=tuple(bad), remarks=remarks)


def _check_columns(table: Table) -> None:
    check_has_audio(table)
    for key in ("label", "split"):
        column = table.columns.first(key)
        is_filled = any(column in row.values or column in row.missing for row in table.rows)
        if table.rows and not is_filled:
            names = ", ".join(sorted(table.columns.names)) or "none"
            wanted = repr(column or key)
            raise ConfigError(
                f"{table.origin}: has no column {wanted}, or nothing in it; there are {names}"
            )


def _read_rows(table: Table, reach: Reach) -> tuple[list[LabelledRow], list[BadRow]]:
    """What the rows say, and the rows that do not say enough or name what may not be read."""
    rows: list[LabelledRow] = []
    bad = list(table.bad)
    for row in table.rows:
        located = locate_row(table, row, reach)
        labelled = located if isinstance(located, BadRow) else _labelled(table, row, located, reach)
        if isinstance(labelled, BadRow):
            bad.append(labelled)
        else:
            rows.append(labelled)
    return rows, bad


def _labelled(
    table: Table, row: TableRow, located: ManifestRow, reach: Reach
) -> LabelledRow | BadRow:
    columns = table.columns
    values = {key: columns.value(row.values, key) or "" for key in columns.of}
    label, split = values.get("label", ""), name_split(values.get("split", ""))
    column = columns.first("label") or "label"
    stretch = Stretch() if row.cut else read_stretch(row.values, columns)
    why = ""
    if split is None:
        why = f"its split is {values.get('split') or None!r}; write train, validation or test"
    elif not label:
        why = (
            f"its {column} {row.missing[column]}"
            if column in row.missing
            else f"it has no {column}"
        )
    else:
        why = stretch.problem or _unreadable(located.uri, reach)
    if why or split is None:
        return BadRow(number=row.number, problem=why)
    texts = {key: values.get(key, "") for key in ("speaker", "text", "language", "channel")}
    return LabelledRow(
        number=row.number, uri=located.uri, label=label, split=split, stretch=stretch, **texts
    )


def _unreadable(uri: str, reach: Reach) -> str:
    if "://" in uri:
        return f"{uri} is a URL; copy the clips here first"
    outside = reach.why_not(uri)
    if outside:
        return outside
    return "" if Path(uri).is_file() else f"{uri}: there is no such file"


def _settle_names(
    rows: Sequence[LabelledRow], *, rename: Mapping[str, str], known: Sequence[str]
) -> tuple[list[LabelledRow], list[str]]:
    """Rows with one spelling for names that look the same, and what to say about names that nearly
    do.
    """
    labels = map_labels([row.label for row in rows], rename, first=known)
    people = unify_names(row.speaker for row in rows)
    settled = [replace(row, label=labels[row.label], speaker=people[row.speaker]) for row in rows]
    spellings = {*labels.items(), *people.items()}
    merged = sorted((old, new) for old, new in spellings if old != new)
    remarks = [f"{old!r} is taken for {new!r}" for old, new in merged]
    near = find_near_labels(Counter(row.label for row in settled))
    if near:
        remarks.append(
            f"labels that look like slips: {describe_near_labels(near)}; "
            "--rename OLD=NEW makes them one"
        )
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in settled:
        if row.speaker:
            splits[row.speaker].add(row.split.value)
    alike = find_near_names(splits)
    if alike:
        named = "; ".join(" and ".join(map(repr, group)) for group in alike[:MAX_NAMED])
        remarks.append(
            f"speakers in different splits with nearly the same name: {named}; "
            "write one name if they are one person"
        )
    return settled, remarks


def _describe_times(table: Table, rows: Sequence[LabelledRow]) -> list[str]:
    used = set().union(*(row.stretch.used for row in rows))
    unused = unused_times(table.columns, used)
    if not unused or not rows:
        return []
    return [
        f"not used as a time: {', '.join(unused)}; a clip is given by start and end, "
        "or start and duration"
    ]
