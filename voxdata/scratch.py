"""Scratch: where files lie that are not whole yet.

What a killed process leaves there is found and swept.

A folder that has `.voxdata/scratch` in it, such as a workspace, keeps there whatever is being
written anywhere below it; it is then renamed into its place. A rename stays on one file system, so
a storage folder on another disk has a scratch folder of its own, and what has none above it is
written beside its place, under a name that begins with a dot. Who writes holds a lock, which ends
with the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

SCRATCH = Path(".voxdata") / "scratch"
PARTIAL = ".partial"
LOCK = ".lock"
_NAME = re.compile(r"\.?[0-9a-f]{16}\.(partial|lock)")
"""What is called otherwise is not ours."""


def find_scratch(folder: Path) -> Path | None:
    """The nearest scratch folder at or above a folder.

    None when there is none, or it lies on another file system.
    """
    place = folder.absolute()
    with suppress(OSError):
        for above in (place, *place.parents):
            scratch = above / SCRATCH
            if scratch.is_dir():
                is_same_disk = scratch.stat().st_dev == place.stat().st_dev
                return scratch if is_same_disk else None
    return None


def open_partial(
    folder: Path,
    *,
    mode: int,
    beside: bool = False,
) -> tuple[Path, int]:
    """Make a file that will be renamed into a folder, and lock it.

    Args:
        beside: Make it in that folder itself, where a link can be made to it.

    Returns:
        Its path, and a descriptor that is open for reading and writing; it holds the lock until it
        is closed.

    Raises:
        OSError: The system refuses.
    """
    return _open_locked(folder, PARTIAL, mode=mode, beside=beside)


@contextmanager
def lend_folder(near: Path) -> Iterator[Path]:
    """Lend an empty folder on the file system of `near`, itself a folder.

    What was not renamed out of it goes at the end.

    Raises:
        OSError: The system refuses.
    """
    lock, number = _open_locked(
        near,
        LOCK,
        mode=0o600,
        beside=False,
    )
    lent = lock.with_suffix(PARTIAL)
    try:
        lent.mkdir(mode=0o700)
        yield lent
    finally:
        shutil.rmtree(lent, ignore_errors=True)
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(number)


def move_into_place(partial: Path, target: Path) -> None:
    """Rename a file or folder, whole and on disk already, to its place.

    Two mounts of one file system look like one place until something is renamed across them; then a
    copy is made beside the target.

    Raises:
        OSError: The system refuses; a folder that is not empty is never replaced.
    """
    try:
        partial.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{token_hex(8)}{PARTIAL}")
        try:
            _copy(partial, beside)
            beside.replace(target)
        finally:
            _remove(beside)
        _remove(partial)


def sweep(folder: Path) -> int:
    """Remove from a scratch folder what processes left that are gone.

    What is being written is left alone.

    Returns:
        How many files and folders.
    """
    return sum(_sweep_entry(path) for path in _entries(folder))


def sweep_beside(folder: Path) -> int:
    """Remove what processes that are gone left anywhere in a folder, beside the places it was meant
    for.

    Returns:
        How many files and folders.
    """
    left = [path for path in folder.rglob(".*") if _NAME.fullmatch(path.name)]
    return sum(_sweep_entry(path) for path in sorted(left))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


def _sweep_entry(path: Path) -> bool:
    """Remove a partial file, or a lock with its folder, that nobody holds."""
    lock = path.with_suffix(LOCK)
    if path != lock and (lock.exists() or path.is_dir()):
        # A lock is made before its folder and goes after it.
        if lock.exists() or not path.exists():
            return False
        shutil.rmtree(path, ignore_errors=True)
        return True
    try:
        number = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path == lock:
            shutil.rmtree(path.with_suffix(PARTIAL), ignore_errors=True)
        path.unlink(missing_ok=True)
    except OSError:
        return False  # held, or a file system without locks, where nobody can tell
    finally:
        os.close(number)
    return True


def _open_locked(
    folder: Path,
    suffix: str,
    *,
    mode: int,
    beside: bool,
) -> tuple[Path, int]:
    scratch = None if beside else find_scratch(folder)
    while True:
        path = folder / f".{token_hex(8)}{suffix}"
        if scratch is not None:
            path = scratch / f"{token_hex(8)}{suffix}"
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(number, fcntl.LOCK_EX)
        if os.fstat(number).st_nlink:
            return path, number
        os.close(number)  # swept before it was locked


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
        target.chmod(source.stat().st_mode & 0o777)
    for path in [target, *target.rglob("*")]:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
