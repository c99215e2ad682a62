"""The boxes of an MP4 file: whether its index was written, and what is missing of what it holds."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_FIRST = frozenset(b"ftyp moov mdat wide free skip pnot styp sidx moof".split())
"""Boxes that a file may begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mp4Boxes:
    """What the top-level boxes of a file say.

    Attributes:
        index: The `moov` box, which says where the sound lies, is there as a whole.
        other_index: A `meta` box stands instead, as in images.
        fragmented: The sound lies in fragments that carry an index each.
        missing: Bytes that the last box promises beyond the end of the file.
        joined_ms: Length of further films that follow the first in the same file.
    """

    index: bool
    other_index: bool
    fragmented: bool
    missing: int
    joined_ms: int


def read_mp4_boxes(path: Path) -> Mp4Boxes | None:
    """Walk the top-level boxes; None when the file is no MP4, M4A, 3GP or QuickTime file.

    A size of 0 means "to the end of the file"; a box shorter than its own header ends the walk.

    Raises:
        OSError: The file cannot be read.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    size = path.stat().st_size
    end = 0
    missing = 0
    films_ms: list[int] = []
    names: set[bytes] = set()
    with path.open("rb") as file:
        for box in _boxes(file, size):
            if box.at == 0 and box.name not in _FIRST:
                return None
            if box.length < 8:
                break
            end = box.at + box.length
            missing = max(0, end - size)
            if not missing or box.name in (b"mdat", b"moof"):
                names.add(box.name)
            if not missing and box.name == b"moov":
                films_ms.append(_film_ms(file, box))

    if b"moof" in names and end < size < end + 8:
        missing = end + 8 - size  # cut inside the header of a box
    if not names and not missing:
        return None
    return Mp4Boxes(
        index=b"moov" in names,
        other_index=b"meta" in names,
        fragmented=b"moof" in names,
        missing=missing,
        joined_ms=sum(films_ms[1:]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """One top-level box, by where it begins and how long it says it is."""

    at: int
    name: bytes
    length: int


def _boxes(file: BinaryIO, size: int) -> Iterator[_Box]:
    """One box after the other, up to one that is too short to hold its own header."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        (length,) = struct.unpack(">I", head[:4])
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:16])
        if length == 0:
            length = size - at
        yield _Box(
            at=at,
            name=head[4:8],
            length=length,
        )
        at += length


def _film_ms(file: BinaryIO, box: _Box) -> int:
    """Duration of a `moov` box by its `mvhd`."""
    file.seek(box.at)
    beginning = file.read(min(box.length, 4096))
    place = beginning.find(b"mvhd")
    body = beginning[place + 4 : place + 36]
    if place < 0 or len(body) < 32:
        return 0
    if body[0] == 1:
        scale, duration = struct.unpack(">IQ", body[20:32])
    else:
        scale, duration = struct.unpack(">II", body[12:20])
    return int(duration) * 1000 // int(scale) if scale else 0
