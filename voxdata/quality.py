"""Measures of how good the audio of an utterance is. They are stored, never silently used to drop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.ports import MODEL_RATE_HZ, Samples

FLOOR_DB = -120.0
"""The level given to silence."""

_FRAME = MODEL_RATE_HZ * 25 // 1000
_WINDOW = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measures of one stretch of one channel.

    Attributes:
        level_db: RMS level, dBFS.
        snr_db: Loud frames over quiet frames (95th - 10th percentile of 25 ms frame levels), dB; a rough lower bound.
        clipping_ratio: Share of samples stuck at the peak, 0..1.
        bandwidth_hz: Highest frequency still carrying speech energy.
    """

    level_db: float
    snr_db: float
    clipping_ratio: float
    bandwidth_hz: int


def measure_quality(samples: Samples, *, source_rate_hz: int) -> Quality:
    """Measure one stretch; any length, silence included, gives finite figures.

    Args:
        samples: (num_samples,) float32 at MODEL_RATE_HZ.
        source_rate_hz: Rate of the original file; bounds the bandwidth, since nothing lies above half of it.

    Returns:
        Level at least FLOOR_DB; clipping counts runs of three or more samples within 1.5 % of a peak that is above -20 dBFS;
        the bandwidth is where the average power spectrum last comes within 50 dB of its maximum.
    """
    if samples.size == 0:
        return Quality(level_db=FLOOR_DB, snr_db=0.0, clipping_ratio=0.0, bandwidth_hz=0)
    whole = samples[: samples.size // _FRAME * _FRAME] if samples.size >= _FRAME else samples
    frames = whole.reshape(-1, min(_FRAME, samples.size))
    levels = _db(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loud, quiet = np.percentile(levels, (95, 10))
    return Quality(
        level_db=round(float(_db(np.mean(np.square(samples, dtype=np.float64)))), 2),
        snr_db=round(float(loud - quiet), 2),
        clipping_ratio=_clipping_ratio(samples),
        bandwidth_hz=_bandwidth_hz(samples, limit_hz=min(source_rate_hz, MODEL_RATE_HZ) // 2),
    )


def _db(power: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10))))


def _clipping_ratio(samples: Samples) -> float:
    size = np.abs(samples)
    peak = float(size.max())
    if peak < 0.1 or float(samples.max() - samples.min()) == 0:
        return 0.0
    stuck = np.flatnonzero(np.diff(np.concatenate([[0], (size >= 0.985 * peak).astype(np.int8), [0]])))
    runs = stuck[1::2] - stuck[::2]
    return float(runs[runs >= 3].sum() / samples.size)


def _bandwidth_hz(samples: Samples, *, limit_hz: int) -> int:
    padded = samples if samples.size >= _WINDOW else np.pad(samples, (0, _WINDOW - samples.size))
    frames = padded[: padded.size // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(_WINDOW).astype(np.float32)
    power = np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0)
    top = float(power.max())
    if top <= 1e-9:
        return 0
    last = int(np.flatnonzero(power >= top * 1e-5)[-1])
    return min(limit_hz, last * MODEL_RATE_HZ // _WINDOW)
