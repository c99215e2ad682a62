"""The register of what voxdata wrote for people: exports and reports.

Forgetting deletes what stands in it, unchanged, and nothing else.

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

from voxdata.durable import append_lines, move, sync, workshop, write_file, writing
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
        sha256: Digest of the file; for an export's folder that of its header, which has the digests
            of all its other files.
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
        """The file, one JSON object per line."""
        return self.root / ".voxdata" / NAME

    def read(self) -> list[Written]:
        """Everything noted, oldest first.

        A line that cannot be read is passed over: its file is then nobody's, and stays.
        """
        return [replace(written, path=self._here(written.path)) for written in self._lines()]

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
        noted = [replace(written, path=self._kept(written.path)) for written in new]
        places = {written.path for written in noted}
        with self._locked():
            self._append(noted)
            yield
            with suppress(MachineError):  # an older line does no harm: it has another digest
                self._keep(lambda written: written.path not in places or written in noted)

    @contextmanager
    def unfinished(
        self,
        target: Path,
        *,
        version: str = "",
    ) -> Iterator[Path]:
        """Lend an empty folder on the disk of a file or folder that is to be written.

        It is gone at the end.

        Whoever is killed leaves it behind, and a line by which everything in it is voxdata's.

        Args:
            version: Id of the dataset version that goes into it.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with workshop(target.parent) as folder:
                self.note(
                    Written(
                        path=str(folder),
                        kind="unfinished",
                        version=version,
                    )
                )
                yield folder
        finally:
            with suppress(MachineError):
                self.prune()

    def prune(self) -> None:
        """Drop the lines of places where nothing is any more.

        One whose folder is not there either stays: its disk may be away.
        """

        def may_be_there(written: Written) -> bool:
            if "://" in written.path:
                return True
            return _may_be_there(Path(self._here(written.path)))

        with self._locked():
            self._keep(may_be_there)

    def _lines(self) -> list[Written]:
        if not self.path.exists():
            return []
        parsed = map(_parse, self.path.read_bytes().split(b"\n"))
        return [written for written in parsed if written is not None]

    def _append(self, new: Collection[Written]) -> None:
        noted_before = self._lines()
        lines = [json.dumps(asdict(written)) for written in new if written not in noted_before]
        content = "".join(f"{line}\n" for line in lines).encode()
        append_lines(self.path, content, mode=0o600)

    def _keep(self, wanted: Callable[[Written], bool]) -> None:
        """Write the register again with some of its lines, where that changes it."""
        if not self.path.exists():
            return
        with writing(self.path.parent):
            lines = self.path.read_bytes().splitlines(keepends=True)
            kept: list[bytes] = []
            for line in lines:
                written = _parse(line)
                if written is not None and wanted(written):
                    kept.append(line)
            if kept != lines:
                write_file(self.path, b"".join(kept), mode=0o600)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(self.path.parent):
            self.path.parent.mkdir(
                parents=True,
                exist_ok=True,
                mode=0o700,
            )
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _kept(self, path: str) -> str:
        """A path as the register keeps it."""
        if "://" in path:
            return path
        real = real_place(Path(path))
        if not real.is_relative_to(self.root):
            return str(real)
        return f"./{real.relative_to(self.root)}"

    def _here(self, kept: str) -> str:
        """The inverse of `_kept`."""
        if not kept.startswith("./"):
            return kept
        return str(self.root / kept.removeprefix("./"))


def write_page(
    path: Path,
    text: str,
    *,
    register: Register | None,
) -> None:
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
    page = Written(
        path=str(path),
        kind="page",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    with writing(path.parent), register.unfinished(path) as folder:
        unfinished = folder / path.name
        write_file(unfinished, content, mode=0o600)
        with register.noting(page):
            move(unfinished, path)
        sync(path.parent)


def real_place(path: Path) -> Path:
    """Where a file really lies: every link above it followed.

    The file itself, which may be a link, is not.
    """
    if path.name in ("", ".."):
        return path.resolve()
    folder = path.absolute().parent
    return folder.resolve() / path.name


def _may_be_there(path: Path) -> bool:
    return os.path.lexists(path) or not path.parent.is_dir()


def _parse(line: bytes) -> Written | None:
    """A line of the register; None when it was cut short."""
    try:
        return Written(**json.loads(line))
    except (ValueError, TypeError):
        return None
