"""Synthetic sound, the same every time."""

from __future__ import annotations

import numpy as np

from voxdata.ports import MODEL_RATE_HZ, Samples


def silence(duration_ms: int, *, rate_hz: int = MODEL_RATE_HZ) -> Samples:
    """Digital silence, (num_samples,) float32."""
    return np.zeros(duration_ms * rate_hz // 1000, dtype=np.float32)


def tone(
    duration_ms: int,
    *,
    frequency_hz: float = 440.0,
    level: float = 0.5,
    rate_hz: int = MODEL_RATE_HZ,
) -> Samples:
    """A sine of amplitude `level`, (num_samples,) float32."""
    time_s = np.arange(duration_ms * rate_hz // 1000) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def noise(
    duration_ms: int,
    *,
    level: float = 0.1,
    seed: int = 0,
    rate_hz: int = MODEL_RATE_HZ,
) -> Samples:
    """White noise of RMS `level`, (num_samples,) float32."""
    drawn = np.random.default_rng(seed).standard_normal(duration_ms * rate_hz // 1000)
    return (level * drawn).astype(np.float32)


def speech_like(
    duration_ms: int,
    *,
    level: float = 0.3,
    seed: int = 0,
    rate_hz: int = MODEL_RATE_HZ,
) -> Samples:
    """Noise in bursts of syllable length with pauses, peaks at `level`; (num_samples,) float32.

    Loudness moves as speech does.
    """
    num_samples = duration_ms * rate_hz // 1000
    rng = np.random.default_rng(seed)
    carrier = rng.standard_normal(num_samples)

    steps = max(2, num_samples * 8 // rate_hz + 2)
    gains = rng.random(steps)
    gains *= rng.random(steps) > 0.3
    places = np.linspace(0, max(num_samples - 1, 1), steps)
    envelope = np.interp(np.arange(num_samples), places, gains)

    sound = carrier * envelope
    peak = float(np.abs(sound).max()) if num_samples else 0.0
    scale = level / peak if peak else 0.0
    return np.asarray(sound * scale, dtype=np.float32)
