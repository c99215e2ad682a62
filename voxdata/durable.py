"""Durability: what was written is on disk when this returns. The door through which everything of ours is written.

What the system says against it is a `MachineError` that names the folder: no file, recording or clip is to blame for it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from voxdata.errors import MachineError
from voxdata.machine import machine_error


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
    """Lend a file to be written, which takes the place of `path` at the end: whole and on disk, or not at all.

    Args:
        path: Parent folders are made.
        mode: Its permissions, less what the process's umask takes away.

    Raises:
        MachineError: The disk is full, or the folder cannot be written.
    """
    folder = path.parent
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{token_hex(8)}.partial"
        number = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with writing(folder):
            with os.fdopen(number, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a file, whole and on disk, or not at all; see `replacing`."""
    with replacing(path, mode=mode) as file:
        file.write(content)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Lend an empty temporary folder.

    Raises:
        MachineError: There is no temporary folder, or nothing can be made in it.
    """
    with writing(scratch_place()):
        folder = tempfile.TemporaryDirectory(prefix="voxdata-", ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name)


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
        raise MachineError(f"{words}; make room in one of them, or name another in TMPDIR, then run the command again") from error
