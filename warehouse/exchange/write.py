"""Export: write a dataset version in one of the formats, whole or not at all, here or on object
storage.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from fsspec.core import url_to_fs  # type: ignore[import-untyped]

from voxdata.counted import counted
from voxdata.durable import move, scratch_folder, sync, writing
from voxdata.errors import ConfigError, MachineError, VoxdataError
from voxdata.machine import find_fault
from voxdata.register import Written
from voxdata.stores import explain_store
from warehouse.exchange.bundle import (
    HEADER,
    ROWS,
    UNFINISHED,
    Bundle,
    check_clips,
    check_names,
    hash_file,
    write_header,
    write_rows,
)
from warehouse.exchange.croissant import NAME as CROISSANT
from warehouse.exchange.croissant import write_croissant
from warehouse.exchange.formats import TABLES, load_format
from warehouse.exchange.own_files import (
    other_files,
    parse_header,
    read_header,
    shown_names,
)
from warehouse.exchange.table import write_table

Audio = Literal["none", "clips"]

BUCKETS = frozenset(
    {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "obs", "cos", "b2"}
)
"""Protocols of stores whose first folder is a bucket or container, which somebody pays for and says
who may read.
"""


def export_bundle(
    bundle: Bundle,
    *,
    format_name: str,
    output: Path,
    audio: Audio = "none",
    absolute_paths: bool = False,
) -> Path:
    """Write a version as a file or a folder, with Croissant metadata; the same version gives the
    same bytes.

    Tables without clips are one file (with `<file>.croissant.json` beside it); everything else is a
    folder, which also holds the flat table rows.jsonl and the header voxdata.json.

    Args:
        output: The file or folder. A file is replaced; a folder only when it holds an export and
            nothing else, or nothing.
        audio: Whether a table gets its clips, too; the other formats always have them.
        absolute_paths: Whether a Kaldi folder names its files by absolute path, which makes its
            bytes depend on the place.

    Returns:
        What was written.

    Raises:
        ConfigError: `output` is a folder with something else in it, a folder for a file, or the
            reverse.
        AudioError: A recording is missing; nothing was written then.
        WarehouseError: A scheme is called like something else in the format.
        MachineError: The disk is full or mounted read-only; what was there before still is.
    """
    _check_names(bundle, format_name)
    if absolute_paths:
        bundle = replace(bundle, wav_root=str(output.absolute()))
    try:
        return _export(bundle, format_name, output, audio)
    except Exception as error:  # the library of a format has its own for a full disk
        fault = find_fault(error, place=output.parent)
        if fault is not None:
            raise fault from error
        if isinstance(error, OSError):
            raise ConfigError(
                f"{output}: cannot be written ({error}); choose another --output"
            ) from error
        raise


def _check_names(bundle: Bundle, format_name: str) -> None:
    taken = frozenset() if format_name in TABLES else load_format(format_name).taken
    check_names(bundle, format_name, taken)


def _export(bundle: Bundle, format_name: str, output: Path, audio: Audio) -> Path:
    if format_name in TABLES and audio == "none":
        return _export_file(bundle, format_name, output)
    check_clips(bundle, bundle.examples)
    _require_ours(output)
    version_id = bundle.version.version_id
    with (
        bundle.register.unfinished(output, version=version_id) as folder,
        bundle.register.unfinished(output, version=version_id) as aside,
    ):
        _fill(bundle, format_name, folder)
        for path in folder.rglob("*"):
            if path.is_file():
                sync(path)
        _require_ours(output)  # hours may have passed
        with bundle.register.noting(_written(bundle, output, folder / HEADER, kind="folder")):
            _put_in_place(folder, output, aside=aside)
        sync(output.parent)
    return output


def publish_bundle(bundle: Bundle, *, format_name: str, url: str, audio: Audio = "none") -> str:
    """Write a version to object storage through fsspec, partitioned by version; readers look for
    the header, which comes last.

    Args:
        url: Such as "s3://bucket/datasets"; the version goes to
            `<url>/<name>/version=<number>-<id>/`.

    Returns:
        The version's place; a table is `part-00000.<format>` in it.

    Raises:
        ConfigError: Another version is there, or files that no export put there; there is no such
            bucket, or the store is unknown or refuses access.
        TransientError: The store cannot be reached.
    """
    _check_names(bundle, format_name)
    version = bundle.version
    place = f"{url.rstrip('/')}/{version.name}/version={version.number}-{version.version_id[:12]}"
    try:
        filesystem, root = url_to_fs(place)
        _require_bucket(filesystem, root, place)
    except ConfigError:
        raise
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(place, error) from error
    with scratch_folder(near=bundle.audio_root) as local:
        folder = local / "export"
        if audio == "clips" or format_name not in TABLES:
            check_clips(bundle, bundle.examples)
        with writing(local):
            folder.mkdir()
            _fill(bundle, format_name, folder, table="part-00000", clips=audio == "clips")
        try:
            former = _former_files(filesystem, root, place, version.root)
            bundle.register.note(Written(path=place, kind="published", version=version.version_id))
            _put(filesystem, root, folder, place, former)
        except VoxdataError:
            raise
        except Exception as error:  # every store raises exceptions of its own
            raise explain_store(place, error) from error
    return place


def has_buckets(filesystem: Any) -> bool:
    """Whether a store keeps objects in buckets: it has no folders to make, and to make one could
    make the bucket.
    """
    protocols = filesystem.protocol
    names = {protocols} if isinstance(protocols, str) else set(protocols)
    return bool(names & BUCKETS)


def _require_bucket(filesystem: Any, root: str, place: str) -> None:
    """Make sure, before clips are cut for hours, that there is a bucket; a store that does not let
    one look is taken at its word.
    """
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
    return ConfigError(
        f"{place}: there is no bucket {root.split('/', 1)[0]!r}; make it, or choose another "
        "--output"
    )


def _put(filesystem: Any, root: str, folder: Path, place: str, former: set[str]) -> None:
    """Send a folder, its header last; a bucket is never made.

    Args:
        former: Names of what earlier exports left there; those that are not written again go.
    """
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != HEADER
    )
    if not has_buckets(filesystem):
        filesystem.makedirs(root, exist_ok=True)
    try:
        # Whoever tries again after a broken connection knows by it what is ours.
        filesystem.pipe_file(f"{root}/{UNFINISHED}", json.dumps(sorted({*former, *names})).encode())
    except FileNotFoundError as error:
        raise _no_bucket(place, root) from error
    if HEADER in former:
        filesystem.rm_file(f"{root}/{HEADER}")
    for name in [*names, HEADER]:
        target = f"{root}/{name}"
        if not has_buckets(filesystem):
            filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
        if name == HEADER:
            for gone in sorted(former - {*names, HEADER, UNFINISHED}):
                filesystem.rm_file(f"{root}/{gone}")
        try:
            filesystem.put_file(str(folder / name), target)
        except FileNotFoundError as error:
            raise _no_bucket(place, root) from error
    filesystem.rm_file(f"{root}/{UNFINISHED}")


def _former_files(filesystem: Any, root: str, place: str, expected: str) -> set[str]:
    """Names of what earlier exports of the version have there, finished or not. All else there is
    somebody's, so nothing is sent then.

    Raises:
        ConfigError: Another version is there, or files that its header does not list.
    """
    listed = filesystem.find(root) if filesystem.exists(root) else []
    # A listing may name what lies elsewhere: that is not ours to judge.
    inside = [path.removeprefix(f"{root}/") for path in listed if path.startswith(f"{root}/")]
    present = {name for name in inside if ".." not in name.split("/")}
    header = None
    if HEADER in present:
        header = parse_header(filesystem.cat_file(f"{root}/{HEADER}"))
        if header is None:
            raise ConfigError(f"{place}/{HEADER} is malformed; remove it, or choose another URL")
        if header.root != expected:
            raise ConfigError(
                f"{place} holds another version ({header.root[:12]}); choose another URL"
            )
    own = {HEADER, UNFINISHED}
    if header is not None:
        own |= set(header.files)
    if UNFINISHED in present:
        own |= _begun_files(filesystem.cat_file(f"{root}/{UNFINISHED}"))
    others = sorted(present - own)
    if others:
        raise ConfigError(
            f"{place} holds {counted(len(others), 'file')} that no export of this version put "
            f"there: {shown_names(others)}; move them away, or choose another URL"
        )
    return present


def _begun_files(listed: bytes) -> set[str]:
    try:
        return {str(name) for name in json.loads(listed)}
    except (ValueError, TypeError):
        return set()


def _fill(
    bundle: Bundle, format_name: str, folder: Path, *, table: str = "utterances", clips: bool = True
) -> None:
    if format_name not in TABLES:
        load_format(format_name).write(bundle, folder)
    else:
        write_table(
            bundle.examples,
            kind=format_name,
            path=folder / f"{table}.{format_name}",
            version_id=bundle.version.version_id,
            for_excel=bundle.for_excel,
        )
        if clips:
            (folder / "audio").mkdir()
            for example in bundle.examples:
                (folder / "audio" / f"{example.utterance_id}.flac").write_bytes(
                    bundle.clip(example)
                )
    write_rows(bundle, folder)
    write_croissant(bundle, folder, table=ROWS, kind="jsonl")
    write_header(bundle, folder, format_name=format_name)


def _export_file(bundle: Bundle, format_name: str, output: Path) -> Path:
    if output.is_dir():
        raise ConfigError(
            f"{output} is a folder; name the file that the {format_name} goes to, or ask for "
            "--audio clips"
        )
    with bundle.register.unfinished(output, version=bundle.version.version_id) as folder:
        names = (output.name, f"{output.name}.{CROISSANT}")
        write_table(
            bundle.examples,
            kind=format_name,
            path=folder / output.name,
            version_id=bundle.version.version_id,
            for_excel=bundle.for_excel,
        )
        write_croissant(bundle, folder, table=output.name, kind=format_name, output=names[1])
        for name in names:
            sync(folder / name)
        with bundle.register.noting(
            *(
                _written(bundle, output.with_name(name), folder / name, kind="table")
                for name in names
            )
        ):
            for name in names:
                move(folder / name, output.with_name(name))
    sync(output.parent)
    return output


def _written(
    bundle: Bundle, place: Path, file: Path, *, kind: Literal["table", "folder"]
) -> Written:
    return Written(
        path=str(place), kind=kind, sha256=hash_file(file), version=bundle.version.version_id
    )


def _require_ours(output: Path, *, shown: Path | None = None) -> None:
    """Make sure that an export takes the place of nothing but an export.

    Args:
        shown: What messages call it, when that is not `output`.
    """
    shown = shown or output
    if output.is_file():
        raise ConfigError(f"{shown} is a file; this format is a folder: name another place")
    if not output.exists() or not any(output.iterdir()):
        return
    header = read_header(output)
    others = (
        [path.relative_to(output).as_posix() for path in other_files(output, header)]
        if header
        else []
    )
    if header is None:
        raise ConfigError(
            f"{shown} holds something else than an export; name an empty or new folder"
        )
    if others:
        raise ConfigError(
            f"{shown} holds {counted(len(others), 'file that is', 'files that are')} no part of "
            f"its export: {shown_names(others)}; move them away, or name an empty or new folder"
        )


def _put_in_place(folder: Path, output: Path, *, aside: Path) -> None:
    """Move a finished export to its place.

    An earlier one there is moved aside as a whole, and comes back when anything is refused.

    Args:
        aside: An empty folder on the same disk, which is deleted later.

    Raises:
        ConfigError: Somebody put a file into the earlier export in this moment.
        MachineError: The system refuses.
    """
    if output.is_symlink() or not output.exists():
        move(folder, output)  # a link is never replaced
        return
    former = aside / "former"
    move(output, former)
    try:
        _require_ours(former, shown=output)
        move(folder, output)
    except (ConfigError, MachineError):
        move(former, output)
        raise
