"""From any file to canonical audio: 16 kHz, the channels that matter, in memory that does not grow with the recording."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import FileIO
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
"""A file may hold this many channels at the longest duration, or more channels for less time: bounds the temporary file."""

_WRITE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """A file as it was ingested.

    Attributes:
        digest: The digest of the FLAC that was written.
        silent: No channel rises above -80 dBFS around its mean.
        remarks: What was lost, filled in or left out.
    """

    recording: Recording
    digest: AudioDigest
    silent: bool
    remarks: tuple[Remark, ...] = ()


def canonicalise(
    source: Path, target: Callable[[Recording], Path], *, max_duration_ms: int = 12 * 3600 * 1000
) -> Canonical:
    """Decode a file once, bring it to 16 kHz and to the channels that matter, and write that as FLAC.

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
        spool = decode_audio(
            source,
            lambda blocks: _fill_spool(source, file, blocks, max_duration_ms=max_duration_ms),
            max_duration_ms=max_duration_ms,
            remark=remarks.append,
        )
        layout = detect_layout(spool.blocks, MODEL_RATE_HZ)
        if layout.layout is ChannelLayout.PER_CHANNEL and len(layout.kept) > MAX_CANONICAL_CHANNELS:
            parties = f"{len(layout.kept)} parties on channels of their own; at most {MAX_CANONICAL_CHANNELS} are kept"
            raise AudioError(
                f"{source}: {parties}: split the recording", reason=DropReason.INVALID_FORMAT
            )
        kept = 1 if layout.layout is ChannelLayout.ROOM else len(layout.kept)
        recording = Recording(
            recording_id=spool.recording_id,
            sample_rate_hz=spool.sample_rate_hz,
            num_samples=spool.source_samples,
            num_channels=spool.num_channels,
            layout=layout.layout,
            canonical_channels=kept,
            codec=spool.codec,
            container=spool.container,
        )
        path = target(recording)
        if path.is_dir():
            message = f"{path}: a folder lies where its canonical audio belongs; move it away"
            raise AudioError(message, reason=DropReason.NOT_READABLE)
        write_canonical_blocks(path, _canonical_blocks(spool, layout), num_channels=kept)
        return Canonical(
            recording=recording,
            digest=read_digest(path, recording.recording_id),
            silent=spool.silent,
            remarks=tuple(remarks),
        )


class _Scratch:
    """A temporary file; what the system says against it is the machine's fault."""

    def __init__(self, file: FileIO, place: Path) -> None:
        self._file, self._place = file, place

    def clear(self) -> None:
        """Empty it."""
        with writing(self._place):
            self._file.seek(0)
            self._file.truncate()

    def write(self, content: bytes) -> None:
        """Append."""
        rest = memoryview(content)
        with writing(self._place):
            while len(rest):
                rest = rest[self._file.write(rest) :]

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on; fewer at the end."""
        parts: list[bytes] = []
        with writing(self._place):
            self._file.seek(start)
            while size and (part := self._file.read(size)):
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
        num_samples: At 16 kHz.
        source_samples: At the original's rate.
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
        """From the start, in blocks of `size` samples."""
        row = 4 * self.num_channels
        for start in range(0, self.num_samples, size):
            raw = self.file.read(start * row, min(size, self.num_samples - start) * row)
            yield np.frombuffer(raw, dtype=np.float32).reshape(-1, self.num_channels)


class _Facts:
    """What has to be known of the original, gathered block by block."""

    def __init__(self, first: AudioBlock) -> None:
        self.rate_hz, self.num_channels = first.sample_rate_hz, first.samples.shape[1]
        self._hasher = hashlib.sha256(
            f"voxdata-audio/1\x1f{self.rate_hz}\x1f{self.num_channels}\x1f".encode()
        )
        self._sum: npt.NDArray[np.float64] = np.zeros(self.num_channels)
        self._highest = np.full(self.num_channels, -np.inf)
        self._lowest = np.full(self.num_channels, np.inf)
        self.num_samples = 0

    def add(self, samples: Channels) -> None:
        """Take the next block in."""
        self._hasher.update(
            (samples + np.float32(0)).astype("<f4").tobytes()
        )  # adding 0 turns -0.0 into 0.0
        self._sum += samples.sum(axis=0, dtype=np.float64)
        self._highest = np.maximum(self._highest, samples.max(axis=0))
        self._lowest = np.minimum(self._lowest, samples.min(axis=0))
        self.num_samples += len(samples)

    @property
    def recording_id(self) -> str:
        """Identity of the sound, whatever file carried it: 128 bits of SHA-256 over rate, channels and samples, 32 hex characters."""
        return self._hasher.hexdigest()[:32]

    @property
    def silent(self) -> bool:
        """Whether every channel is digital silence, a constant, or stays under -80 dBFS at its peaks."""
        mean = self._sum / self.num_samples
        return bool((np.maximum(self._highest - mean, mean - self._lowest) < SILENCE_PEAK).all())


def _fill_spool(
    source: Path, file: _Scratch, blocks: Iterator[AudioBlock], *, max_duration_ms: int
) -> _Spool:
    file.clear()
    first = next(blocks)
    facts = _Facts(first)
    limit = max_duration_ms * MAX_CHANNEL_FACTOR // facts.num_channels
    stream = (
        None
        if facts.rate_hz == MODEL_RATE_HZ
        else soxr.ResampleStream(facts.rate_hz, MODEL_RATE_HZ, facts.num_channels, dtype="float32")
    )
    written, peak = 0, 0.0

    def write(samples: Channels) -> None:
        nonlocal written, peak
        if len(samples):
            written += len(samples)
            peak = max(peak, float(np.abs(samples).max()))
            file.write(np.ascontiguousarray(samples, dtype=np.float32).tobytes())

    block: AudioBlock | None = first
    while block is not None:
        facts.add(block.samples)
        if facts.num_samples * 1000 > limit * facts.rate_hz:
            message = f"{source}: {facts.num_channels} channels are longer than {limit} ms together; split it, or allow more"
            raise AudioError(message, reason=DropReason.TOO_LONG)
        write(
            block.samples
            if stream is None
            else stream.resample_chunk(np.ascontiguousarray(block.samples))
        )
        block = next(blocks, None)
    if stream is not None:
        write(stream.resample_chunk(np.zeros((0, facts.num_channels), np.float32), last=True))
    wanted = max(1, (2 * facts.num_samples * MODEL_RATE_HZ + facts.rate_hz) // (2 * facts.rate_hz))
    if written < wanted:
        write(np.zeros((wanted - written, facts.num_channels), np.float32))
    return _Spool(
        file=file,
        num_channels=facts.num_channels,
        num_samples=wanted,
        source_samples=facts.num_samples,
        sample_rate_hz=facts.rate_hz,
        codec=first.codec,
        container=first.container,
        recording_id=facts.recording_id,
        peak=peak,
        silent=facts.silent,
    )


def _canonical_blocks(spool: _Spool, layout: Layout) -> Iterator[Channels]:
    for block in spool.blocks(_WRITE):
        chosen = (
            mix_down(block, layout)
            if layout.layout is ChannelLayout.ROOM
            else block[:, list(layout.kept)]
        )
        yield chosen if spool.peak <= 1 else np.clip(chosen / np.float32(spool.peak), -1, 1)
