"""Files and folders of this machine as sources."""

from __future__ import annotations

import errno
import glob
import os
import stat
from dataclasses import replace
from pathlib import Path

from flows.ingest.listed import Lister, Source
from voxdata.errors import ConfigError, DropReason
from voxdata.machine import find_fault


def list_local(lister: Lister, text: str, pattern: str) -> None:
    """List the files that a path or glob names; a folder stands for all files below it.

    Args:
        text: The path.
        pattern: What a message calls it.

    Raises:
        ConfigError: It is no path, or matches nothing.
        MachineError: The system is at fault, as when too many files are open.
    """
    if not text.strip():
        raise ConfigError(f"{pattern!r} names no file; give a path or URL")
    try:
        path = Path(text).expanduser()
        matches = [str(path)]
        if is_absent(path):
            # pathlib knows no pattern that is absolute.
            matches = glob.glob(str(path), recursive=True, include_hidden=True)  # noqa: PTH207
    except (ValueError, RuntimeError) as error:  # such as "~nobody"
        raise ConfigError(f"{pattern!r} is not a path ({error})") from error
    if not matches:
        raise ConfigError(f"{pattern!r} matches no file; check the path")
    for match in matches:
        # Unlike Path.is_dir() it is no error where access is denied.
        if os.path.isdir(match):  # noqa: PTH112
            _list_below(lister, Path(match))
        else:
            lister.add(local_source(Path(match)))


def is_absent(path: Path) -> bool:
    """Whether there is no such name; one that may not be looked at is there, as far as we know."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return True
    except OSError:
        return False
    return False


def _list_below(lister: Lister, root: Path) -> None:
    """List all files below a folder.

    There may be a million: a plain file costs what the system says of it, and a `Path` is made of a
    name only where something about it is out of the ordinary.
    """
    absolute = root.absolute()
    inside = root.resolve()
    folders = [str(inside if ".." in absolute.parts else absolute)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as opened:
                entries = list(opened)
        except OSError as error:
            lister.add(_unreadable_folder(Path(folder), error))
            continue
        for entry in entries:
            if not _is_folder(entry):
                _list_entry(lister, entry, inside)
            elif not _is_link(entry):
                folders.append(entry.path)
            elif _leads_out(Path(entry.path), inside):
                lister.add(local_source(Path(entry.path), inside=inside))
            # A link to a folder inside is not followed: its files are reached by their own names.


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink()
    except OSError:
        return False


def _list_entry(lister: Lister, entry: os.DirEntry[str], inside: Path) -> None:
    try:
        info = None if entry.is_symlink() else entry.stat()
        entry.path.encode()
    except (OSError, UnicodeEncodeError):
        info = None
    if info is not None and stat.S_ISREG(info.st_mode):
        lister.add_file(entry.path, info.st_size, info.st_mtime_ns)
    else:
        lister.add(local_source(Path(entry.path), inside=inside))


def _unreadable_folder(folder: Path, error: OSError) -> Source:
    source = local_source(folder)
    _blame_machine(error)
    return replace(
        source,
        problem=f"the folder cannot be read ({error.strerror}); grant access or move it",
        problem_reason=DropReason.NOT_READABLE,
    )


def _leads_out(link: Path, inside: Path) -> bool:
    """Whether a link ends outside a folder, or nowhere."""
    try:
        return not link.resolve().is_relative_to(inside)
    except (OSError, RuntimeError):  # changed while it was looked at, into one that leads to itself
        return True


def local_source(path: Path, *, inside: Path | None = None) -> Source:
    """A file of this machine, with what is wrong with it.

    Args:
        inside: The folder that a link may not lead out of; None for a file that was named itself.

    Raises:
        MachineError: The system is at fault, as when too many files are open.
    """
    absolute = path.absolute()
    if ".." in absolute.parts:
        # One name for one file; the last part stays as it is, since it may be a link.
        absolute = absolute.parent.resolve() / absolute.name
    try:
        str(absolute).encode()
        uri = str(absolute)
    except UnicodeEncodeError:
        uri = absolute.as_uri()
    name = os.fsencode(absolute.name).decode(errors="replace")
    try:
        info = absolute.stat()
    except OSError as error:
        _blame_machine(error)
        gone = isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP
        problem = f"cannot be read ({error.strerror})"
        if gone and absolute.is_symlink():
            problem = "a link that leads nowhere"
        return Source(
            uri=uri,
            name=name,
            size_bytes=-1,
            modified_ns=0,
            path=absolute,
            problem=problem,
            problem_reason=DropReason.MISSING if gone else DropReason.NOT_READABLE,
        )
    source = Source(
        uri=uri, name=name, size_bytes=info.st_size, modified_ns=info.st_mtime_ns, path=absolute
    )
    if inside is not None and absolute.is_symlink() and _leads_out(absolute, inside):
        return replace(
            source,
            problem="a link that leads out of its folder; name its target to ingest it",
            problem_reason=DropReason.OUTSIDE,
        )
    if not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
        return replace(
            source,
            problem="not a regular file (a pipe, socket or device)",
            problem_reason=DropReason.NOT_AUDIO,
        )
    return source


def _blame_machine(error: OSError) -> None:
    """Raise what is the machine's fault; the rest is said of the file."""
    fault = find_fault(error)
    if fault is not None:
        raise fault from error
