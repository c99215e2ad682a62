"""Canonical audio: the 16 kHz FLAC that every later stage reads, and the clips cut from it. Needs libsndfile only, no decoder."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from voxdata.errors import AudioError, DropReason
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
        OSError: The disk is full or the folder cannot be written.
    """
    _write_atomic(path, blocks, num_channels=num_channels, container="FLAC")


def write_clip_wav(path: Path, samples: Samples) -> None:
    """Write a clip as browsers play it: 16 kHz mono WAV, 16 bit. Atomic; parent folders are made.

    Args:
        path: Where to; replaced when there.
        samples: (num_samples,) float32 in [-1, 1].

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    _write_atomic(path, [samples[:, None]], num_channels=1, container="WAV")


def _write_atomic(path: Path, blocks: Iterable[npt.NDArray[np.float32]], *, num_channels: int, container: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(number, "w+b") as file:
            try:
                with soundfile.SoundFile(file, "w", MODEL_RATE_HZ, num_channels, format=container, subtype="PCM_16") as out:
                    for block in blocks:
                        out.write(np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype(np.int16))
            except soundfile.SoundFileError as error:
                raise OSError(f"{path}: cannot be written ({error})") from error
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
    if not path.is_file():
        raise AudioError(f"{path}: the canonical audio is gone; ingest its source again", reason=DropReason.MISSING)
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            rate_hz, num_samples, num_channels = file.samplerate, file.frames, file.channels
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if rate_hz != MODEL_RATE_HZ:
        raise AudioError(f"{path}: is at {rate_hz} Hz, not canonical; ingest its source again", reason=DropReason.INVALID_FORMAT)
    return num_samples, num_channels


def _read_block(path: Path, channel: int, start: int, stop: int) -> Samples:
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            file.seek(start)
            block = file.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if len(block) < stop - start:
        raise _damaged(path, f"{stop - start - len(block)} samples are missing")
    return np.ascontiguousarray(block[:, channel])


def _damaged(path: Path, why: object) -> AudioError:
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
        """
        stop = self.num_samples if stop is None else min(stop, self.num_samples)
        if start >= stop:
            return np.zeros(0, np.float32)
        return _read_block(self.path, self.channel, start, stop)


def open_canonical(path: Path) -> list[CanonicalSound]:
    """The channels of a canonical recording.

    Raises:
        AudioError: MISSING, UNDECODABLE or INVALID_FORMAT.
    """
    num_samples, num_channels = _probe(path)
    return [CanonicalSound(path=path, channel=channel, num_samples=num_samples) for channel in range(num_channels)]
