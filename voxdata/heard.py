"""How much of a sound is heard: a file of a minute in which somebody says one word holds as much as the word."""

from __future__ import annotations

import numpy as np

from voxdata.sound import Samples

HEARD_SHARE = 0.95
"""What is heard: the loudest frames that hold this share of the energy. Silence, and noise 25 dB below, hardly count."""

FRAMES_PER_S = 100


def measure_heard(samples: Samples, *, rate_hz: int) -> float:
    """Seconds of the loudest 10 ms frames that hold HEARD_SHARE of the energy.

    Args:
        samples: (num_samples,) float32, without offset.

    >>> quiet = np.full(8000, 1e-3, np.float32)
    >>> quiet[:1600] = 1.0
    >>> measure_heard(quiet, rate_hz=8000)
    0.2
    """
    size = rate_hz // FRAMES_PER_S
    num_frames = samples.size // size
    if num_frames == 0:
        return samples.size / rate_hz
    power = (
        np.square(samples[: num_frames * size], dtype=np.float64)
        .reshape(num_frames, size)
        .sum(axis=1)
    )
    summed = np.cumsum(np.sort(power)[::-1])
    if summed[-1] <= 0:
        return 0.0
    return (int(np.searchsorted(summed, HEARD_SHARE * summed[-1])) + 1) / FRAMES_PER_S
