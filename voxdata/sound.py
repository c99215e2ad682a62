"""Sound: one channel of audio that is read in stretches, so that a ten-hour recording never lies in
memory whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxdata.segment import Segment

Samples = npt.NDArray[np.float32]
"""(num_samples,) float32 in [-1, 1]."""

MODEL_RATE_HZ = 16_000
"""The rate of the canonical audio and of every backend's input."""


class Sound(Protocol):
    """One channel at MODEL_RATE_HZ."""

    @property
    def num_samples(self) -> int:
        """Its length."""

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """Read a stretch.

        Args:
            start: First sample, at least 0.
            stop: One after the last; None, or beyond the end, reads to the end.

        Returns:
            (stop - start,) float32; empty when `start` is not before `stop`.

        Raises:
            AudioError: The file behind it is gone or damaged.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ArraySound:
    """A `Sound` that lies in memory.

    Attributes:
        samples: (num_samples,) float32 at MODEL_RATE_HZ.
    """

    samples: Samples

    @property
    def num_samples(self) -> int:
        """Its length."""
        return int(self.samples.shape[0])

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """See `Sound.read`."""
        return self.samples[start:stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of another `Sound`, read only when it is asked for.

    Attributes:
        sound: The whole.
        start, stop: Samples [start, stop) of it; `stop` does not reach beyond its end.
    """

    sound: Sound
    start: int
    stop: int

    @property
    def num_samples(self) -> int:
        """Its length."""
        return self.stop - self.start

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """See `Sound.read`."""
        end = self.num_samples if stop is None else min(stop, self.num_samples)
        return (
            self.sound.read(self.start + start, self.start + end)
            if start < end
            else np.zeros(0, np.float32)
        )


def cut_sound(sound: Sound, segment: Segment) -> Stretch:
    """The stretch of a segment, rounded outwards to whole samples.

    What lies after the end is left out.
    """
    stop = min(-(-segment.end_ms * MODEL_RATE_HZ // 1000), sound.num_samples)
    return Stretch(
        sound=sound,
        start=min(segment.start_ms * MODEL_RATE_HZ // 1000, stop),
        stop=stop,
    )


def duration_ms(sound: Sound) -> int:
    """Length in ms, rounded down."""
    return sound.num_samples * 1000 // MODEL_RATE_HZ
