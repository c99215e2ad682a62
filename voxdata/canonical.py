"""Canonical audio: the 16 kHz FLAC that every later stage reads, and the clips cut from it. Needs libsndfile only, no decoder."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from voxdata.durable import replacing
from voxdata.errors import AudioError, DropReason, MachineError
from voxdata.machine import machine_error
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment


def write_canonical(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write a canonical recording that lies in memory; see `write_canonical_blocks`.

    Args:
        samples: (num_samples, num_channels) float32 in [-1, 1], 1 ... 8 channels.
    """
    write_canonical_blocks(path, [samples], num_channels=samples.shape[1])


def write_canonical_blocks(path: Path, blocks: Iterable[npt.NDArray[np.float32]], *, num_channels: int) -> None:
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
    _write_atomic(path, [samples[:, None]], num_channels=1, container="WAV")


def _write_atomic(path: Path, blocks: Iterable[npt.NDArray[np.float32]], *, num_channels: int, container: str) -> None:
    with replacing(path) as file:
        disk = _Disk(file)
        try:
            with soundfile.SoundFile(disk, "w", MODEL_RATE_HZ, num_channels, format=container, subtype="PCM_16") as out:
                for block in blocks:
                    out.write(np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype(np.int16))
                    disk.require()
        except soundfile.SoundFileError as error:
            disk.require()
            raise OSError(f"{path}: cannot be written ({error})") from error
        disk.require()


class _Disk:
    """A file for libsndfile, which would hear only that something failed: keeps what the system said."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell, self.read = file.tell, file.read
        self._trouble: OSError | None = None

    def write(self, content: bytes) -> int:
        """All of it, or it is kept why not."""
        if self._trouble is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._trouble = error
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Where it stands then; what still waits in the buffer is written first, and may be refused."""
        if self._trouble is None:
            try:
                return self._file.seek(offset, whence)
            except OSError as error:
                self._trouble = error
        return 0

    def require(self) -> None:
        """Raise what the system said, if anything."""
        if self._trouble is not None:
            raise self._trouble


def read_clip(path: Path, *, channel: int = 0, segment: Segment | None = None) -> Samples:
    """Read one channel of a canonical recording, or a stretch of it.

    Args:
        path: A file that `write_canonical` wrote.
        channel: 0-based.
        segment: Which stretch; the part after the end of the recording is left out. None: all of it.

    Returns:
        (num_samples,) float32 at MODEL_RATE_HZ.

    Raises:
        AudioError: MISSING, UNDECODABLE, INVALID_FORMAT (not canonical, or no such channel) or TOO_SHORT (`segment` begins after the end).
    """
    num_samples, num_channels = _probe(path)
    if not 0 <= channel < num_channels:
        message = f"{path}: has {num_channels} channel(s); channel {channel} was asked for"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    start, stop = 0, num_samples
    if segment is not None:
        start = segment.start_ms * MODEL_RATE_HZ // 1000
        stop = min(stop, math.ceil(segment.end_ms * MODEL_RATE_HZ / 1000))
        if start >= num_samples:
            raise AudioError(f"{path}: ends before {segment.start_ms} ms", reason=DropReason.TOO_SHORT)
    return _read_block(path, channel, start, stop)


def _probe(path: Path) -> tuple[int, int]:
    """(num_samples, num_channels) of a canonical file."""
    try:
        with _open(path) as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            rate_hz, num_samples, num_channels = file.samplerate, file.frames, file.channels
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if rate_hz != MODEL_RATE_HZ:
        raise AudioError(f"{path}: is at {rate_hz} Hz, not canonical; ingest its source again", reason=DropReason.INVALID_FORMAT)
    return num_samples, num_channels


def _read_block(path: Path, channel: int, start: int, stop: int) -> Samples:
    try:
        with _open(path) as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            file.seek(start)
            block = file.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if len(block) < stop - start:
        raise _damaged(path, f"{stop - start - len(block)} samples are missing")
    return np.ascontiguousarray(block[:, channel])


def _open(path: Path) -> BinaryIO:
    """Open a canonical file by ourselves: libsndfile does not say why it cannot.

    Raises:
        AudioError: MISSING.
        MachineError: It is there, and the system does not let us.
    """
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioError(f"{path}: the canonical audio is gone; ingest its source again", reason=DropReason.MISSING) from error
    except OSError as error:
        raise machine_error(path, error) from error


def _damaged(path: Path, why: object) -> AudioError | MachineError:
    """What is to be said of a file that does not decode: the disk's fault, when it cannot even be read."""
    try:
        with _open(path) as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        return machine_error(path, error)
    first = (str(why).splitlines() or ["unreadable"])[0]
    return AudioError(f"{path}: the canonical audio is damaged ({first}); ingest its source again", reason=DropReason.UNDECODABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalSound:
    """One channel of a canonical recording as a `Sound`: read in stretches, never held whole.

    Attributes:
        path: A file that `write_canonical` wrote.
        channel: 0-based.
        num_samples: At MODEL_RATE_HZ.
    """

    path: Path
    channel: int
    num_samples: int

    def read(self, start: int = 0, stop: int | None = None) -> Samples:
        """See `Sound.read`.

        Raises:
            AudioError: The file is gone or damaged.
        MachineError: The disk does not let it be read.
        """
        stop = self.num_samples if stop is None else min(stop, self.num_samples)
        if start >= stop:
            return np.zeros(0, np.float32)
        return _read_block(self.path, self.channel, start, stop)


def open_canonical(path: Path) -> list[CanonicalSound]:
    """The channels of a canonical recording.

    Raises:
        AudioError: MISSING, UNDECODABLE or INVALID_FORMAT.
        MachineError: The disk does not let it be read.
    """
    num_samples, num_channels = _probe(path)
    return [CanonicalSound(path=path, channel=channel, num_samples=num_samples) for channel in range(num_channels)]
