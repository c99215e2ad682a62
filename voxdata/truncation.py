"""Whether a file holds the bytes its own header promises, and whether it holds more.

Decoders read half a WAV without a word; these walks tell.

Each walk looks at chunk sizes only, so it is exact. Sizes that streaming writers leave open (0,
0xFFFFFFFF, 0x7FFFF000 and the like) promise nothing. Formats without a byte count (MP3, Ogg, ADTS)
cannot be judged and never are.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import BinaryIO

from voxdata.mp4_boxes import read_mp4_boxes

STREAMED_FROM = 0x7FFF0000
"""A 32-bit size from here up in a smaller file was written before the length was known.

SoX, ffmpeg and GStreamer do so.
"""

_OPEN_32 = ((0x7FFF0000, 0x80000000), (0xFFFF0000, 0xFFFFFFFF))
"""Sizes that mean "not known" in a file of any size: near the end of what 31 or 32 bits hold."""

_OPEN_64_FROM = 1 << 62
_CLASSIC_PARTS = frozenset({44, 36})
"""What some recorders add to the size of the sound however long their header is."""

_FORMS = {
    b"RIFF": "<",
    b"RIFX": ">",
    b"RF64": "<",
    b"BW64": "<",
    b"FORM": ">",
}
"""The order of bytes in each."""

_KINDS = (b"WAVE", b"AIFF", b"AIFC")
_TAGS = (
    b"ID3",
    b"TAG",
    b"APETAGEX",
    b"LIST",
    b"id3 ",
    b"bext",
    b"iXML",
    b"_PMX",
    b"JUNK",
    b"junk",
    b"PAD ",
    b"FLLR",
)
"""What other programs put behind the sound, with or without a right size of its own."""

_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_NAME_END = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_AU_SAMPLE_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
_READ = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How the sound of a file lies in its bytes.

    Attributes:
        missing: Bytes of sound promised beyond the end of the file.
        streamed: The size was left open: the sound goes to the end of the file.
        after_ms: How long the bytes after its end would sound; 0 for tags, zeros and nothing.
        joined: What lies there begins with a header of its own.
        kept: FFmpeg reads it nevertheless.
        patch: Offset -> bytes to read there, where an open size keeps FFmpeg from reading.
    """

    missing: int = 0
    streamed: bool = False
    after_ms: int = 0
    joined: bool = False
    kept: bool = False
    patch: Mapping[int, bytes] = field(default_factory=dict)


def missing_bytes(path: Path) -> int:
    """How many bytes of audio the header promises beyond the end of the file.

    Covers WAV (RIFF, RIFX, RF64, BW64), AIFF/AIFC, AU, Wave64 and the MP4 family, but for
    fragmented files, whose fragments stand for themselves; 0 for everything else, and when nothing
    is missing.

    Raises:
        OSError: The file cannot be read.
    """
    boxes = read_mp4_boxes(path)
    if boxes is not None:
        return 0 if boxes.fragmented else boxes.missing
    return measure_extent(path).missing


def measure_extent(path: Path) -> Extent:
    """Compare the sizes in the header of a WAV, AIFF, AU or Wave64 file with the file.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(40)
        if head[:4] in _FORMS and head[8:12] in _KINDS:
            return _measure_iff(file, size)
        if head[:4] == b".snd" and len(head) >= 24:
            return _measure_au(head, size)
        if head[:16] == _W64_RIFF and len(head) == 40:
            return _measure_w64(file, size)
    return Extent()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """The chunk of a WAV or AIFF file that holds the sound.

    Attributes:
        bounds: Where the parts of the header begin and end, up to the sound.
        length: As the chunk says.
        long_size: What stands for a length of all ones (RF64).
        start: Where its content begins.
        row: Bytes of one sample of all channels.
        bytes_a_second: 0 when the header does not say.
        common: Where the content of AIFF's COMM chunk begins; 0 in a WAV.
    """

    bounds: tuple[int, ...]
    length: int
    long_size: int | None
    start: int
    row: int
    bytes_a_second: float
    common: int


def _measure_iff(file: BinaryIO, size: int) -> Extent:
    sound = _find_sound(file, 0, size)
    if sound is None:
        return Extent()
    length = sound.length
    if length == 0xFFFFFFFF and sound.long_size is not None:
        length = sound.long_size
        if length in (0, 0xFFFFFFFF) or length >= _OPEN_64_FROM:
            sizes = struct.pack("<QQ", size - 8, size - sound.start)
            return Extent(
                streamed=True,
                patch={20: sizes},
            )
    elif _is_open(length, size):
        return Extent(streamed=True)
    elif sound.common and length == 8 < size - sound.start:
        # The writer could not go back: its chunk is empty, and the rest of the file is sound.
        return Extent(
            streamed=True,
            patch=_aiff_patch(sound, size),
        )

    end = sound.start + length
    if end <= size:
        return _measure_after(file, sound, end, size)
    missing = end - size
    if _counts_header(missing, sound, size):
        return Extent()
    return Extent(missing=missing)


def _is_open(length: int, size: int) -> bool:
    if length == 0 or any(low <= length <= high for low, high in _OPEN_32):
        return True
    return length >= STREAMED_FROM > size


def _find_sound(
    file: BinaryIO,
    at: int,
    size: int,
) -> _Sound | None:
    """Walk the chunks of a form that begins at `at` up to its sound."""
    file.seek(at)
    form = file.read(12)
    order = _FORMS[form[:4]]
    bounds = [at, at + 8, at + 12]
    long_size: int | None = None
    row = 1
    bytes_a_second = 0.0
    common = 0
    here = at + 12
    while here + 8 <= size:
        file.seek(here)
        head = file.read(8)
        body = file.read(40)
        name = head[:4]
        length = _unpack(order + "I", head[4:8])
        bounds += [here, here + 8]
        if name in (b"data", b"SSND"):
            return _Sound(
                bounds=tuple(bounds),
                length=length,
                long_size=long_size,
                start=here + 8,
                row=row,
                bytes_a_second=bytes_a_second,
                common=common,
            )
        if name == b"ds64" and len(body) >= 16:
            long_size = _unpack("<Q", body[8:16])
        elif name == b"fmt " and len(body) >= 16:
            bytes_a_second, row = struct.unpack(order + "IH", body[8:14])
            row = row or 1
        elif name == b"COMM" and len(body) >= 18:
            channels, bits = struct.unpack(">H4xH", body[:8])
            sample_bytes = (bits + 7) // 8
            row = max(1, channels * sample_bytes)
            bytes_a_second = row * _extended(body[8:18])
            common = here + 8
        here += 8 + length + length % 2
    return None


def _unpack(form: str, number: bytes) -> int:
    """One whole number."""
    return int(struct.unpack(form, number)[0])


def _counts_header(missing: int, sound: _Sound, size: int) -> bool:
    """Whether the size is too large only by parts of the header, or a byte of padding.

    The sound itself is whole then, so it ends with a whole sample.
    """
    held = size - sound.start
    is_even = held % 2 == 0
    is_whole = held % sound.row == 0
    spans = {end - begin for begin, end in combinations(sound.bounds, 2)}
    parts = (spans | _CLASSIC_PARTS) - {4}  # the word WAVE alone is no header
    if held > 0 and is_whole and missing in parts:
        return True
    if not is_even and is_whole:
        return missing == 1 or missing - 1 in parts  # padding was counted and not written
    is_padded = held > 1 and is_even and (held - 1) % sound.row == 0
    return is_padded and missing + 1 in parts


def _measure_after(file: BinaryIO, sound: _Sound, end: int, size: int) -> Extent:
    """What follows the sound: chunks, tags and zeros are passed over, anything else is reported."""
    here = end + (end - sound.start) % 2
    file.seek(end)
    if _is_chunk_name(file.read(4)) and here != end:
        here = end  # the writer left the padding out
    order = ">" if sound.common else "<"
    while here + 8 <= size:
        file.seek(here)
        chunk = file.read(12)
        name = chunk[:4]
        if name in _FORMS and chunk[8:12] in _KINDS:
            return Extent(
                after_ms=_joined_ms(file, here, size),
                joined=True,
            )
        length = _unpack(order + "I", chunk[4:8])
        if not _is_chunk_name(name) or here + 8 + length > size + 1:
            break
        here += 8 + length + length % 2

    file.seek(min(here, size))
    is_tag = file.read(8).startswith(_TAGS)
    if is_tag or not _holds_sound(file, here, size) or sound.bytes_a_second <= 0:
        return Extent()
    after_s = (size - here) * 1000 / sound.bytes_a_second
    return Extent(after_ms=round(after_s))


def _is_chunk_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _joined_ms(file: BinaryIO, at: int, size: int) -> int:
    """Length of the forms that follow one another from `at` on."""
    total_ms = 0.0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        sound = _find_sound(file, at, size) if head[:4] in _FORMS else None
        if sound is None or sound.bytes_a_second <= 0:
            break
        held = size - sound.start
        if not _is_open(sound.length, size):
            held = min(held, sound.length)
        total_ms += held * 1000 / sound.bytes_a_second
        at = sound.start + held + held % 2
    return round(total_ms)


def _holds_sound(file: BinaryIO, at: int, size: int) -> bool:
    """Whether anything but zeros lies between two places."""
    file.seek(at)
    while at < size:
        block = file.read(min(_READ, size - at))
        if not block:
            break
        if any(block):
            return True
        at += len(block)
    return False


def _extended(number: bytes) -> float:
    """An 80-bit extended number, as AIFF writes its rate."""
    exponent, mantissa = struct.unpack(">HQ", number)
    shift = (exponent & 0x7FFF) - 16383 - 63
    if not -128 < shift < 64:
        return 0.0
    return float(mantissa * 2.0**shift)


def _aiff_patch(sound: _Sound, size: int) -> dict[int, bytes]:
    """What FFmpeg should read for the sizes that an AIFF writer left open."""
    held = min(size - sound.start, 0x7FFFFFFE)
    frames = (held - 8) // sound.row
    return {
        4: struct.pack(">I", size - 8),
        sound.common + 2: struct.pack(">I", frames),
        sound.start - 4: struct.pack(">I", held),
    }


def _measure_au(head: bytes, size: int) -> Extent:
    """Sun's AU: one header, then sound; FFmpeg reads to the end of the file whatever it says."""
    start, length, encoding, rate_hz, channels = struct.unpack(">5I", head[4:24])
    if _is_open(length, size):
        patch = {8: b"\xff\xff\xff\xff"} if length == 0 else {}
        return Extent(streamed=True, patch=patch)

    bytes_a_second = _AU_SAMPLE_BYTES.get(encoding, 0) * rate_hz * channels
    after = size - start - length
    if after < 0:
        missing = -after
        return Extent() if missing == start else Extent(missing=missing)
    if not bytes_a_second:
        return Extent()
    return Extent(
        after_ms=after * 1000 // bytes_a_second,
        kept=True,
    )


def _measure_w64(file: BinaryIO, size: int) -> Extent:
    """Sony's Wave64: RIFF with names of 16 bytes and sizes of 64 bits, which count their header."""
    at = 40
    bytes_a_second = 0
    while at + 24 <= size:
        file.seek(at)
        chunk = file.read(24 + 16)
        name = chunk[:16]
        length = _unpack("<Q", chunk[16:24])
        if name[:4] == b"fmt ":
            bytes_a_second = _unpack("<I", chunk[32:36])
        if name == b"data" + _W64_NAME_END:
            is_narrow = length < 1 << 32
            is_open = is_narrow and _is_open(length, size)
            if is_open or length == 24 or length >= _OPEN_64_FROM:
                return Extent(streamed=True)
            end = at + length
            counts_header = end - size in (24, at, at + 24)
            return Extent() if counts_header else _after_w64(file, end, size, bytes_a_second)
        if length < 24:
            break
        at += _padded(length)
    return Extent()


def _after_w64(file: BinaryIO, end: int, size: int, bytes_a_second: int) -> Extent:
    """What follows the sound of a Wave64 file."""
    if end > size:
        return Extent(missing=end - size)
    file.seek(_padded(end))
    name = file.read(16)
    if name[4:] == _W64_NAME_END or not bytes_a_second or not _holds_sound(file, end, size):
        return Extent()
    after_ms = (size - end) * 1000 // bytes_a_second
    return Extent(
        after_ms=after_ms,
        joined=name == _W64_RIFF,
    )


def _padded(length: int) -> int:
    """The next multiple of 8, as Wave64 has it."""
    return (length + 7) // 8 * 8
