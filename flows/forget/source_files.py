"""The files that forgotten recordings came from: which still are these recordings, deleting them if
asked to, naming what stays.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flows.forget.found import Left
from voxdata.durable import remove, writing
from voxdata.errors import MachineError
from warehouse.erase import ErasurePlan

CHANGED = (
    "is another file now than the one that was ingested, so it stays; "
    "look whether it holds anything of them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledSources:
    """What became of the sources.

    Attributes:
        gone: Files that were deleted, or would be.
        left: Places that may still hold one of the recordings, and why they stay.
    """

    gone: tuple[Path, ...]
    left: tuple[Left, ...]


def settle_sources(plan: ErasurePlan, *, delete: bool, dry: bool = False) -> SettledSources:
    """Delete the files that still are what they were when they gave the recordings.

    A folder is never deleted, and what a link leads to never.

    A file's content decides, as it does for ingest: a copy that has lost its time of change still
    is the recording.

    Args:
        delete: Without it every file stays, and is named.
        dry: Only say what would be.
    """
    gone: list[Path] = []
    left: list[Left] = []
    for uri in plan.uris:
        path = _local_path(uri)
        why, seen = _look_at(path, plan.contents.get(uri, ()))
        if path is not None and seen is not None:
            if not delete:
                why = "still holds a recording; delete it (--delete-sources does)"
            elif dry or not (why := _delete(path, seen)):
                gone.append(path)
                continue
        left.append(Left(place=uri, why=why))
    return SettledSources(gone=tuple(gone), left=tuple(left))


def _local_path(uri: str) -> Path | None:
    if "://" not in uri:
        return Path(uri)
    parts = urlsplit(uri)
    return Path(unquote(parts.path, errors="surrogateescape")) if parts.scheme == "file" else None


def _look_at(path: Path | None, contents: Sequence[str]) -> tuple[str, os.stat_result | None]:
    """Why a file is not to be deleted.

    When it still is the recording: "" and how it was seen.
    """
    if path is None:
        return "lies on another machine; delete it there", None
    try:
        if why := _odd_kind(path):
            return why, None
        if not contents:
            return (
                "may hold a recording, but no digest of it is on record, "
                "so this cannot be checked; delete it by hand",
                None,
            )
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            seen = os.fstat(file.fileno())
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return ("", seen) if content in contents else (CHANGED, None)
    except (FileNotFoundError, NotADirectoryError):
        return "is not there any more; if it was moved, delete it where it lies now", None
    except OSError as error:
        return (
            f"cannot be read ({error.strerror}), so nobody can tell whether it is the recording; "
            "delete it by hand",
            None,
        )


def _odd_kind(path: Path) -> str:
    """What a path is that is no regular file; "" when it is one."""
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return "is a folder now, which is never deleted; look what is in it"
    if stat.S_ISLNK(mode):
        return f"is a link to {path.resolve()}, which voxdata did not make; delete both by hand"
    return "" if stat.S_ISREG(mode) else "is no regular file any more; look what it is"


def _delete(path: Path, seen: os.stat_result) -> str:
    """Delete a file that still is the one that was looked at; returns why it stays, if it does."""
    try:
        with writing(path.parent):
            now = path.lstat()
        if (now.st_dev, now.st_ino, now.st_mtime_ns) != (
            seen.st_dev,
            seen.st_ino,
            seen.st_mtime_ns,
        ):
            return CHANGED
        remove(path)
    except MachineError as error:
        why = os.strerror(error.number)
        return f"still holds a recording and cannot be deleted ({why}); delete it by hand"
    return ""
