"""Export: write a dataset version in one of the formats, whole or not at all, here or on object storage."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal, get_args

import fsspec  # type: ignore[import-untyped]

from flows.exchange.audformat import write_audformat
from flows.exchange.bundle import HEADER, ROWS, Bundle, Writer, check_clips, write_header, write_rows
from flows.exchange.croissant import NAME as CROISSANT
from flows.exchange.croissant import write_croissant
from flows.exchange.huggingface import write_huggingface
from flows.exchange.kaldi import write_kaldi
from flows.exchange.shar import write_shar
from flows.exchange.webdataset import write_webdataset
from voxdata.errors import ConfigError
from warehouse.export import write_table

Table = Literal["parquet", "jsonl", "csv"]
Format = Literal["parquet", "jsonl", "csv", "huggingface", "webdataset", "shar", "kaldi", "audformat"]
Audio = Literal["none", "clips"]

FOLDERS: dict[str, Writer] = {
    "huggingface": write_huggingface,
    "webdataset": write_webdataset,
    "shar": write_shar,
    "kaldi": write_kaldi,
    "audformat": write_audformat,
}


def export_bundle(bundle: Bundle, *, format_name: Format, output: Path, audio: Audio = "none") -> Path:
    """Write a version as a file or a folder, with Croissant metadata; the same version gives the same bytes.

    Tables without clips are one file (with `<file>.croissant.json` beside it); everything else is a folder, which also holds the flat
    table rows.jsonl and the header voxdata.json.

    Args:
        output: The file or folder. A file is replaced; a folder only when it holds an export or nothing.
        audio: Whether a table gets its clips, too; the other formats always have them.

    Returns:
        What was written.

    Raises:
        ConfigError: `output` is a folder with something else in it, a folder for a file, or the reverse.
        AudioError: A recording is missing; nothing was written then.
    """
    if format_name in get_args(Table) and audio == "none":
        return _export_file(bundle, format_name, output)
    check_clips(bundle, bundle.examples)
    _require_ours(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent))
    try:
        _fill(bundle, format_name, folder)
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        folder.chmod(0o755)
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return output


def publish_bundle(bundle: Bundle, *, format_name: Format, url: str, audio: Audio = "none") -> str:
    """Write a version to object storage through fsspec, partitioned by version; readers look for the header, which comes last.

    Args:
        url: Such as "s3://bucket/datasets"; the version goes to `<url>/<name>/version=<number>-<id>/`.

    Returns:
        The version's place.
    """
    version = bundle.version
    place = f"{url.rstrip('/')}/{version.name}/version={version.number}-{version.version_id[:12]}"
    with tempfile.TemporaryDirectory() as local:
        folder = Path(local) / "export"
        folder.mkdir()
        if audio == "clips" or format_name in FOLDERS:
            check_clips(bundle, bundle.examples)
        _fill(bundle, format_name, folder, clips=audio == "clips")
        filesystem, root = fsspec.core.url_to_fs(place)
        if filesystem.exists(f"{root}/{HEADER}"):
            there = json.loads(filesystem.cat_file(f"{root}/{HEADER}"))
            if there["root"] != version.root:
                raise ConfigError(f"{place} holds another version ({there['root'][:12]}); choose another URL")
            filesystem.rm(f"{root}/{HEADER}")
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HEADER)
        for path in [*paths, folder / HEADER]:
            target = f"{root}/{path.relative_to(folder).as_posix()}"
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(path), target)
    return place


def _fill(bundle: Bundle, format_name: Format, folder: Path, *, clips: bool = True) -> None:
    if format_name in FOLDERS:
        FOLDERS[format_name](bundle, folder)
    else:
        write_table(bundle.examples, kind=format_name, path=folder / f"utterances.{format_name}", version_id=bundle.version.version_id)
        if clips:
            (folder / "audio").mkdir()
            for example in bundle.examples:
                (folder / "audio" / f"{example.utterance_id}.flac").write_bytes(bundle.clip(example))
    write_rows(bundle, folder)
    write_croissant(bundle, folder, table=ROWS, kind="jsonl")
    write_header(bundle, folder, format_name=format_name)


def _export_file(bundle: Bundle, format_name: Format, output: Path) -> Path:
    if output.is_dir():
        raise ConfigError(f"{output} is a folder; name the file that the {format_name} goes to, or ask for --audio clips")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as local:
        folder = Path(local)
        write_table(bundle.examples, kind=format_name, path=folder / output.name, version_id=bundle.version.version_id)
        write_croissant(bundle, folder, table=output.name, kind=format_name, output=f"{output.name}.{CROISSANT}")
        for name in (output.name, f"{output.name}.{CROISSANT}"):
            with (folder / name).open("rb") as file:
                os.fsync(file.fileno())
            (folder / name).replace(output.with_name(name))
    return output


def _require_ours(output: Path) -> None:
    if output.is_file():
        raise ConfigError(f"{output} is a file; this format is a folder: name another place")
    if output.exists() and any(output.iterdir()) and not (output / HEADER).exists():
        raise ConfigError(f"{output} holds something else than an export; name an empty or new folder")
