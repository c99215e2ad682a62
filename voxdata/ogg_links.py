"""The links of an Ogg file: streams that follow one another in it, as in joined recordings."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SEARCH = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class OggLink:
    """One link.

    Attributes:
        offset: Where it begins, in bytes.
        formats: (codec, sample rate, channels) of each of its audio streams.
    """

    offset: int
    formats: tuple[tuple[str, int, int], ...]


def list_ogg_links(path: Path) -> list[OggLink]:
    """Walk the pages of an Ogg file; [] for anything else.

    Raises:
        OSError: The file cannot be read.

    Source: RFC 3533, sections 4 and 6.
    """
    links: list[OggLink] = []
    begun = False
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return []
        for offset, flags, body in _pages(file):
            if not flags & 2:
                begun = False
                continue
            found = _audio_format(body)
            formats = (found,) if found is not None else ()
            if begun:
                links[-1] = OggLink(offset=links[-1].offset, formats=(*links[-1].formats, *formats))
            else:
                links.append(OggLink(offset=offset, formats=formats))
            begun = True
    return links


def _pages(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """(offset, flags, beginning of the body) of each page; what lies between is passed over."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(27 + 255 + 80)
        if len(head) < 27:
            return
        if head[:4] != b"OggS":
            more = head + file.read(_SEARCH)
            place = more.find(b"OggS", 1)
            if place < 0:
                return
            at += place
            continue
        num_segments = head[26]
        sizes = head[27 : 27 + num_segments]
        body = head[27 + num_segments : 27 + num_segments + 80]
        yield at, head[5], body
        at += 27 + num_segments + sum(sizes)


def _audio_format(body: bytes) -> tuple[str, int, int] | None:
    """What the first packet of a stream says; None when it is no audio that is known."""
    if body.startswith(b"OpusHead") and len(body) >= 19:
        return "opus", 48_000, body[9]
    if body.startswith(b"\x01vorbis") and len(body) >= 16:
        return "vorbis", int(struct.unpack("<I", body[12:16])[0]), body[11]
    if body.startswith(b"Speex   ") and len(body) >= 52:
        rate_hz, channels = struct.unpack("<I8xI", body[36:52])
        return "speex", int(rate_hz), int(channels)
    if body.startswith(b"\x7fFLAC") and len(body) >= 13 + 4 + 14:
        packed = int.from_bytes(body[27:31], "big")
        return "flac", packed >> 12, (packed >> 9 & 7) + 1
    return None
