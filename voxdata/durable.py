"""Durability: what was written is on disk when this returns.

This is the door through which everything of ours is written. An error of the system is a
`MachineError` that names the folder: no file, recording or clip is to blame for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from voxdata.errors import MachineError
from voxdata.machine import machine_error
from voxdata.scratch import find_scratch, lend_folder, move_into_place, open_partial


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries after a rename, written to the disk.

    Raises:
        OSError: It is not there, or the disk refuses.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Do something that only touches files of ours below `place`.

    Raises:
        MachineError: The system refused; the message has its words.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise  # not the system's
        raise machine_error(place, error) from error


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Lend a file to be written, which takes the place of `path` at the end.

    It does so whole and on disk, or not at all.
    Until then it lies in the scratch folder above `path`, or beside it where there is none; see
    `voxdata.scratch`.

    Args:
        path: Parent folders are made.
        mode: Its permissions, less what the process's umask takes away.

    Raises:
        MachineError: The disk is full, or the folder cannot be written.
    """
    folder = path.parent
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        partial, number = open_partial(folder, mode=mode)
    try:
        with writing(folder), os.fdopen(number, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            # Still open, so that nobody takes it for one that was left behind.
            move_into_place(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file, whole and on disk, or not at all; see `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(content)


@contextmanager
def scratch_folder(*, near: Path | None = None) -> Iterator[Path]:
    """Lend an empty folder for what nobody needs afterwards.

    Args:
        near: A folder; when there is a scratch folder at or above it, it lies there, and else among
            the system's temporary files.

    Raises:
        MachineError: There is no temporary folder, or nothing can be made in it.
    """
    scratch = None if near is None else find_scratch(near)
    if scratch is not None:
        with workshop(scratch) as lent:
            yield lent
        return
    with writing(scratch_place()):
        folder = tempfile.TemporaryDirectory(prefix="voxdata-", ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name)


@contextmanager
def workshop(near: Path) -> Iterator[Path]:
    """Lend an empty folder on the file system of the folder `near`.

    What is finished is renamed from it into place.

    Raises:
        MachineError: It cannot be made.
    """
    with ExitStack() as opened:
        with writing(near):
            lent = opened.enter_context(lend_folder(near))
        yield lent


def scratch_place() -> Path:
    """Where temporary files lie.

    Raises:
        MachineError: Nowhere.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        with writing(Path("/")):
            os.close(os.open("/", os.O_RDONLY))  # with too many open files no folder seems usable
        words = f"the temporary folder: {error.strerror or error}"
        remedy = "make room in one of them, or name another in TMPDIR, then run the command again"
        raise MachineError(f"{words}; {remedy}") from error
