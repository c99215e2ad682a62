"""Reading what is to be audited: a CSV, TSV, JSON lines or Parquet file of anybody's, into one table with known columns."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from voxdata.audit import SCHEMA, SPLIT_NAMES, name_split
from voxdata.dataset import Split
from voxdata.errors import ConfigError

ALIASES: Mapping[str, tuple[str, ...]] = {
    "audio": ("audio", "audio_file", "audio_filepath", "path", "wav", "file", "filename", "file_name"),
    "label": ("label", "target", "class"),
    "speaker": ("speaker", "voice", "speaker_id", "spk", "client_id"),
    "split": ("split", "subset", "partition", "set", "fold"),
    "text": ("text", "transcript", "transcription", "sentence"),
    "session": ("session", "call", "recording", "session_id", "call_id", "recording_id", "conversation"),
    "start": ("start", "start_s", "start_time", "offset", "start_ms"),
    "end": ("end", "end_s", "end_time", "end_ms"),
    "channel": ("channel",),
}
"""Column -> what it may be called, likeliest first; small letters or not."""

REQUIRED = ("audio", "label", "split")
MAX_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTable:
    """Rows to audit.

    Attributes:
        name: Of the file.
        frame: As `voxdata.audit.SCHEMA` says.
        columns: Our name of a column -> its name in the file.
        remarks: What was taken for what and which rows were left out, for people.
    """

    name: str
    frame: pl.DataFrame
    columns: Mapping[str, str]
    remarks: Sequence[str] = field(default=())


def read_table(path: Path, *, names: Mapping[str, str] | None = None) -> AuditTable:
    """Read a manifest.

    Args:
        path: A .csv, .tsv, .jsonl, .ndjson or .parquet file, text in UTF-8.
        names: Our name of a column ("label", "speaker", ...) -> what it is called in the file, where that is not one of ALIASES.

    Raises:
        ConfigError: It is not there, in another format or encoding, lacks a column, has one twice, or nothing in it can be audited; the
            message says which row or column and what to do.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; name a .csv, .tsv, .jsonl or .parquet manifest")
    kind = path.suffix.lower()
    if kind == ".parquet":
        try:
            frame = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConfigError(f"{path}: is no Parquet file ({str(error).splitlines()[0]})") from error
        return check_rows(list(frame.iter_rows(named=True)), origin=str(path), names=names, columns=frame.columns)
    if kind in (".csv", ".tsv"):
        columns, rows = _read_csv(path, _read_text(path), "," if kind == ".csv" else "\t")
        return check_rows(rows, origin=str(path), names=names, columns=columns, first_row=2)
    if kind in (".jsonl", ".ndjson"):
        return check_rows(_read_json(path, _read_text(path)), origin=str(path), names=names, first_row=1)
    raise ConfigError(f"{path}: files ending in {kind or 'nothing'} are not read; save it as .csv, .tsv, .jsonl or .parquet")


def check_rows(
    rows: Sequence[Mapping[str, object]],
    *,
    origin: str,
    names: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
    first_row: int = 1,
) -> AuditTable:
    """Rows from anywhere, such as the export of a version, as a table to audit.

    Args:
        rows: With the columns of the manifest.
        origin: What messages call it.
        names: See `read_table`.
        columns: Those of all rows; None takes what occurs in any.
        first_row: Number of the first one.

    Raises:
        ConfigError: See `read_table`.
    """
    if not rows:
        raise ConfigError(f"{origin}: has no rows; there is nothing to audit")
    known = list(columns) if columns is not None else sorted({name for row in rows for name in row})
    chosen = _choose_columns(origin, known, names or {})
    scale = {key: 0.001 if chosen.get(key, "").lower().endswith("_ms") else 1.0 for key in ("start", "end")}
    data: dict[str, list[object]] = {name: [] for name in SCHEMA}
    left_out: list[tuple[int, str]] = []
    unknown: Counter[str] = Counter()
    for number, row in enumerate(rows, start=first_row):
        if not row:  # an empty line
            continue
        value = {key: _text(row.get(column)) for key, column in chosen.items()}
        lacking = [key for key in REQUIRED if not value[key]]
        split = name_split(value["split"] or "")
        if lacking:
            left_out.append((number, f"has no {chosen[lacking[0]]}"))
            continue
        if split is None:
            unknown[str(value["split"])] += 1
            continue
        start, end = (_seconds(origin, number, chosen.get(key, key), value.get(key), scale[key]) for key in ("start", "end"))
        if start is not None and end is not None and end <= start:
            raise ConfigError(f"{origin}: row {number} ends at {end:g} s, before it starts at {start:g} s; correct it")
        channel = _channel(origin, number, value.get("channel"))
        found = {"row": number, "split": split.value, "start_s": start, "end_s": end, "channel": channel}
        for name in SCHEMA:
            data[name].append(found[name] if name in found else value.get(name))
    if unknown:
        said = ", ".join(f"{name!r} ({count} rows)" for name, count in unknown.most_common(MAX_LISTED))
        raise ConfigError(
            f"{origin}: column {chosen['split']!r} has {said}, which is no split; write train, validation (or dev, val) or test (or eval)"
        )
    frame = pl.DataFrame(data, schema=dict(SCHEMA), strict=False)
    remarks = [f"column {column!r} is read as {key}" for key, column in chosen.items() if column != key]
    used = {str(_text(row.get(chosen["split"]))) for row in rows} & {*SPLIT_NAMES, *(n.capitalize() for n in SPLIT_NAMES)}
    remarks += [f"split {name!r} is read as {name_split(name)}" for name in sorted(used) if name_split(name) != name]
    if left_out:
        remarks.append(f"{len(left_out)} rows were left out: " + ", ".join(f"row {n} {why}" for n, why in left_out[:MAX_LISTED]))
    _check_usable(origin, frame, chosen)
    return AuditTable(name=Path(origin).name, frame=frame, columns=chosen, remarks=remarks)


def _choose_columns(origin: str, known: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    twice = [name for name, count in Counter(known).items() if count > 1]
    if twice:
        raise ConfigError(f"{origin}: the column {twice[0]!r} is in the header twice; rename or remove one")
    lower = {name.strip().casefold(): name for name in reversed(known)}
    chosen: dict[str, str] = {}
    for key, aliases in ALIASES.items():
        if key in names:
            if names[key] not in known:
                raise ConfigError(f"{origin}: has no column {names[key]!r} for --{key}; it has {', '.join(known)}")
            chosen[key] = names[key]
        else:
            alias = next((lower[a] for a in aliases if a in lower and lower[a] not in names.values()), None)
            if alias is not None:
                chosen[key] = alias
    missing = [key for key in REQUIRED if key not in chosen]
    if missing:
        raise ConfigError(
            f"{origin}: has no column {missing[0]!r}; it has {', '.join(known) or 'none'}. Rename one"
            + (f", or say which with --{missing[0]} NAME" if missing[0] != "split" else "")
            + " (a .csv is separated by commas, a .tsv by tabs)"
        )
    return chosen


def _check_usable(origin: str, frame: pl.DataFrame, columns: Mapping[str, str]) -> None:
    if frame.is_empty():
        raise ConfigError(f"{origin}: no row has {', '.join(columns[key] for key in REQUIRED)}; fill them in")
    present = set(frame["split"].unique().to_list())
    for split in (Split.TRAIN, Split.TEST):
        if split.value not in present:
            raise ConfigError(
                f"{origin}: no row is in the {split.value} split (column {columns['split']!r} has {', '.join(sorted(present))}); "
                "a split is audited between train and test"
            )
    if frame["label"].n_unique() < 2:
        raise ConfigError(f"{origin}: all {frame.height} rows have the label {frame['label'][0]!r}; name another column with --label")


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); make it readable") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        kind = "UTF-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "not UTF-8"
        raise ConfigError(f"{path}: line {line} is {kind} text; save the file as UTF-8 (`iconv -f OLD -t UTF-8`)") from error


def _read_csv(path: Path, text: str, delimiter: str) -> tuple[list[str], list[dict[str, object]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[dict[str, object]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for number, fields in enumerate(reader, start=2):
            if len(fields) > len(header):
                raise ConfigError(
                    f"{path}: row {number} has {len(fields)} fields, the header {len(header)}; quote fields with {delimiter!r}"
                )
            rows.append(dict(zip(header, fields, strict=False)))
    except csv.Error as error:
        raise ConfigError(f"{path}: line {reader.line_num} is no table row ({error})") from error
    return header, rows


def _read_json(path: Path, text: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            rows.append({})
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: line {number} is not JSON ({error}); a .jsonl file has one object a line") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {number} is no JSON object; a .jsonl file has one object a line")
        rows.append(row)
    return rows


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, dict):  # Hugging Face's audio: {"path": ..., "bytes": ...}; gold: {"label": ...}
        value = value.get("path") or value.get("label")
    return (str(value).strip() or None) if value is not None else None


def _channel(origin: str, number: int, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise ConfigError(f"{origin}: row {number} has {text!r} as channel; channels are numbered from 0")
    return int(text)


def _seconds(origin: str, number: int, column: str, text: str | None, scale: float) -> float | None:
    if text is None:
        return None
    try:
        value = float(text) * scale
    except ValueError as error:
        raise ConfigError(f"{origin}: row {number} has {text!r} as {column}, which is no number of seconds; correct it") from error
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{origin}: row {number} has {text!r} as {column}; seconds from the start of the file are 0 and more")
    return value
