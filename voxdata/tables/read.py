"""The one door by which tables come in: ingestion, import and audit read through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from voxdata.errors import ConfigError
from voxdata.tables.delimited import read_delimited
from voxdata.tables.json_rows import looks_like_json, read_json
from voxdata.tables.kaldi import find_kaldi_folders, read_recordings, read_utterances
from voxdata.tables.lhotse_json import expand_lhotse
from voxdata.tables.libraries import read_audformat, read_huggingface, read_lhotse
from voxdata.tables.parquet import MAGIC, read_parquet
from voxdata.tables.reach import Reach
from voxdata.tables.table import RawRow, Table, build_table
from voxdata.tables.text import decode_text, read_bytes

Format = Literal["manifest", "kaldi", "lhotse", "huggingface", "audformat"]

_DELIMITED = {"csv": False, "tsv": True}
_JSON = ("jsonl", "ndjson", "json")


def read_file(
    path: Path,
    *,
    chosen: Mapping[str, str] | None = None,
    per_recording: bool = False,
) -> Table:
    """Read a manifest: CSV, TSV, JSON lines (Lhotse's too), Parquet, or a Kaldi folder.

    A file may be packed as .gz.

    Args:
        chosen: Meaning of a column ("label", "speaker", ...) -> what it is called in the file,
            where the user says so.
        per_recording: Whether rows are recordings; else they are clips, and a Kaldi or Lhotse
            recording has one for each utterance.

    Raises:
        ConfigError: It is not there, is in none of these formats, in another encoding than UTF-8,
            or has a column twice.
    """
    if path.is_dir() or path.name == "wav.scp":
        return _kaldi(path, chosen, per_recording)
    columns, rows = _read_rows(path, per_recording=per_recording)
    return build_table(
        rows,
        origin=str(path),
        folder=path.parent,
        columns=columns,
        chosen=chosen,
    )


def _read_rows(path: Path, *, per_recording: bool) -> tuple[list[str] | None, list[RawRow]]:
    """The header of a file, None for JSON, and its rows."""
    raw = read_bytes(path)
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if raw[:4] == MAGIC or kind == "parquet":
        return read_parquet(raw, path)
    is_table = kind in _DELIMITED
    is_json = kind in _JSON
    if not is_table and not is_json and not _may_be_json(raw):
        raise _unknown_format(path)

    text = decode_text(raw, path)
    # The first line shows whether it is JSON, whatever the file is called; a table in which a row
    # begins so is not valid JSON there.
    if is_json or looks_like_json(text):
        rows: list[RawRow] = []
        for row in read_json(text):
            rows.extend(expand_lhotse(row, per_recording=per_recording))
        return None, rows
    if not is_table:
        raise _unknown_format(path)
    return read_delimited(text, path, tabs=_DELIMITED[kind])


def _may_be_json(raw: bytes) -> bool:
    begin = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
    return begin.startswith((b"{", b"["))


def _unknown_format(path: Path) -> ConfigError:
    formats = "a .csv, .tsv, .jsonl or .parquet file or a Kaldi folder"
    return ConfigError(f"{path}: a manifest is {formats}")


def read_dataset(
    path: Path,
    *,
    kind: Format,
    scratch: Path,
    reach: Reach,
    chosen: Mapping[str, str] | None = None,
) -> Table:
    """Read somebody's labelled clips in the format they say.

    Args:
        path: "manifest": see `read_file`. "kaldi": a folder with wav.scp, or one with such a folder
            a split. "lhotse": a file of cuts, a Shar folder, or a folder with a Shar folder a
            split. "huggingface": a folder that `datasets.load_from_disk` or `datasets.load_dataset`
            reads. "audformat": the folder of a database.
        scratch: Empty folder for sound that is no file by itself; keep it until the rows were used.

    Raises:
        ConfigError: The path cannot be read as what it is said to be, or the library of the format
            is not there.
    """
    if kind == "manifest":
        return read_file(path, chosen=chosen)
    readers: dict[str, Callable[[], Iterable[RawRow]]] = {
        "kaldi": lambda: read_utterances(path),
        "lhotse": lambda: read_lhotse(path, scratch, reach),
        "huggingface": lambda: read_huggingface(path, scratch),
        "audformat": lambda: read_audformat(path),
    }
    if kind not in readers:
        formats = ", ".join(get_args(Format))
        raise ConfigError(f"{kind!r} cannot be imported; choose one of {formats}")
    if not path.exists():
        raise ConfigError(
            f"{path}: is not there; name the folder or file that holds the {kind} dataset"
        )
    try:
        rows = list(readers[kind]())
    except ConfigError:
        raise
    except Exception as error:  # libraries with exceptions of their own
        why = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: cannot be read as {kind} ({why})") from error
    folder = path.parent if path.is_file() else path
    return build_table(
        rows,
        origin=str(path),
        folder=folder,
        chosen=chosen,
    )


def _kaldi(
    path: Path,
    chosen: Mapping[str, str] | None,
    per_recording: bool,
) -> Table:
    folder = path.parent if path.name == "wav.scp" else path
    has_recordings = (folder / "wav.scp").is_file()
    if not find_kaldi_folders(path) or (per_recording and not has_recordings):
        raise ConfigError(
            f"{folder}: is a folder without a wav.scp; "
            "name a manifest file, or ingest the folder without --manifest"
        )
    remarks = []
    if per_recording and (folder / "segments").is_file():
        remarks.append("segments is not used: whole recordings are ingested")
    return build_table(
        read_recordings(folder) if per_recording else read_utterances(path),
        origin=str(path),
        folder=folder,
        chosen=chosen,
        remarks=remarks,
    )
