"""The links of an Ogg file: streams that follow one another in it, as in joined recordings."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

AudioFormat = tuple[str, int, int]
"""(codec, sample rate in Hz, channels)."""

_SEARCH = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class OggLink:
    """One link.

    Attributes:
        offset: Where it begins, in bytes.
        formats: The formats of its audio streams.
    """

    offset: int
    formats: tuple[AudioFormat, ...]


def list_ogg_links(path: Path) -> list[OggLink]:
    """Walk the pages of an Ogg file; [] for anything else.

    Raises:
        OSError: The file cannot be read.

    Source: RFC 3533, sections 4 and 6.
    """
    links: list[OggLink] = []
    is_beginning = False
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return []
        for page in _pages(file):
            if not page.begins_stream:
                is_beginning = False
                continue
            if not is_beginning:
                links.append(
                    OggLink(
                        offset=page.offset,
                        formats=(),
                    )
                )
                is_beginning = True
            audio_format = _audio_format(page.body)
            if audio_format is not None:
                formats = (*links[-1].formats, audio_format)
                links[-1] = replace(links[-1], formats=formats)
    return links


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One page.

    Attributes:
        body: The beginning of its content.
    """

    offset: int
    begins_stream: bool
    body: bytes


def _pages(file: BinaryIO) -> Iterator[_Page]:
    """Each page; what lies between is passed over."""
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
        header_size = 27 + head[26]
        yield _Page(
            offset=at,
            begins_stream=bool(head[5] & 2),
            body=head[header_size : header_size + 80],
        )
        at += header_size + sum(head[27:header_size])


def _audio_format(body: bytes) -> AudioFormat | None:
    """What the first packet of a stream says; None when it is no audio that is known."""
    if body.startswith(b"OpusHead") and len(body) >= 19:
        return "opus", 48_000, body[9]
    if body.startswith(b"\x01vorbis") and len(body) >= 16:
        (rate_hz,) = struct.unpack("<I", body[12:16])
        return "vorbis", int(rate_hz), body[11]
    if body.startswith(b"Speex   ") and len(body) >= 52:
        rate_hz, channels = struct.unpack("<I8xI", body[36:52])
        return "speex", int(rate_hz), int(channels)
    if body.startswith(b"\x7fFLAC") and len(body) >= 13 + 4 + 14:
        packed = int.from_bytes(body[27:31], "big")
        rate_hz = packed >> 12
        channels = (packed >> 9 & 7) + 1
        return "flac", rate_hz, channels
    return None
