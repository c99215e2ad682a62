"""Canonical audio: the 16 kHz FLAC that every later stage reads, and the clips cut from it.

Needs libsndfile only, no decoder.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from voxdata.audio_digest import REMEDY, AudioDigest, blaming, check_head, open_audio
from voxdata.durable import replacing
from voxdata.errors import AudioError, DropReason, MachineError
from voxdata.machine import machine_error
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment

_DECODED_AT_ONCE = 1 << 20
_READ_AT_ONCE = 1 << 20


def write_canonical(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write a canonical recording that lies in memory; see `write_canonical_blocks`.

    Args:
        samples: (num_samples, num_channels) float32 in [-1, 1], 1 ... 8 channels.
    """
    write_canonical_blocks(path, [samples], num_channels=samples.shape[1])


def write_canonical_blocks(
    path: Path,
    blocks: Iterable[npt.NDArray[np.float32]],
    *,
    num_channels: int,
) -> None:
    """Write a canonical recording: 16 kHz FLAC, 16 bit. Atomic; parent folders are made.

    Args:
        path: Where to; replaced when there.
        blocks: (num_samples, num_channels) float32 in [-1, 1] each, 1 ... 8 channels.

    Raises:
        MachineError: The disk is full or the folder cannot be written.
    """
    _write_atomic(path, blocks, num_channels=num_channels, container="FLAC")


def write_clip_wav(path: Path, samples: Samples) -> None:
    """Write a clip as browsers play it: 16 kHz mono WAV, 16 bit. Atomic; parent folders are made.

    Args:
        path: Where to; replaced when there.
        samples: (num_samples,) float32 in [-1, 1].

    Raises:
        MachineError: The disk is full or the folder cannot be written.
    """
    _write_atomic(
        path,
        [samples[:, None]],
        num_channels=1,
        container="WAV",
    )


def _write_atomic(
    path: Path,
    blocks: Iterable[npt.NDArray[np.float32]],
    *,
    num_channels: int,
    container: str,
) -> None:
    with replacing(path) as file:
        disk = _Disk(file)
        try:
            with soundfile.SoundFile(
                disk, "w", MODEL_RATE_HZ, num_channels, format=container, subtype="PCM_16"
            ) as out:
                for block in blocks:
                    out.write(_as_16_bit(block))
                    disk.require()
        except soundfile.SoundFileError as error:
            disk.require()
            raise OSError(f"{path}: cannot be written ({error})") from error
        disk.require()


def _as_16_bit(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    scaled = np.rint(samples * np.float32(32768))
    clipped: npt.NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype(np.int16)
    return clipped


class _Disk:
    """A file for libsndfile that keeps the system's error.

    libsndfile itself learns only that something failed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.read = file.read
        self._error: OSError | None = None

    def write(self, content: bytes) -> int:
        """Write all of it, or keep why not."""
        if self._error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._error = error
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place, and return it.

        What still waits in the buffer is written first, and may be refused.
        """
        if self._error is None:
            try:
                return self._file.seek(offset, whence)
            except OSError as error:
                self._error = error
        return 0

    def require(self) -> None:
        """Raise the system's error, if there was one."""
        if self._error is not None:
            raise self._error


def read_clip(
    path: Path,
    *,
    channel: int = 0,
    segment: Segment | None = None,
    expected: AudioDigest | None = None,
) -> Samples:
    """Read one channel of a canonical recording, or a stretch of it.

    Args:
        path: A file that `write_canonical` wrote.
        channel: 0-based.
        segment: Which stretch; the part after the end of the recording is left out. None: all of
            it.
        expected: What its size and head are compared with; None compares nothing.

    Returns:
        (num_samples,) float32 at MODEL_RATE_HZ.

    Raises:
        AudioError: MISSING, ALTERED, UNDECODABLE, INVALID_FORMAT (not canonical, or no such
            channel) or TOO_SHORT (`segment` begins after the end).
    """
    num_samples, num_channels = _probe(path, expected)
    if not 0 <= channel < num_channels:
        message = f"{path}: has {num_channels} channel(s); channel {channel} was asked for"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    if segment is None:
        return _read_block(path, channel, 0, num_samples, expected)

    start = segment.start_ms * MODEL_RATE_HZ // 1000
    stop = math.ceil(segment.end_ms * MODEL_RATE_HZ / 1000)
    if start >= num_samples:
        message = f"{path}: ends before {segment.start_ms} ms"
        raise AudioError(message, reason=DropReason.TOO_SHORT)
    return _read_block(path, channel, start, min(stop, num_samples), expected)


@contextmanager
def _decoding(path: Path, expected: AudioDigest | None) -> Iterator[soundfile.SoundFile]:
    """Lend an open canonical file; what goes wrong while it is lent is an error about that file."""
    try:
        with (
            blaming(expected),
            _open(path, expected) as raw,
            soundfile.SoundFile(raw.fileno(), closefd=False) as file,
        ):
            yield file
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise _damaged(path, error, expected) from error


def _probe(path: Path, expected: AudioDigest | None) -> tuple[int, int]:
    """(num_samples, num_channels) of a canonical file."""
    with _decoding(path, expected) as file:
        rate_hz = file.samplerate
        num_samples = file.frames
        num_channels = file.channels
    if rate_hz != MODEL_RATE_HZ:
        message = f"{path}: is at {rate_hz} Hz, not canonical; {REMEDY}"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    return num_samples, num_channels


def _read_block(
    path: Path,
    channel: int,
    start: int,
    stop: int,
    expected: AudioDigest | None,
) -> Samples:
    size = stop - start
    with _decoding(path, expected) as file:
        file.seek(start)
        block = file.read(size, dtype="float32", always_2d=True)
    missing = size - len(block)
    if missing > 0:
        raise _damaged(path, f"{missing} samples are missing", expected)
    return np.ascontiguousarray(block[:, channel])


def _open(path: Path, expected: AudioDigest | None) -> BufferedReader:
    file = open_audio(path)
    if expected is not None:
        try:
            check_head(file, path, expected)
        except BaseException:
            file.close()
            raise
    return file


def _damaged(
    path: Path,
    why: object,
    expected: AudioDigest | None,
) -> AudioError | MachineError:
    """The error of a file that does not decode: the disk's, when it cannot even be read."""
    try:
        with open_audio(path) as file:
            while file.read(_READ_AT_ONCE):
                pass
    except OSError as error:
        return machine_error(path, error)
    lines = str(why).splitlines()
    first = lines[0] if lines else "unreadable"
    message = f"{path}: the canonical audio is damaged ({first}); {REMEDY}"
    owner = "" if expected is None else expected.recording_id
    if owner:
        message = f"recording {owner}: {message}"
    return AudioError(message, reason=DropReason.UNDECODABLE, recording_id=owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalSound:
    """One channel of a canonical recording as a `Sound`: read in stretches, never held whole.

    Attributes:
        path: A file that `write_canonical` wrote.
        channel: 0-based.
        num_samples: At MODEL_RATE_HZ.
        expected: What the file's size and head are compared with at every read; None compares
            nothing.
    """

    path: Path
    channel: int
    num_samples: int
    expected: AudioDigest | None = None

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """See `Sound.read`.

        Raises:
            AudioError: The file is gone, damaged or another.
            MachineError: The disk does not let it be read.
        """
        stop = self.num_samples if stop is None else min(stop, self.num_samples)
        if start >= stop:
            return np.zeros(0, np.float32)
        return _read_block(self.path, self.channel, start, stop, self.expected)


def open_canonical(path: Path, *, expected: AudioDigest | None = None) -> list[CanonicalSound]:
    """The channels of a canonical recording.

    Args:
        expected: What the file's size and head are compared with, now and at every read; None
            compares nothing.

    Raises:
        AudioError: MISSING, ALTERED, UNDECODABLE or INVALID_FORMAT.
        MachineError: The disk does not let it be read.
    """
    num_samples, num_channels = _probe(path, expected)
    channels = []
    for channel in range(num_channels):
        sound = CanonicalSound(
            path=path,
            channel=channel,
            num_samples=num_samples,
            expected=expected,
        )
        channels.append(sound)
    return channels


def check_samples(
    path: Path,
    *,
    expected: AudioDigest,
    num_samples: int | None,
    num_channels: int | None,
) -> None:
    """Decode a canonical file whole, and compare its samples with what its own head says of them.

    Args:
        expected: Its digest as read just now.
        num_samples, num_channels: What its recording has; None: not known.

    Raises:
        AudioError: MISSING, UNDECODABLE, INVALID_FORMAT, or ALTERED: it is another recording's.
        MachineError: The disk does not let it be read.
    """
    samples, channels = _probe(path, expected)
    _check_count(path, expected, "samples", samples, num_samples)
    _check_count(path, expected, "channels", channels, num_channels)

    hasher = hashlib.md5(usedforsecurity=False)
    decoded = 0
    with _decoding(path, expected) as file:
        while len(block := file.read(_DECODED_AT_ONCE, dtype="int16", always_2d=True)):
            hasher.update(block.astype("<i2").tobytes())
            decoded += len(block)
    if decoded != samples or hasher.hexdigest() != expected.samples_md5:
        raise _damaged(path, "its samples differ from the digest in its header", expected)


def _check_count(
    path: Path,
    expected: AudioDigest,
    noun: str,
    count: int,
    wanted: int | None,
) -> None:
    """Refuse a file that has another number of something than its recording."""
    if wanted is None or count == wanted:
        return
    recording_id = expected.recording_id
    difference = f"has {count} {noun} instead of {wanted}"
    message = f"recording {recording_id}: its canonical audio {path} {difference}; {REMEDY}"
    raise AudioError(message, reason=DropReason.ALTERED, recording_id=recording_id)
