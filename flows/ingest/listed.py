"""Listed sources: columns of a table, of which one is made a value when it is wanted."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import polars as pl

from voxdata.errors import DropReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file that may hold a recording.

    Attributes:
        uri: Absolute path (as a file:// URL when the name is not valid UTF-8) or URL.
        name: The last part of the path, for people.
        size_bytes: -1 when the store does not say.
        modified_ns: When it last changed; where a store tells no time, a number that changes with
            its ETag; else 0.
        path: Where it lies on this machine; None when it must be fetched.
        problem: Why it cannot be read, such as a link that leads out of the folder; "" when nothing
            is known to be wrong.
        problem_reason: What the ledger records then.
    """

    uri: str
    name: str
    size_bytes: int
    modified_ns: int
    path: Path | None = None
    problem: str = ""
    problem_reason: DropReason = DropReason.MISSING

    @property
    def is_readable(self) -> bool:
        """Whether it lies on this machine, and nothing is known to be wrong with it."""
        return self.path is not None and not self.problem


@dataclass(frozen=True, slots=True, eq=False)
class Listing(Sequence[Source]):
    """Sources, each URI once, sorted by it. A million of them are four columns and no objects.

    Attributes:
        files: (num_files, 4): `uri`, `size_bytes`, `modified_ns`, and in `odd` a place in `odd`, or
            -1 for a file on this machine with nothing wrong, whose path is its URI.
        odd: Whatever else is a source: what must be fetched, has a problem, or has a name that is
            no UTF-8.
    """

    files: pl.DataFrame
    odd: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return self.files.height

    def __iter__(self) -> Iterator[Source]:
        return (self._source(*row) for row in self.files.iter_rows())

    @overload
    def __getitem__(self, place: int) -> Source: ...
    @overload
    def __getitem__(self, place: slice) -> Listing: ...
    def __getitem__(self, place: int | slice) -> Source | Listing:
        if isinstance(place, slice):
            return Listing(self.files[place], self.odd)
        return self._source(*self.files.row(place))

    def only(self, condition: pl.Expr) -> Listing:
        """Those for which a condition on the columns holds."""
        return Listing(self.files.filter(condition), self.odd)

    def list_odd(self) -> list[Source]:
        """Those that are no plain files on this machine."""
        return list(self.only(pl.col("odd") >= 0))

    def _source(self, uri: str, size_bytes: int, modified_ns: int, odd: int) -> Source:
        if odd >= 0:
            return self.odd[odd]
        path = Path(uri)
        return Source(
            uri=uri, name=path.name, size_bytes=size_bytes, modified_ns=modified_ns, path=path
        )


class Lister:
    """Takes in sources one by one; of two with one URI the later counts."""

    def __init__(self) -> None:
        self._uris: list[str] = []
        self._sizes, self._times, self._places = array("q"), array("q"), array("q")
        self._odd: list[Source] = []

    def add_file(self, uri: str, size_bytes: int, modified_ns: int) -> None:
        """A file on this machine with nothing wrong, whose absolute path is its URI."""
        self._append(uri, size_bytes, modified_ns, -1)

    def add(self, source: Source) -> None:
        """Any source."""
        if source.is_readable and str(source.path) == source.uri:
            self.add_file(source.uri, source.size_bytes, source.modified_ns)
            return
        self._append(source.uri, source.size_bytes, source.modified_ns, len(self._odd))
        self._odd.append(source)

    def _append(self, uri: str, size_bytes: int, modified_ns: int, place: int) -> None:
        self._uris.append(uri)
        self._sizes.append(size_bytes)
        self._times.append(modified_ns)
        self._places.append(place)

    def listing(self) -> Listing:
        """All that was taken in."""
        numbers = {"size_bytes": self._sizes, "modified_ns": self._times, "odd": self._places}
        columns = [pl.Series("uri", self._uris, dtype=pl.String)]
        columns += [pl.Series(name, np.array(column, np.int64)) for name, column in numbers.items()]
        frame = pl.DataFrame(columns).unique("uri", keep="last").sort("uri")
        return Listing(frame, tuple(self._odd))


def list_all(sources: Iterable[Source]) -> Listing:
    """Sources that are values already."""
    lister = Lister()
    for source in sources:
        lister.add(source)
    return lister.listing()
