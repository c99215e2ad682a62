"""The boxes of an MP4 file: whether its index was written, and what is missing of what it holds."""

from __future__ import annotations

import struct
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
    size, at = path.stat().st_size, 0
    missing = joined_ms = num_films = 0
    seen: set[bytes] = set()
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, name = int(struct.unpack(">I", head[:4])[0]), head[4:8]
            if at == 0 and name not in _FIRST:
                return None
            if length == 1 and len(head) == 16:
                length = int(struct.unpack(">Q", head[8:16])[0])
            if length == 0:
                length = size - at
            if length < 8:
                break
            missing = max(0, at + length - size)
            if not missing or name in (b"mdat", b"moof"):
                seen.add(name)
            if name == b"moov" and not missing:
                num_films += 1
                joined_ms += _film_ms(file, at, length) if num_films > 1 else 0
            at += length
    if b"moof" in seen and at < size < at + 8:
        missing = at + 8 - size  # cut inside the header of a box
    if not seen and not missing:
        return None
    return Mp4Boxes(
        index=b"moov" in seen,
        other_index=b"meta" in seen,
        fragmented=b"moof" in seen,
        missing=missing,
        joined_ms=joined_ms,
    )


def _film_ms(file: BinaryIO, at: int, length: int) -> int:
    """Duration of a `moov` box by its `mvhd`."""
    file.seek(at)
    found = file.read(min(length, 4096))
    place = found.find(b"mvhd")
    body = found[place + 4 : place + 36]
    if place < 0 or len(body) < 32:
        return 0
    long = body[0] == 1
    scale, duration = struct.unpack(">IQ" if long else ">II", body[20:32] if long else body[12:20])
    return int(duration) * 1000 // int(scale) if scale else 0
