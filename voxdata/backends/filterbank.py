"""Log-mel features as Kaldi computes them, in numpy.

There are 80 bands, 25 ms frames every 10 ms, a Povey window and no dither.

Source: `compute-fbank-feats` of Kaldi, through torchaudio.compliance.kaldi.fbank (equal to 1e-3; a
test compares them).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from voxdata.sound import MODEL_RATE_HZ, Samples

Features = npt.NDArray[np.float32]
"""(num_frames, NUM_BANDS) float32."""

NUM_BANDS = 80
HOP_SAMPLES = MODEL_RATE_HZ // 100
FRAME_SAMPLES = MODEL_RATE_HZ // 40
NUM_POINTS = 512
PREEMPHASIS = np.float32(0.97)
FLOOR = np.finfo(np.float32).eps
LOWEST_HZ = 20.0


def filterbank(samples: Samples) -> Features:
    """Features of the frames that lie wholly in the samples; not centred.

    Args:
        samples: At least FRAME_SAMPLES of them.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)
    frames = frames[::HOP_SAMPLES]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    windowed = (frames - PREEMPHASIS * before) * _window()

    spectrum = np.fft.rfft(windowed, n=NUM_POINTS, axis=1)[:, :-1]
    power = spectrum.real**2 + spectrum.imag**2
    energy = power.astype(np.float32, copy=False) @ _bands()
    features: Features = np.log(np.maximum(energy, FLOOR))
    return features


@cache
def _window() -> npt.NDArray[np.float32]:
    return (np.hanning(FRAME_SAMPLES) ** 0.85).astype(np.float32)


@cache
def _bands() -> npt.NDArray[np.float32]:
    """(NUM_POINTS / 2, NUM_BANDS) triangles, evenly spaced in mel."""
    highest_hz = MODEL_RATE_HZ / 2
    edges = np.linspace(_mel(LOWEST_HZ), _mel(highest_hz), NUM_BANDS + 2)
    left = edges[:-2]
    centre = edges[1:-1]
    right = edges[2:]

    points_hz = np.arange(NUM_POINTS // 2) * (MODEL_RATE_HZ / NUM_POINTS)
    points = _mel(points_hz)[:, None]
    rising = (points - left) / (centre - left)
    falling = (right - points) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles, dtype=np.float32)


def _mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(hz) / 700.0))
