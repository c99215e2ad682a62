"""Which files of a folder an export put there: the header lists them with their digests, so
everything else is somebody else's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voxdata.confine import leads_out, why_outside
from warehouse.exchange.bundle import FORMAT, HEADER, header_hash

SHOWN = 5
"""So many files are named in a message; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header of an export says about its files.

    Attributes:
        version_id: The id of the dataset version.
        root: Its Merkle root.
        files: Path relative to the folder -> SHA-256, for every file but the header.
        is_sound: It says what it said when it was written, by the digest that it carries.
    """

    version_id: str
    root: str
    files: Mapping[str, str]
    is_sound: bool


def parse_header(text: str | bytes) -> Header | None:
    """Read a header; None when it is none of ours, or names a file outside its folder."""
    try:
        stated = json.loads(text)
        if stated["format"] != FORMAT:
            return None
        files = {str(name): str(sha256) for name, sha256 in stated["files"].items()}
        sound = stated.get("sha256") == header_hash(stated)
        header = Header(
            version_id=str(stated["version_id"]),
            root=str(stated["root"]),
            files=files,
            is_sound=sound,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return None if any(why_outside(name) for name in files) else header


def read_header(folder: Path) -> Header | None:
    """The header of an export in a folder; None when there is none, or it cannot be read."""
    path = folder / HEADER
    try:
        return parse_header(path.read_bytes()) if path.is_file() and not path.is_symlink() else None
    except OSError:
        return None


def walk_files(folder: Path) -> Iterator[Path]:
    """Everything below a folder that is no folder, sorted. Links are not followed, whatever they
    lead to; a folder that cannot be looked into stands for itself.
    """
    # Unlike Path.is_dir() it is no error where access is denied.
    if not os.path.isdir(folder):  # noqa: PTH112
        return
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_files(folder / entry.name)
        else:
            yield folder / entry.name


def own_files(folder: Path, header: Header) -> dict[Path, str]:
    """The files of an export that are there, each with the digest that it had; the header is left
    out.
    """
    listed = {folder / name: sha256 for name, sha256 in sorted(header.files.items())}
    return {
        path: sha256
        for path, sha256 in listed.items()
        if os.path.lexists(path) and not leads_out(path.parent, folder)
    }


def other_files(folder: Path, header: Header) -> list[Path]:
    """What somebody else put into the folder of an export."""
    own = {*own_files(folder, header), folder / HEADER}
    return [path for path in walk_files(folder) if path not in own]


def remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, as far as they are empty and may be removed."""
    for below, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(below)  # noqa: PTH106 - no error of another kind, whatever it is


def shown_names(names: Collection[str]) -> str:
    """Some file names for a message."""
    first = ", ".join(repr(name) for name in list(names)[:SHOWN])
    return f"{first} and {len(names) - SHOWN} more" if len(names) > SHOWN else first
