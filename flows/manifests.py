"""Manifests: lists of recordings with what people know about them. CSV, TSV, JSON lines, Parquet, Kaldi folders, Lhotse."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from voxdata.errors import ConfigError

PATH_COLUMNS = ("path", "audio", "audio_filepath", "wav", "file", "uri")
"""The first of them that a row has says where its recording lies; "audio_filepath" is NeMo's."""

MAX_VALUE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One recording.

    Attributes:
        number: Its line or row in the file, from 1.
        uri: Absolute path or URL.
        metadata: Every other column that is not empty, as text.
    """

    number: int
    uri: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that names no recording, and why."""

    number: int
    problem: str


Record = Mapping[str, object] | BadRow


def read_manifest(path: Path, *, repeats: bool = False) -> tuple[list[ManifestRow], list[BadRow]]:
    """Read a manifest; a bad row costs itself only.

    Args:
        path: A .csv, .tsv, .jsonl, .ndjson (all of them also as .gz) or .parquet file, or a Kaldi folder (wav.scp, and if they are
            there utt2spk and text). JSON lines may be Lhotse recordings or cuts. Relative paths are relative to the manifest's folder.
        repeats: Whether a recording may be named by several rows, as when each tells of a part of it.

    Returns:
        Rows and bad rows. Without `repeats`, a recording named again with the same values is one row; with other values the later row
        is bad.

    Raises:
        ConfigError: The file is not there, is in none of these formats, or has no column that says where the recordings lie.
    """
    folder = path if path.is_dir() else path.parent
    good: dict[tuple[str, int], ManifestRow] = {}
    bad: list[BadRow] = []
    try:
        for number, record in _records(path):
            row = record if isinstance(record, BadRow) else _row(number, record, folder)
            same = good.get((row.uri, 0)) if isinstance(row, ManifestRow) else None
            if isinstance(row, BadRow):
                bad.append(row)
            elif repeats:
                good[row.uri, number] = row
            elif same is not None and same.metadata != row.metadata:
                bad.append(BadRow(number=number, problem=f"{row.uri} was named in row {same.number} with other values; keep one of them"))
            elif same is None:
                good[row.uri, 0] = row
    except csv.Error as error:
        raise ConfigError(f"{path}: is no table ({error})") from error
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); manifests are UTF-8 text or Parquet") from error
    return list(good.values()), bad


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    if path.is_dir() or path.name == "wav.scp":
        folder = path if path.is_dir() else path.parent
        if not (folder / "wav.scp").is_file():
            raise ConfigError(f"{folder}: is a folder without a wav.scp; name a manifest file, or ingest the folder without --manifest")
        return _kaldi(folder)
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    readers: dict[str, Callable[[IO[str]], Iterator[tuple[int, Record]]]] = {
        "csv": lambda file: _table(file, path, ","),
        "tsv": lambda file: _table(file, path, "\t"),
        "jsonl": _json_lines,
        "ndjson": _json_lines,
    }
    if kind == "parquet":
        return _parquet(path)
    if kind not in readers:
        raise ConfigError(f"{path}: a manifest is a .csv, .tsv, .jsonl or .parquet file or a Kaldi folder")
    return _text(path, readers[kind])


def _text(path: Path, read: Callable[[IO[str]], Iterator[tuple[int, Record]]]) -> Iterator[tuple[int, Record]]:
    with (
        gzip.open(path, "rt", encoding="utf-8-sig", newline="")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig", newline="") as file
    ):
        yield from read(file)


def _table(file: IO[str], path: Path, delimiter: str) -> Iterator[tuple[int, Record]]:
    reader = csv.DictReader(file, delimiter=delimiter)
    _check_columns(path, reader.fieldnames or ())
    for row in reader:
        if None in row:
            yield reader.line_num, BadRow(number=reader.line_num, problem="has more fields than the header")
        else:
            yield reader.line_num, row


def _json_lines(file: IO[str]) -> Iterator[tuple[int, Record]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, BadRow(number=number, problem=f"is not JSON ({error})")
            continue
        yield number, _lhotse(number, row) if isinstance(row, dict) else BadRow(number=number, problem="is not a JSON object")


def _lhotse(number: int, row: dict[str, Any]) -> Record:
    """A Lhotse recording or cut as a plain row; anything else as it is."""
    recording = row.get("recording", row)
    sources = recording.get("sources") if isinstance(recording, dict) else None
    if not isinstance(sources, list):
        return row
    if len(sources) != 1 or not isinstance(sources[0], dict) or sources[0].get("type") not in ("file", "url"):
        return BadRow(number=number, problem="is a Lhotse recording that is not one file or URL; mix its channels into one file first")
    custom, own, said = recording.get("custom") or {}, row.get("custom") or {}, row.get("supervisions") or []
    if not isinstance(custom, dict) or not isinstance(own, dict) or not isinstance(said, list):
        return BadRow(number=number, problem="is no Lhotse recording or cut: its custom fields or supervisions are of the wrong kind")
    known = {"lhotse_id": row.get("id"), "language": next((s["language"] for s in said if isinstance(s, dict) and s.get("language")), None)}
    return {"path": sources[0].get("source"), **known, **custom, **own}


def _parquet(path: Path) -> Iterator[tuple[int, Record]]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{path}: is no Parquet file ({str(error).splitlines()[0]})") from error
    _check_columns(path, frame.columns)
    yield from enumerate(frame.iter_rows(named=True), start=1)


def _kaldi(folder: Path) -> Iterator[tuple[int, Record]]:
    speakers, texts = _kaldi_map(folder / "utt2spk"), _kaldi_map(folder / "text")
    for number, line in enumerate((folder / "wav.scp").read_text(encoding="utf-8").splitlines(), start=1):
        name, where = (*line.split(maxsplit=1), "", "")[:2]
        if not name:
            continue
        if where.strip().endswith("|"):
            yield number, BadRow(number=number, problem="is a command; commands are not run: write its output to a file and name that")
            continue
        yield number, {"path": where.strip(), "kaldi_id": name, "speaker": speakers.get(name), "transcript": texts.get(name)}


def _kaldi_map(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0]: words[1].strip() for words in lines if len(words) == 2}


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    if not set(columns) & set(PATH_COLUMNS):
        raise ConfigError(
            f"{path}: no column says where the recordings lie; call one of them {', '.join(PATH_COLUMNS)} "
            "(in small letters; a .csv is separated by commas, a .tsv by tabs)"
        )


def _row(number: int, record: Mapping[str, object], folder: Path) -> ManifestRow | BadRow:
    column = next((name for name in PATH_COLUMNS if record.get(name)), None)
    if column is None:
        return BadRow(number=number, problem=f"names no recording; give it a {PATH_COLUMNS[0]}")
    where = record[column]
    if not isinstance(where, str) or not where.strip() or "\0" in where:
        return BadRow(number=number, problem=f"its {column} is {where!r}, not a path or URL")
    try:
        uri = where.strip() if "://" in where else str((folder / Path(where.strip()).expanduser()).absolute())
    except RuntimeError as error:  # "~nobody"
        return BadRow(number=number, problem=f"its {column} {where!r} leads nowhere ({error})")
    metadata = {name.strip(): text for name, value in record.items() if name != column and name and (text := _as_text(value)) is not None}
    odd = next((name for name, text in metadata.items() if not _is_unicode(name + text)), None)
    if odd is not None:
        return BadRow(number=number, problem=f"its {odd!r} is not Unicode text")
    long = next((name for name, text in metadata.items() if len(text) > MAX_VALUE), None)
    if long is not None:
        return BadRow(number=number, problem=f"its {long} is longer than {MAX_VALUE} characters")
    return ManifestRow(number=number, uri=uri, metadata=metadata)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _as_text(value: object) -> str | None:
    """A value as it is stored; None for nothing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return str(value)
