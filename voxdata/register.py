"""The register of what voxdata wrote for people, exports and reports: forgetting deletes what
stands in it, unchanged, and nothing else.

A line is on disk before the file takes its place, so that whoever dies in between leaves no file
that nobody knows. A line says where, of which version and with which digest, and nothing of the
content. The register is a file and no table, for reasons that
docs/decisions/0008-register-of-written-files.md gives.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from voxdata.durable import sync, workshop, write_file, writing
from voxdata.errors import MachineError

NAME = "written.jsonl"

Kind = Literal["page", "table", "folder", "published", "unfinished"]
"""A report or another page; an export that is one file, a folder, or on object storage.

A folder that is being filled.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Something that voxdata wrote.

    Attributes:
        path: Absolute here and now, every link above it followed; of a published export its URL.
        sha256: Of the file; of an export's folder that of its header, which has the digests of all
            its other files.
        version: Id of the dataset version that was exported; "" for the rest.
    """

    path: str
    kind: Kind
    sha256: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """What one workspace wrote.

    Attributes:
        root: The workspace. Files in it are kept relative to it, so that it can be moved.
    """

    root: Path

    @property
    def path(self) -> Path:
        """The file, one JSON object a line."""
        return self.root / ".voxdata" / NAME

    def read(self) -> list[Written]:
        """Everything noted, oldest first.

        A line that cannot be read is passed over: its file is then nobody's, and stays.
        """
        return [replace(one, path=self._here(one.path)) for one in self._lines()]

    def note(self, new: Written) -> None:
        """Note something that takes its place later, such as a copy on its way to object storage.

        Raises:
            MachineError: It cannot be noted; nothing was written then.
        """
        with self._locked():
            self._append([replace(new, path=self._kept(new.path))])

    @contextmanager
    def noting(self, *new: Written) -> Iterator[None]:
        """Note what takes its place inside, which must not take long.

        What was noted of the same places before is dropped once it has.

        Raises:
            MachineError: It cannot be noted; nothing was written then.
        """
        kept = [replace(one, path=self._kept(one.path)) for one in new]
        places = {one.path for one in kept}
        with self._locked():
            self._append(kept)
            yield
            with suppress(MachineError):  # an older line does no harm: it has another digest
                self._keep(lambda one: one.path not in places or one in kept)

    @contextmanager
    def unfinished(self, target: Path, *, version: str = "") -> Iterator[Path]:
        """Lend an empty folder on the disk of a file or folder that is to be written.

        It is gone at the end.

        Whoever is killed leaves it behind, and a line by which everything in it is voxdata's.

        Args:
            version: Id of the dataset version that goes into it.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with workshop(target.parent) as folder:
                self.note(Written(path=str(folder), kind="unfinished", version=version))
                yield folder
        finally:
            with suppress(MachineError):
                self.prune()

    def prune(self) -> None:
        """Drop the lines of places where nothing is any more.

        One whose folder is not there either stays: its disk may be away.
        """
        with self._locked():
            self._keep(lambda one: "://" in one.path or _may_be_there(Path(self._here(one.path))))

    def _lines(self) -> list[Written]:
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        return [one for line in lines if (one := _parse(line)) is not None]

    def _append(self, new: Collection[Written]) -> None:
        there = self._lines()
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in new if one not in there).encode()
        with writing(self.path.parent):
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "r+b", buffering=0) as file:
                size = file.seek(0, os.SEEK_END)
                # A line that was cut short by a crash must not spoil the next.
                torn = size and os.pread(handle, 1, size - 1) != b"\n"
                file.write(b"\n" + lines if torn else lines)
                os.fsync(handle)
            sync(self.path.parent)

    def _keep(self, wanted: Callable[[Written], bool]) -> None:
        """Write the register anew with some of its lines, where that changes it."""
        if not self.path.exists():
            return
        with writing(self.path.parent):
            lines = self.path.read_bytes().splitlines(keepends=True)
            kept = [line for line in lines if (one := _parse(line)) is not None and wanted(one)]
            if kept != lines:
                write_file(self.path, b"".join(kept), mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _kept(self, path: str) -> str:
        if "://" in path:
            return path
        real = real_place(Path(path))
        return f"./{real.relative_to(self.root)}" if real.is_relative_to(self.root) else str(real)

    def _here(self, kept: str) -> str:
        return str(self.root / kept.removeprefix("./")) if kept.startswith("./") else kept


def write_page(path: Path, text: str, *, register: Register | None) -> None:
    """Write a page that only its owner may read, whole or not at all, and note it.

    Args:
        register: None for a page that has nothing to do with any workspace.

    Raises:
        MachineError: It cannot be written, or not be noted.
    """
    content = text.encode(errors="replace")
    if register is None:
        write_file(path, content, mode=0o600)
        return
    page = Written(path=str(path), kind="page", sha256=hashlib.sha256(content).hexdigest())
    with writing(path.parent), register.unfinished(path) as folder:
        write_file(folder / path.name, content, mode=0o600)
        with register.noting(page):
            (folder / path.name).replace(path)
        sync(path.parent)


def real_place(path: Path) -> Path:
    """Where a file really lies: every link above it followed, and not the file itself, which may be
    a link.
    """
    return (
        path.resolve() if path.name in ("", "..") else path.absolute().parent.resolve() / path.name
    )


def _may_be_there(path: Path) -> bool:
    return os.path.lexists(path) or not path.parent.is_dir()


def _parse(line: bytes) -> Written | None:
    """A line of the register; None when it was cut short."""
    try:
        return Written(**json.loads(line))
    except (ValueError, TypeError):
        return None
