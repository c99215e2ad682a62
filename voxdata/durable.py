"""Durability: what was written is on disk when this returns.

This is the one door through which files go that must survive: they are written whole
(`write_file`, `replacing`, `create_file`, `copy_file`), in place (`append_lines`, `write_over`),
put into their place (`move`, then `sync` of the folder), and taken away (`remove`, `remove_tree`).
An error of the system is a `MachineError` that names the folder: no file, recording or clip is to
blame for it. What is half written is never left in its place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from voxdata.errors import MachineError
from voxdata.machine import machine_error
from voxdata.scratch import find_scratch, lend_folder, move_into_place, open_partial


def sync(path: Path) -> None:
    """Have a file's content, or a folder's entries after a rename, written to the disk.

    Raises:
        MachineError: It is not there, or the disk refuses.
    """
    with writing(path if path.is_dir() else path.parent):
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


def copy_file(source: Path, target: Path, *, mode: int = 0o666) -> None:
    """Copy a file, whole and on disk, or not at all; see `replacing`."""
    with replacing(target, mode=mode) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file)


def create_file(path: Path, content: bytes, *, mode: int = 0o666) -> bool:
    """Write a file that is not there yet, whole and on disk, or not at all.

    Of several who do so at once, one does.

    Args:
        path: Parent folders are made.
        mode: Its permissions, less what the process's umask takes away.

    Returns:
        Whether this call made it; False where there was one, which stays as it is.

    Raises:
        MachineError: The disk is full, or the folder cannot be written.
    """
    folder = path.parent
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft, number = open_partial(folder, mode=mode, beside=True)
    try:
        with writing(folder), os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            return _link(draft, path)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def append_lines(path: Path, lines: bytes, *, mode: int = 0o666) -> None:
    """Append whole lines to a file, on disk when this returns; all of them or none.

    A line that was cut short by a crash does not spoil the next. Whoever calls this at once with
    others holds a lock.

    Args:
        path: Made when absent; its folder is there.
        lines: Each ends with a line feed.
        mode: Permissions of a new file, less what the process's umask takes away.

    Raises:
        MachineError: The disk is full, or the file cannot be written.
    """
    with writing(path.parent):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            is_cut_short = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            try:
                _write_all(file, b"\n" + lines if is_cut_short else lines)
                os.fsync(handle)
            except OSError:
                with suppress(OSError):
                    file.truncate(size)
                raise
    sync(path.parent)


def write_over(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write over the beginning of a file in one short write, on disk when this returns.

    For a few bytes of always the same length that change too often for a new file each time.

    Raises:
        MachineError: The disk is full, or the file cannot be written.
    """
    with writing(path.parent):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT, mode)
        try:
            os.pwrite(handle, content, 0)
            os.fdatasync(handle)
        finally:
            os.close(handle)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder, whole and on disk already, to its place.

    It is there for good after `sync(target.parent)`; of many for one folder once is enough.

    Raises:
        MachineError: The system refuses; a folder that is not empty is never replaced.
    """
    with writing(target.parent):
        move_into_place(source, target)


def remove(path: Path, *, missing_ok: bool = False) -> None:
    """Delete a file or a link.

    Raises:
        MachineError: The system refuses; or it is not there, unless that is all right.
    """
    with writing(path.parent):
        path.unlink(missing_ok=missing_ok)


def remove_tree(folder: Path) -> None:
    """Delete a folder with everything in it.

    Raises:
        MachineError: The system refuses; some of it may be gone.
    """
    with writing(folder.parent):
        shutil.rmtree(folder)


def _link(draft: Path, path: Path) -> bool:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False  # somebody else was faster, and theirs counts
    return True


def _write_all(file: RawIOBase, content: bytes) -> None:
    """Write everything, however little the system takes at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


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
