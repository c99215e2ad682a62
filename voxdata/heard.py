"""How much of a sound is heard.

A file of a minute in which somebody says one word holds as much as the word.
"""

from __future__ import annotations

import numpy as np

from voxdata.sound import Samples

HEARD_SHARE = 0.95
"""The loudest frames that hold this share of the energy are heard.

Silence, and noise 25 dB below, hardly count.
"""

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
    squares = np.square(samples[: num_frames * size], dtype=np.float64)
    powers = squares.reshape(num_frames, size).sum(axis=1)
    loudest_first = np.sort(powers)[::-1]
    summed = np.cumsum(loudest_first)
    total = summed[-1]
    if total <= 0:
        return 0.0
    num_heard = int(np.searchsorted(summed, HEARD_SHARE * total)) + 1
    return num_heard / FRAMES_PER_S
