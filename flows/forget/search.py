"""Proof that nothing is left: every file of a workspace is read for strings, its bytes and what
they say once unpacked.

Of a table every text is read, of an archive every member, of a compressed file what it holds, each
as deep as it goes. What cannot be read is named, and then nothing is proven. Encrypted texts
without a known header, pictures, and what is spoken cannot be seen this way.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from flows.forget.kinds import HEAD, Kind, detect, may_be_chance, unreadable
from flows.forget.needles import BLOCK, Needles
from flows.forget.tables import (
    UnreadError,
    is_text,
    read_arrow,
    read_duckdb,
    read_sqlite,
    search_texts,
)
from flows.forget.unpack import ARCHIVES, DAMAGED, STREAMS, open_members, open_stream

DEEPEST = 8
"""Archives within archives; a file that goes deeper is named instead of read."""

MOST_UNPACKED = 64 << 30
"""Bytes that one file may unpack to."""

ROW = 32
"""In bytes: the least that is looked for in the files of tables as they are.

There the texts of two rows lie side by side, so what is shorter is looked for in their columns
only.
"""

_SIDE_BY_SIDE = frozenset({Kind.DUCKDB, Kind.PARQUET, Kind.ARROW, Kind.ARROW_STREAM, Kind.ORC})
_BETWEEN = b"\x00\xff\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A string in a file.

    Attributes:
        offset: In the bytes of the file, or of what `where` says; a row where that is a table.
        where: The place inside a packed file; empty when it is in the bytes of the file itself.
    """

    path: Path
    text: str
    offset: int
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A file that was not searched, and why."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a search came to.

    Attributes:
        hits: The first place of each string in each file that holds it, sorted by path.
        unread: Files that could not be searched, sorted by path.
        links: Symbolic links to folders of sources elsewhere; what lies there was not looked at.
        files: How many were searched.
    """

    hits: tuple[Hit, ...]
    unread: tuple[Unread, ...]
    links: tuple[Path, ...]
    files: int

    @property
    def clean(self) -> bool:
        """Whether nothing is left, and everything was looked at."""
        return not self.hits and not self.unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What is searched.

    Attributes:
        roots: Folders; what they hold is searched once, links among them are as good as what they
            lead to.
        skip: Files and folders that are left out.
        sources: Folders of originals: links that lead out of these are named, since originals are
            dealt with by themselves.
        written_anew: DuckDB files from which nothing was deleted since they were written.
    """

    roots: tuple[Path, ...]
    skip: frozenset[Path] = frozenset()
    sources: tuple[Path, ...] = ()
    written_anew: frozenset[Path] = frozenset()


def search_folder(
    folder: Path, texts: Sequence[str], *, skip: Collection[Path] = ()
) -> tuple[Hit, ...]:
    """Where strings are in the files of a folder; see `prove_gone`."""
    with tempfile.TemporaryDirectory(prefix="voxdata-") as scratch:
        return prove_gone(
            Area(roots=(folder,), skip=frozenset(skip)), texts, scratch=Path(scratch)
        ).hits


def prove_gone(area: Area, texts: Sequence[str], *, scratch: Path) -> Proof:
    """Look for strings in every file: in names, in bytes, and in what these hold once unpacked.

    Args:
        scratch: An empty folder for what must be unpacked to be read.
    """
    search = _Search(needles=Needles(texts), area=area, scratch=scratch)
    if texts:
        for root in area.roots:
            search.folder(root)
    return Proof(
        hits=tuple(sorted(search.hits.values(), key=lambda hit: (hit.path, hit.text))),
        unread=tuple(Unread(path=path, why=why) for path, why in sorted(search.unread.items())),
        links=tuple(sorted(search.links)),
        files=search.files,
    )


@dataclass(slots=True)
class _Search:
    needles: Needles
    area: Area
    scratch: Path
    hits: dict[tuple[Path, str], Hit] = field(default_factory=dict)
    unread: dict[Path, str] = field(default_factory=dict)
    links: list[Path] = field(default_factory=list)
    files: int = 0
    unpacked: int = 0

    def folder(self, folder: Path) -> None:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        except OSError as error:
            self.unread[folder] = error.strerror or str(error)
            return
        for entry in entries:
            path = Path(entry.path)
            if path in self.area.skip or path == self.scratch:
                continue
            self.name(path)
            if entry.is_symlink():
                self.link(path)
            elif entry.is_dir(follow_symlinks=False):
                self.folder(path)
            else:
                self.file(path)

    def name(self, path: Path) -> None:
        """What a file is called, as the warehouse keeps places and as people write them."""
        inside = [
            os.fsencode(path.relative_to(root))
            for root in self.area.roots
            if path.is_relative_to(root)
        ]
        for needle in self.needles.find(
            _BETWEEN.join([os.fsencode(path), *(b"./" + name for name in inside)])
        ):
            self.hit(path, needle.text, needle.start, "its name")

    def link(self, path: Path) -> None:
        for needle in self.needles.find(os.fsencode(path.readlink())):
            self.hit(path, needle.text, needle.start, "where it leads")
        target = path.resolve()
        if any(target.is_relative_to(root.resolve()) for root in self.area.roots):
            return
        if target.is_file():
            self.file(path)
        elif target.is_dir() and any(path.is_relative_to(source) for source in self.area.sources):
            self.links.append(path)
        elif target.is_dir():
            self.unread[path] = f"a link to {target}, where nothing was searched"

    def file(self, path: Path) -> None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return
            self.files += 1
            self.unpacked = 0
            with path.open("rb") as file:
                head = file.read(HEAD)
                self.whole(path, file, head, where="", depth=0)
        except FileNotFoundError:
            return  # gone meanwhile
        except UnreadError as error:
            self.unread[path] = str(error)
        except OSError as error:
            self.unread[path] = error.strerror or str(error)

    def whole(self, path: Path, file: IO[bytes], head: bytes, *, where: str, depth: int) -> None:
        """Search the bytes of a file, and what they hold once it is read as what it is."""
        file.seek(0)
        least = ROW if detect(head, where or path.name) in _SIDE_BY_SIDE else 0
        for text, offset in self.needles.first_in(file, at_least=least).items():
            self.hit(path, text, offset, where)
        self.inside(path, file, head, where=where, depth=depth)

    def inside(self, path: Path, file: IO[bytes], head: bytes, *, where: str, depth: int) -> None:
        """Search what a file holds once it is read as what it is; its bytes were searched."""
        name = where or path.name
        unread = unreadable(head, name)
        kind = detect(head, name)
        if unread is not None:
            raise UnreadError(f"{_of(where)}{unread}, which cannot be read here")
        if kind is None:
            return
        if depth > DEEPEST:
            raise UnreadError(f"{_of(where)}packed more than {DEEPEST} times")
        file.seek(0)
        try:
            if kind in STREAMS:
                self.unpack(
                    path,
                    open_stream(kind, file),
                    where=f"{where} unpacked".strip(),
                    name=_plain(name),
                    depth=depth,
                )
            elif kind in ARCHIVES:
                for names, content in open_members(kind, file):
                    member = names.split("\n", 1)[0]
                    for needle in self.needles.find(os.fsencode(names)):
                        self.hit(path, needle.text, needle.start, f"the name of {member!r} in it")
                    if content is not None:
                        self.unpack(
                            path,
                            content,
                            where=f"{where}/{member}".strip("/"),
                            name=member,
                            depth=depth,
                        )
            else:
                self.table(path, kind, file, where=where, depth=depth)
        except (UnreadError, *DAMAGED) as error:
            if not may_be_chance(kind, name):
                raise UnreadError(
                    f"{_of(where)}{kind}: {str(error) or type(error).__name__}"
                ) from error

    def unpack(self, path: Path, content: IO[bytes], *, where: str, name: str, depth: int) -> None:
        """Search something that is read forward only, and what it holds in turn."""
        head = b""
        while len(head) < HEAD and (part := content.read(HEAD - len(head))):
            head += part
        if detect(head, name) is None and unreadable(head, name) is None:
            stream = cast(IO[bytes], _Counted(self, head, content))
            for text, offset in self.needles.first_in(stream).items():
                self.hit(path, text, offset, where)
            return
        with tempfile.NamedTemporaryFile(dir=self.scratch) as file:
            counted = _Counted(self, head, content)
            while block := counted.read(BLOCK):
                file.write(block)
            self.whole(path, file, head, where=where, depth=depth + 1)

    def table(self, path: Path, kind: Kind, file: IO[bytes], *, where: str, depth: int) -> None:
        place = Path(file.name)
        if kind is Kind.SQLITE:
            for table, texts, blobs in read_sqlite(place):
                for needle in self.needles.find(_BETWEEN.join([*texts, *blobs])):
                    self.hit(path, needle.text, needle.start, f"{where} {table}".strip())
                self.blobs(path, blobs, where=table, depth=depth)
            return
        ours = path in self.area.written_anew
        for column, array in (
            read_duckdb(place, ours=ours) if kind is Kind.DUCKDB else read_arrow(kind, place)
        ):
            for text, row in search_texts(self.needles, array):
                self.hit(path, text, row, f"{where} {column}".strip())
            if not is_text(array):
                self.blobs(path, (value.as_py() for value in array), where=column, depth=depth)

    def blobs(self, path: Path, values: Iterable[bytes | None], *, where: str, depth: int) -> None:
        """Search files that lie in a table, such as sound or something compressed.

        Their bytes were searched before.
        """
        for value in values:
            head = (value or b"")[:HEAD]
            if value and (detect(head, "") is not None or unreadable(head, "") is not None):
                with tempfile.NamedTemporaryFile(dir=self.scratch) as file:
                    file.write(value)
                    file.flush()
                    self.inside(path, file, head, where=f"a file in {where}", depth=depth + 1)

    def hit(self, path: Path, text: str, offset: int, where: str) -> None:
        self.hits.setdefault((path, text), Hit(path=path, text=text, offset=offset, where=where))


class _Counted:
    """Something that is read forward, from a head that was read before.

    It refuses to unpack without end.
    """

    def __init__(self, search: _Search, head: bytes, content: IO[bytes]) -> None:
        self._search, self._head, self._content = search, head, content

    def read(self, size: int) -> bytes:
        """The next bytes; b"" at the end."""
        block, self._head = self._head or self._content.read(size), b""
        self._search.unpacked += len(block)
        if self._search.unpacked > MOST_UNPACKED:
            raise UnreadError(f"unpacks to more than {MOST_UNPACKED >> 30} GiB")
        return block


def _of(where: str) -> str:
    return f"{where} in it: " if where else ""


def _plain(name: str) -> str:
    """The name of what a compressed file holds: "a.tar" for "a.tar.gz"."""
    return name.rpartition(".")[0]
