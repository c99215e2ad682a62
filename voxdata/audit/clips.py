"""Listening to the clips of an audited corpus: decode each once and keep what the checks need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from voxdata.audio import AudioBlock, Channels, decode_audio
from voxdata.audit.copies import ClipSound, prepare_clip
from voxdata.backends.diarization.voice_embedder import load_embedder
from voxdata.errors import AudioError, DropReason
from voxdata.measure import Quality
from voxdata.quality import measure_quality
from voxdata.sound import MODEL_RATE_HZ, Samples

if TYPE_CHECKING:
    pass

MAX_FILE_MS = 3_600_000
TELL_EVERY = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeardClip:
    """What was heard of one row.

    Attributes:
        at: Number of the row in the table, from 0.
        digest: SHA-256 of the decoded samples and their rate.
        noise_db: Level of the quietest tenth of 25 ms frames, dBFS.
        codec: Of the file, such as "flac 16000 Hz".
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
        frame: As `voxdata.audit.findings.SCHEMA` says.
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
    for number, (at, clip) in enumerate(_read_clips(frame, chosen, audio_root=audio_root), start=1):
        if isinstance(clip, str):
            bad.append(BadClip(at=at, problem=clip))
        else:
            heard.append(_hear(at, *clip, embed))
        if number % TELL_EVERY == 0:
            say(f"audit: heard {number} of {len(chosen)} clips, {len(bad)} unreadable")
    return sorted(heard, key=lambda clip: clip.at), sorted(bad, key=lambda clip: clip.at)


def hash_clips(
    frame: pl.DataFrame, chosen: Sequence[int], *, audio_root: Path
) -> tuple[dict[int, str], list[BadClip]]:
    """Decode rows only to hash their samples.

    Args:
        frame, chosen, audio_root: See `listen`.

    Returns:
        Row number -> digest as of `HeardClip`, and unreadable rows.
    """
    digests: dict[int, str] = {}
    bad: list[BadClip] = []
    for at, clip in _read_clips(frame, chosen, audio_root=audio_root):
        if isinstance(clip, str):
            bad.append(BadClip(at=at, problem=clip))
        else:
            digests[at] = _digest(clip[0], clip[1])
    return digests, bad


def _read_clips(
    frame: pl.DataFrame, chosen: Sequence[int], *, audio_root: Path
) -> Iterator[tuple[int, tuple[Samples, int, str] | str]]:
    """Each row with its samples, rate and codec, or with why it cannot be read; a file is decoded once, whatever the order of rows."""
    rows = sorted(((str(frame["audio"][at]), at) for at in chosen), key=lambda pair: pair)
    last, trouble = "", ""
    held: tuple[Channels, int, str] = (np.zeros((0, 1), np.float32), 0, "")
    for audio, at in rows:
        if audio != last:
            last, trouble = audio, ""
            try:
                held = _decode(audio_root / audio)
            except (AudioError, OSError, ValueError) as error:
                trouble = str(error)
        if trouble:
            yield at, trouble
            continue
        samples, rate_hz, codec = held
        start, end, channel = frame["start_s"][at], frame["end_s"][at], frame["channel"][at]
        first = round((start or 0.0) * rate_hz)
        whole = samples[first : None if end is None else round(end * rate_hz)]
        if channel is not None and channel >= whole.shape[1]:
            yield at, f"{audio}: has {whole.shape[1]} channels, none is number {channel} (from 0)"
            continue
        part = (
            whole.mean(axis=1, dtype=np.float32)
            if channel is None
            else np.ascontiguousarray(whole[:, channel])
        )
        if part.size:
            yield at, (part, rate_hz, codec)
        else:
            yield (
                at,
                f"{audio}: starts at {start} s, after its end at {len(samples) / rate_hz:.2f} s",
            )


def _digest(samples: Samples, rate_hz: int) -> str:
    return hashlib.sha256(f"{rate_hz}/".encode() + samples.astype("<f4").tobytes()).hexdigest()


def _decode(path: Path) -> tuple[Channels, int, str]:
    """(samples at the file's own rate, rate, codec and rate in words)."""

    def gather(blocks: Iterator[AudioBlock]) -> tuple[Channels, int, str]:
        parts = []
        rate_hz, codec = 0, ""
        for block in blocks:
            rate_hz, codec = block.sample_rate_hz, block.codec
            parts.append(block.samples)
        if not parts:
            raise AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)
        return np.concatenate(parts), rate_hz, f"{codec} {rate_hz} Hz"

    return decode_audio(path, gather, max_duration_ms=MAX_FILE_MS)


def _hear(
    at: int, samples: Samples, rate_hz: int, codec: str, embed: Callable[[Samples], Any] | None
) -> HeardClip:
    import soxr  # type: ignore[import-untyped]

    from voxdata.backends.filterbank import FRAME_SAMPLES, filterbank

    speech: Samples = (
        samples if rate_hz == MODEL_RATE_HZ else soxr.resample(samples, rate_hz, MODEL_RATE_HZ)
    )
    padded = (
        speech if speech.size >= FRAME_SAMPLES else np.pad(speech, (0, FRAME_SAMPLES - speech.size))
    )
    bands = filterbank(padded)
    frames = padded[: padded.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    levels = 10 * np.log10(np.maximum(np.mean(np.square(frames, dtype=np.float64), axis=1), 1e-12))
    return HeardClip(
        at=at,
        digest=_digest(samples, rate_hz),
        duration_s=samples.size / rate_hz,
        rate_hz=rate_hz,
        codec=codec,
        noise_db=round(float(np.percentile(levels, 10)), 2),
        quality=measure_quality(speech, source_rate_hz=rate_hz),
        sound=prepare_clip(speech),
        features=np.concatenate([bands.mean(axis=0), bands.std(axis=0)]).astype(np.float32),
        voice=embed(speech) if embed is not None else None,
    )
