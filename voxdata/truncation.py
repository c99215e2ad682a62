"""Does a file hold the bytes its own header promises? Decoders read half a WAV without a word; these walks tell.

Each walk looks at chunk sizes only, so it is exact. Sizes that streaming writers leave open (0, 0xFFFFFFFF, 0x7FFFF000
and the like) promise nothing. Formats without a byte count (MP3, Ogg, ADTS) cannot be judged and never are.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

STREAMED_FROM = 0x7FFF0000
"""A 32-bit size from here up in a smaller file was written before the length was known (SoX, ffmpeg and GStreamer do)."""


def missing_bytes(path: Path) -> int:
    """How many bytes of audio the header promises beyond the end of the file.

    Covers WAV (RIFF, RIFX, RF64, BW64), AIFF/AIFC and the MP4 family; 0 for everything else, and when nothing is missing.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
            return _missing_riff(file, size, big_endian=head[:4] == b"RIFX")
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _missing_chunk(file, size, name=b"SSND", order=">", long_size=None)
        if head[4:8] == b"ftyp":
            return _missing_box(file, size)
    return 0


def _missing_riff(file: BinaryIO, size: int, *, big_endian: bool) -> int:
    order = ">" if big_endian else "<"
    long_size: int | None = None
    head = file.read(8)
    if head[:4] == b"ds64":
        body = file.read(16)
        if len(body) == 16:
            long_size = int(struct.unpack("<Q", body[8:16])[0])
    file.seek(12)
    return _missing_chunk(file, size, name=b"data", order=order, long_size=long_size)


def _missing_chunk(file: BinaryIO, size: int, *, name: bytes, order: str, long_size: int | None) -> int:
    """Walk IFF chunks to `name`; `long_size` replaces a 32-bit size of all ones."""
    at = file.tell()
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int(struct.unpack(order + "I", head[4:8])[0])
        if head[:4] == name:
            if length == 0xFFFFFFFF and long_size is not None:
                length = 0 if long_size >= 1 << 62 else long_size
            elif length >= STREAMED_FROM and size < STREAMED_FROM:
                length = 0
            return max(0, at + 8 + length - size)
        at += 8 + length + length % 2
    return 0


def _missing_box(file: BinaryIO, size: int) -> int:
    """Walk top-level MP4 boxes; a size of 0 means "to the end of the file"."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int(struct.unpack(">I", head[:4])[0])
        if length == 1 and len(head) == 16:
            length = int(struct.unpack(">Q", head[8:16])[0])
        if length < 8:
            return 0
        if at + length > size and head[4:8] == b"mdat":
            return at + length - size
        at += length
    return 0
