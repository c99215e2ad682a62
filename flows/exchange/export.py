"""Export: write a dataset version in one of the formats, whole or not at all, here or on object storage."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args

from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from flows.exchange.audformat import write_audformat
from flows.exchange.bundle import HEADER, ROWS, Bundle, Writer, check_clips, check_names, write_header, write_rows
from flows.exchange.croissant import NAME as CROISSANT
from flows.exchange.croissant import write_croissant
from flows.exchange.huggingface import write_huggingface
from flows.exchange.kaldi import write_kaldi
from flows.exchange.shar import write_shar
from flows.exchange.webdataset import write_webdataset
from flows.sources import explain_store
from voxdata.durable import scratch_folder, sync, writing
from voxdata.errors import ConfigError, VoxdataError
from voxdata.machine import find_fault
from voxdata.malformed import in_words
from warehouse.export import write_table

Table = Literal["parquet", "jsonl", "csv"]
Format = Literal["parquet", "jsonl", "csv", "huggingface", "webdataset", "shar", "kaldi", "audformat"]
Audio = Literal["none", "clips"]

BUCKETS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "obs", "cos", "b2"})
"""Protocols of stores whose first folder is a bucket or container, which somebody pays for and says who may read."""

FOLDERS: dict[str, Writer] = {
    "huggingface": write_huggingface,
    "webdataset": write_webdataset,
    "shar": write_shar,
    "kaldi": write_kaldi,
    "audformat": write_audformat,
}


def export_bundle(bundle: Bundle, *, format_name: Format, output: Path, audio: Audio = "none", absolute_paths: bool = False) -> Path:
    """Write a version as a file or a folder, with Croissant metadata; the same version gives the same bytes.

    Tables without clips are one file (with `<file>.croissant.json` beside it); everything else is a folder, which also holds the flat
    table rows.jsonl and the header voxdata.json.

    Args:
        output: The file or folder. A file is replaced; a folder only when it holds an export or nothing.
        audio: Whether a table gets its clips, too; the other formats always have them.
        absolute_paths: Whether a Kaldi folder names its files by absolute path, which makes its bytes depend on the place.

    Returns:
        What was written.

    Raises:
        ConfigError: `output` is a folder with something else in it, a folder for a file, or the reverse.
        AudioError: A recording is missing; nothing was written then.
        WarehouseError: A scheme is called like something else in the format.
        MachineError: The disk is full or mounted read-only; what was there before still is.
    """
    check_names(bundle, format_name)
    try:
        wav_root = str(output.absolute()) if absolute_paths else ".."
        return _export(bundle, format_name, output, audio, wav_root=wav_root)
    except Exception as error:  # every format has a library that raises exceptions of its own about a full disk
        fault = find_fault(error, place=output.parent)
        if fault is not None:
            raise fault from error
        if isinstance(error, OSError):
            raise ConfigError(f"{output}: cannot be written ({error}); choose another --output") from error
        raise


def _export(bundle: Bundle, format_name: Format, output: Path, audio: Audio, *, wav_root: str) -> Path:
    if format_name in get_args(Table) and audio == "none":
        return _export_file(bundle, format_name, output)
    check_clips(bundle, bundle.examples)
    _require_ours(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent))
    try:
        _fill(bundle, format_name, folder, wav_root=wav_root)
        for path in folder.rglob("*"):
            if path.is_file():
                sync(path)
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)
        sync(output.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return output


def publish_bundle(bundle: Bundle, *, format_name: Format, url: str, audio: Audio = "none") -> str:
    """Write a version to object storage through fsspec, partitioned by version; readers look for the header, which comes last.

    Args:
        url: Such as "s3://bucket/datasets"; the version goes to `<url>/<name>/version=<number>-<id>/`.

    Returns:
        The version's place; a table is `part-00000.<format>` in it.

    Raises:
        ConfigError: Another version is there, there is no such bucket, or the store is unknown or refuses access.
        TransientError: The store cannot be reached.
    """
    check_names(bundle, format_name)
    version = bundle.version
    place = f"{url.rstrip('/')}/{version.name}/version={version.number}-{version.version_id[:12]}"
    try:
        filesystem, root = url_to_fs(place)
        _require_bucket(filesystem, root, place)
    except ConfigError:
        raise
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(place, error) from error
    with scratch_folder() as local:
        folder = local / "export"
        if audio == "clips" or format_name in FOLDERS:
            check_clips(bundle, bundle.examples)
        with writing(local):
            folder.mkdir()
            _fill(bundle, format_name, folder, table="part-00000", clips=audio == "clips")
        try:
            _put(filesystem, root, folder, place, version.root)
        except VoxdataError:
            raise
        except Exception as error:  # every store raises exceptions of its own
            raise explain_store(place, error) from error
    return place


def has_buckets(filesystem: Any) -> bool:
    """Whether a store keeps objects in buckets: it has no folders to make, and to make one could make the bucket."""
    protocols = filesystem.protocol
    names = {protocols} if isinstance(protocols, str) else set(protocols)
    return bool(names & BUCKETS)


def _require_bucket(filesystem: Any, root: str, place: str) -> None:
    """Make sure, before clips are cut for hours, that there is a bucket; a store that does not let one look is taken at its word."""
    if not has_buckets(filesystem):
        return
    try:
        filesystem.ls(root)
    except FileNotFoundError as error:
        if not filesystem.exists(root.split("/", 1)[0]):
            raise _no_bucket(place, root) from error
    except PermissionError:
        return


def _no_bucket(place: str, root: str) -> ConfigError:
    return ConfigError(f"{place}: there is no bucket {root.split('/', 1)[0]!r}; make it, or choose another --output")


def _put(filesystem: Any, root: str, folder: Path, place: str, expected: str) -> None:
    """Send a folder, its header last; a bucket is never made; what an earlier export left there under other names goes."""
    there = filesystem.find(root) if filesystem.exists(root) else []
    if any(path.endswith(f"/{HEADER}") for path in there):
        try:
            found = str(json.loads(filesystem.cat_file(f"{root}/{HEADER}"))["root"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{place}/{HEADER} is malformed: {in_words(error)}; remove it, or choose another URL") from error
        if found != expected:
            raise ConfigError(f"{place} holds another version ({found[:12]}); choose another URL")
        filesystem.rm_file(f"{root}/{HEADER}")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != HEADER)
    kept = {f"{root}/{name}" for name in names}
    for name in [*names, HEADER]:
        target = f"{root}/{name}"
        if not has_buckets(filesystem):
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        if name == HEADER:
            for path in filesystem.find(root):
                # A listing may name what lies elsewhere: that is not ours to remove.
                if path not in kept and path.startswith(f"{root}/") and ".." not in path.split("/"):
                    filesystem.rm_file(path)
        try:
            filesystem.put_file(str(folder / name), target)
        except FileNotFoundError as error:
            raise _no_bucket(place, root) from error


def _fill(
    bundle: Bundle, format_name: Format, folder: Path, *, table: str = "utterances", clips: bool = True, wav_root: str = ".."
) -> None:
    if format_name == "kaldi":
        write_kaldi(bundle, folder, wav_root=wav_root)
    elif format_name in FOLDERS:
        FOLDERS[format_name](bundle, folder)
    else:
        write_table(bundle.examples, kind=format_name, path=folder / f"{table}.{format_name}", version_id=bundle.version.version_id)
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
            sync(folder / name)
            (folder / name).replace(output.with_name(name))
    sync(output.parent)
    return output


def _require_ours(output: Path) -> None:
    if output.is_file():
        raise ConfigError(f"{output} is a file; this format is a folder: name another place")
    if output.exists() and any(output.iterdir()) and not (output / HEADER).exists():
        raise ConfigError(f"{output} holds something else than an export; name an empty or new folder")
