"""From any file to canonical audio: 16 kHz, and the channels that matter.

Memory does not grow with the recording.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from voxdata.audio import AudioBlock, Channels, decode_audio
from voxdata.audio_digest import AudioDigest, read_digest
from voxdata.canonical import write_canonical_blocks
from voxdata.durable import scratch_place, writing
from voxdata.errors import AudioError, DropReason
from voxdata.layout import SILENCE_PEAK, Layout, detect_layout, mix_down
from voxdata.recording import ChannelLayout, Recording
from voxdata.remark import Remark
from voxdata.sound import MODEL_RATE_HZ

MAX_CANONICAL_CHANNELS = 8
"""What a FLAC file can hold."""

MAX_CHANNEL_FACTOR = 8
"""A file may hold this many channels at the longest duration, or more channels for less time.

This bounds the temporary file.
"""

_WRITE = 1 << 18
_SAMPLE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """A file as it was ingested.

    Attributes:
        digest: The digest of the FLAC that was written.
        silent: Whether no channel rises above -80 dBFS around its mean.
        remarks: What was lost, filled in or left out.
    """

    recording: Recording
    digest: AudioDigest
    silent: bool
    remarks: tuple[Remark, ...] = ()


def canonicalise(
    source: Path,
    target: Callable[[Recording], Path],
    *,
    max_duration_ms: int = 12 * 3600 * 1000,
) -> Canonical:
    """Decode a file once, and write the channels that matter as FLAC of 16 kHz.

    The FLAC has round(samples * 16000 / rate) samples, at least one. Sound above full scale is
    scaled down as a whole.

    Args:
        source: A local file.
        target: Where the FLAC of a recording goes. One that is there is replaced: it may be
            damaged, or another recording's.
        max_duration_ms: A longer file is refused, and one with many channels sooner.

    Raises:
        AudioError: As `decode_audio`; also NOT_READABLE when a folder lies at the target, and
            INVALID_FORMAT when more than MAX_CANONICAL_CHANNELS parties are recorded apart.
        MachineError: A disk is full, a folder cannot be written, or there is no temporary one.
    """
    with _scratch_file() as file:
        remarks: list[Remark] = []

        def fill(blocks: Iterator[AudioBlock]) -> _Spool:
            return _fill_spool(source, file, blocks, max_duration_ms=max_duration_ms)

        spool = decode_audio(
            source,
            fill,
            max_duration_ms=max_duration_ms,
            remark=remarks.append,
        )
        layout = detect_layout(spool.blocks, MODEL_RATE_HZ)
        recording = _describe(source, spool, layout)
        path = target(recording)
        if path.is_dir():
            message = f"{path}: a folder lies where its canonical audio belongs; move it away"
            raise AudioError(message, reason=DropReason.NOT_READABLE)
        write_canonical_blocks(
            path,
            _canonical_blocks(spool, layout),
            num_channels=recording.canonical_channels,
        )
        return Canonical(
            recording=recording,
            digest=read_digest(path, recording.recording_id),
            silent=spool.silent,
            remarks=tuple(remarks),
        )


def _describe(source: Path, spool: _Spool, layout: Layout) -> Recording:
    num_kept = len(layout.kept)
    if layout.layout is ChannelLayout.PER_CHANNEL and num_kept > MAX_CANONICAL_CHANNELS:
        parties = f"{num_kept} parties on channels of their own"
        limit = f"at most {MAX_CANONICAL_CHANNELS} are kept"
        message = f"{source}: {parties}; {limit}: split the recording"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    return Recording(
        recording_id=spool.recording_id,
        sample_rate_hz=spool.sample_rate_hz,
        num_samples=spool.source_samples,
        num_channels=spool.num_channels,
        layout=layout.layout,
        canonical_channels=1 if layout.layout is ChannelLayout.ROOM else num_kept,
        codec=spool.codec,
        container=spool.container,
    )


class _Scratch:
    """A temporary file; an error of the system is the machine's fault."""

    def __init__(self, file: FileIO, place: Path) -> None:
        self._file = file
        self._place = place

    def clear(self) -> None:
        """Empty the file."""
        with writing(self._place):
            self._file.seek(0)
            self._file.truncate()

    def write(self, content: bytes) -> None:
        """Append the content."""
        rest = memoryview(content)
        with writing(self._place):
            while len(rest):
                rest = rest[self._file.write(rest) :]

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on; fewer at the end."""
        parts: list[bytes] = []
        with writing(self._place):
            self._file.seek(start)
            while size:
                part = self._file.read(size)
                if not part:
                    break
                parts.append(part)
                size -= len(part)
        return b"".join(parts)


@contextmanager
def _scratch_file() -> Iterator[_Scratch]:
    place = scratch_place()
    with ExitStack() as opened:
        with writing(place):
            # Without a buffer: what the disk refuses would be refused once more when it is closed.
            file = opened.enter_context(tempfile.TemporaryFile(prefix="voxdata-", buffering=0))
        yield _Scratch(file, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spool:
    """A decoded recording at 16 kHz, all channels, in a temporary file.

    Attributes:
        num_samples: Samples at 16 kHz.
        source_samples: Samples at the original's rate.
        peak: Highest absolute value at 16 kHz.
    """

    file: _Scratch
    num_channels: int
    num_samples: int
    source_samples: int
    sample_rate_hz: int
    codec: str
    container: str
    recording_id: str
    peak: float
    silent: bool

    def blocks(self, size: int) -> Iterator[Channels]:
        """The recording from its start, in blocks of `size` samples."""
        row = _SAMPLE_BYTES * self.num_channels
        for start in range(0, self.num_samples, size):
            length = min(size, self.num_samples - start)
            raw = self.file.read(start * row, length * row)
            yield np.frombuffer(raw, dtype=np.float32).reshape(-1, self.num_channels)


class _Facts:
    """What has to be known of the original, gathered block by block."""

    def __init__(self, first: AudioBlock) -> None:
        self.rate_hz = first.sample_rate_hz
        self.num_channels = first.samples.shape[1]
        head = f"voxdata-audio/1\x1f{self.rate_hz}\x1f{self.num_channels}\x1f"
        self._hasher = hashlib.sha256(head.encode())
        self._sum: npt.NDArray[np.float64] = np.zeros(self.num_channels)
        self._highest = np.full(self.num_channels, -np.inf)
        self._lowest = np.full(self.num_channels, np.inf)
        self.num_samples = 0

    def add(self, samples: Channels) -> None:
        """Take the next block in."""
        # Adding 0 turns -0.0 into 0.0.
        normalised = samples + np.float32(0)
        self._hasher.update(normalised.astype("<f4").tobytes())
        self._sum += samples.sum(axis=0, dtype=np.float64)
        self._highest = np.maximum(self._highest, samples.max(axis=0))
        self._lowest = np.minimum(self._lowest, samples.min(axis=0))
        self.num_samples += len(samples)

    @property
    def recording_id(self) -> str:
        """Identity of the sound, whatever file carried it.

        32 hex characters: 128 bits of the SHA-256 over rate, channels and samples.
        """
        return self._hasher.hexdigest()[:32]

    @property
    def silent(self) -> bool:
        """Whether every channel is silent, a constant, or stays under -80 dBFS at its peaks."""
        mean = self._sum / self.num_samples
        peaks = np.maximum(self._highest - mean, mean - self._lowest)
        return bool((peaks < SILENCE_PEAK).all())


class _Filling:
    """Writes samples at 16 kHz into the temporary file, and measures them."""

    def __init__(self, file: _Scratch) -> None:
        self._file = file
        self.num_samples = 0
        self.peak = 0.0

    def write(self, samples: Channels) -> None:
        """Append samples; there may be none."""
        if not len(samples):
            return
        self.num_samples += len(samples)
        peak = float(np.abs(samples).max())
        self.peak = max(self.peak, peak)
        content = np.ascontiguousarray(samples, dtype=np.float32)
        self._file.write(content.tobytes())


def _fill_spool(
    source: Path,
    file: _Scratch,
    blocks: Iterator[AudioBlock],
    *,
    max_duration_ms: int,
) -> _Spool:
    file.clear()
    first = next(blocks)
    facts = _Facts(first)
    limit_ms = max_duration_ms * MAX_CHANNEL_FACTOR // facts.num_channels
    original = _gather(
        source,
        chain([first], blocks),
        facts,
        limit_ms=limit_ms,
    )
    filling = _Filling(file)
    for samples in _resample(original, facts.rate_hz, facts.num_channels):
        filling.write(samples)

    wanted = _resampled_length(facts.num_samples, facts.rate_hz)
    missing = wanted - filling.num_samples
    if missing > 0:
        filling.write(np.zeros((missing, facts.num_channels), np.float32))
    return _Spool(
        file=file,
        num_channels=facts.num_channels,
        num_samples=wanted,
        source_samples=facts.num_samples,
        sample_rate_hz=facts.rate_hz,
        codec=first.codec,
        container=first.container,
        recording_id=facts.recording_id,
        peak=filling.peak,
        silent=facts.silent,
    )


def _gather(
    source: Path,
    blocks: Iterable[AudioBlock],
    facts: _Facts,
    *,
    limit_ms: int,
) -> Iterator[Channels]:
    """Pass samples on, and add them to what is known of the original."""
    for block in blocks:
        facts.add(block.samples)
        if facts.num_samples * 1000 > limit_ms * facts.rate_hz:
            length = f"{facts.num_channels} channels are longer than {limit_ms} ms together"
            message = f"{source}: {length}; split it, or allow more"
            raise AudioError(message, reason=DropReason.TOO_LONG)
        yield block.samples


def _resample(
    parts: Iterable[Channels],
    rate_hz: int,
    num_channels: int,
) -> Iterator[Channels]:
    if rate_hz == MODEL_RATE_HZ:
        yield from parts
        return
    stream = soxr.ResampleStream(rate_hz, MODEL_RATE_HZ, num_channels, dtype="float32")
    for samples in parts:
        yield stream.resample_chunk(np.ascontiguousarray(samples))
    nothing = np.zeros((0, num_channels), np.float32)
    yield stream.resample_chunk(nothing, last=True)


def _resampled_length(num_samples: int, rate_hz: int) -> int:
    """round(num_samples * 16000 / rate_hz), at least 1, in whole numbers."""
    doubled = 2 * num_samples * MODEL_RATE_HZ
    return max(1, (doubled + rate_hz) // (2 * rate_hz))


def _canonical_blocks(spool: _Spool, layout: Layout) -> Iterator[Channels]:
    for block in spool.blocks(_WRITE):
        kept = _keep(block, layout)
        if spool.peak > 1:
            kept = np.clip(kept / np.float32(spool.peak), -1, 1)
        yield kept


def _keep(samples: Channels, layout: Layout) -> Channels:
    if layout.layout is ChannelLayout.ROOM:
        return mix_down(samples, layout)
    return samples[:, list(layout.kept)]
