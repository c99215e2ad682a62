"""Listening to the clips of an audited corpus: decode each once and keep what the checks need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from voxdata.audio import AudioBlock, Channels, decode_audio
from voxdata.audit.copies import ClipSound, prepare_clip
from voxdata.backends.diarization.voice_embedder import load_embedder
from voxdata.counted import counted
from voxdata.errors import AudioError, DropReason
from voxdata.measure import Quality
from voxdata.progress import Progress
from voxdata.quality import measure_quality
from voxdata.sound import MODEL_RATE_HZ, Samples

MAX_FILE_MS = 3_600_000
TELL_EVERY = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeardClip:
    """What was measured of one row's sound.

    Attributes:
        at: Number of the row in the table, from 0.
        digest: SHA-256 of the decoded samples and their rate.
        noise_db: Level of the quietest tenth of 25 ms frames, dBFS.
        codec: The codec and rate of the file, such as "flac 16000 Hz".
        features: (160,) float32, mean and standard deviation of 80 log-mel bands.
        voice: (192,) float32 of unit length; None when voices were not asked for, or there is too
            little sound.
    """

    at: int
    digest: str
    duration_s: float
    rate_hz: int
    codec: str
    noise_db: float
    quality: Quality
    sound: ClipSound
    features: npt.NDArray[np.float32]
    voice: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadClip:
    """A row whose audio cannot be read, and why."""

    at: int
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _File:
    """A decoded file.

    Attributes:
        samples: (num_samples, num_channels) at the file's own rate.
        codec: The codec and the rate, in words.
    """

    samples: Channels
    rate_hz: int
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Clip:
    """The sound of one row.

    Attributes:
        samples: (num_samples,) at the file's own rate.
    """

    at: int
    samples: Samples
    rate_hz: int
    codec: str


def listen(
    frame: pl.DataFrame,
    chosen: Sequence[int],
    *,
    audio_root: Path,
    with_voices: bool,
    say: Callable[[str], None],
) -> tuple[list[HeardClip], list[BadClip]]:
    """Decode the chosen rows, a file once however many of its stretches are among them.

    Args:
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        chosen: Row numbers, from 0.
        audio_root: What relative paths are relative to.
        with_voices: Whether to embed voices too.

    Returns:
        Heard and unreadable ones, by row number.

    Raises:
        BackendError: Voices are asked for and the network is not installed.
    """
    embed = load_embedder() if with_voices else None
    heard: list[HeardClip] = []
    bad: list[BadClip] = []
    clips = _read_clips(frame, chosen, audio_root=audio_root)
    for number, clip in enumerate(clips, start=1):
        if isinstance(clip, BadClip):
            bad.append(clip)
        else:
            heard.append(_hear(clip, embed))
        if number % TELL_EVERY == 0 or number == len(chosen):
            line = f"audit: heard {number} of {len(chosen)} clips, {len(bad)} unreadable"
            say(Progress(line, done=number, total=len(chosen)))
    heard.sort(key=lambda clip: clip.at)
    bad.sort(key=lambda clip: clip.at)
    return heard, bad


def hash_clips(
    frame: pl.DataFrame,
    chosen: Sequence[int],
    *,
    audio_root: Path,
) -> tuple[dict[int, str], list[BadClip]]:
    """Decode rows only to hash their samples.

    Args:
        frame, chosen, audio_root: See `listen`.

    Returns:
        Row number -> digest as of `HeardClip`, and unreadable rows.
    """
    digests: dict[int, str] = {}
    bad: list[BadClip] = []
    for clip in _read_clips(frame, chosen, audio_root=audio_root):
        if isinstance(clip, BadClip):
            bad.append(clip)
        else:
            digests[clip.at] = _digest(clip.samples, clip.rate_hz)
    return digests, bad


def _read_clips(
    frame: pl.DataFrame,
    chosen: Sequence[int],
    *,
    audio_root: Path,
) -> Iterator[_Clip | BadClip]:
    """The sound of each row, or why it cannot be read.

    A file is decoded once, whatever the order of rows.
    """
    paths = frame["audio"]
    rows = sorted((str(paths[at]), at) for at in chosen)
    last: str | None = None
    held: _File | str = ""
    for audio, at in rows:
        if audio != last:
            last = audio
            held = _read_file(audio_root / audio)
        if isinstance(held, str):
            yield BadClip(at=at, problem=held)
        else:
            yield _cut(frame, at, held)


def _read_file(path: Path) -> _File | str:
    """A file, or why it cannot be read."""
    try:
        return _decode(path)
    except (AudioError, OSError, ValueError) as error:
        return str(error)


def _cut(
    frame: pl.DataFrame,
    at: int,
    file: _File,
) -> _Clip | BadClip:
    """The stretch and channel of a file that a row names."""
    audio = frame["audio"][at]
    start_s = frame["start_s"][at]
    end_s = frame["end_s"][at]
    channel = frame["channel"][at]

    first = round((start_s or 0.0) * file.rate_hz)
    last = None if end_s is None else round(end_s * file.rate_hz)
    stretch = file.samples[first:last]
    num_channels = stretch.shape[1]
    if channel is not None and channel >= num_channels:
        problem = (
            f"{audio}: has {counted(num_channels, 'channel')}, none is number {channel} (from 0)"
        )
        return BadClip(at=at, problem=problem)

    samples = _one_channel(stretch, channel)
    if not samples.size:
        length_s = len(file.samples) / file.rate_hz
        problem = f"{audio}: starts at {start_s} s, after its end at {length_s:.2f} s"
        return BadClip(at=at, problem=problem)
    return _Clip(
        at=at,
        samples=samples,
        rate_hz=file.rate_hz,
        codec=file.codec,
    )


def _one_channel(samples: Channels, channel: int | None) -> Samples:
    """(num_samples,) of a channel, or the mean of all."""
    if channel is None:
        mean: Samples = samples.mean(axis=1, dtype=np.float32)
        return mean
    return np.ascontiguousarray(samples[:, channel])


def _digest(samples: Samples, rate_hz: int) -> str:
    prefix = f"{rate_hz}/".encode()
    content = samples.astype("<f4").tobytes()
    return hashlib.sha256(prefix + content).hexdigest()


def _decode(path: Path) -> _File:
    def gather(blocks: Iterator[AudioBlock]) -> _File:
        parts = []
        rate_hz = 0
        codec = ""
        for block in blocks:
            rate_hz = block.sample_rate_hz
            codec = block.codec
            parts.append(block.samples)
        if not parts:
            raise AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)
        return _File(
            samples=np.concatenate(parts),
            rate_hz=rate_hz,
            codec=f"{codec} {rate_hz} Hz",
        )

    return decode_audio(path, gather, max_duration_ms=MAX_FILE_MS)


def _hear(clip: _Clip, embed: Callable[[Samples], Any] | None) -> HeardClip:
    import soxr  # type: ignore[import-untyped]

    from voxdata.backends.filterbank import FRAME_SAMPLES, filterbank

    speech = clip.samples
    if clip.rate_hz != MODEL_RATE_HZ:
        speech = soxr.resample(speech, clip.rate_hz, MODEL_RATE_HZ)
    padded = speech
    if padded.size < FRAME_SAMPLES:
        padded = np.pad(padded, (0, FRAME_SAMPLES - padded.size))

    num_frames = padded.size // FRAME_SAMPLES
    frames = padded[: num_frames * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    squares = np.square(frames, dtype=np.float64)
    powers = np.mean(squares, axis=1)
    levels_db = 10 * np.log10(np.maximum(powers, 1e-12))
    bands = filterbank(padded)
    mean = bands.mean(axis=0)
    deviation = bands.std(axis=0)
    features = np.concatenate([mean, deviation])
    return HeardClip(
        at=clip.at,
        digest=_digest(clip.samples, clip.rate_hz),
        duration_s=clip.samples.size / clip.rate_hz,
        rate_hz=clip.rate_hz,
        codec=clip.codec,
        noise_db=round(float(np.percentile(levels_db, 10)), 2),
        quality=measure_quality(speech, source_rate_hz=clip.rate_hz),
        sound=prepare_clip(speech),
        features=features.astype(np.float32),
        voice=embed(speech) if embed is not None else None,
    )
