"""The windows that diarization slides over a sound.

Where they lie, what they hold, and which frames of the recording they cover.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.sound import MODEL_RATE_HZ, Samples, Sound

WINDOW_SAMPLES = 10 * MODEL_RATE_HZ
"""What segmentation-3.0 was trained on."""

NUM_FRAMES = 589
"""Frames of speech activity in a window."""

FRAME_SAMPLES = 270
"""From one frame of speech activity to the next: 16.875 ms."""

FIELD_SAMPLES = 991
"""What one frame hears; its middle is its time."""

WINDOWS_A_READ = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGrid:
    """The windows over one sound; the last is padded with silence.

    Attributes:
        num_samples: The number of samples of the sound.
        step_samples: From one window to the next.
    """

    num_samples: int
    step_samples: int

    @property
    def num_windows(self) -> int:
        """At least 1, unless there is no sound."""
        if self.num_samples == 0:
            return 0
        steps = math.ceil((self.num_samples - WINDOW_SAMPLES) / self.step_samples)
        return 1 + max(0, steps)

    @property
    def num_frames(self) -> int:
        """Frames that the windows cover together."""
        last_start = (self.num_windows - 1) * self.step_samples
        return nearest_frame(last_start + WINDOW_SAMPLES) + 1

    def first_frame(self, window: int) -> int:
        """The frame of the recording at which a window begins."""
        return nearest_frame(window * self.step_samples)

    def read(self, sound: Sound) -> Iterator[tuple[int, Samples]]:
        """Read the sound once, a few windows at a time.

        Yields:
            Number of the first of up to WINDOWS_A_READ windows, and the samples from its start to
            the end of the last one, zero-padded.
        """
        for first in range(0, self.num_windows, WINDOWS_A_READ):
            count = min(WINDOWS_A_READ, self.num_windows - first)
            length = (count - 1) * self.step_samples + WINDOW_SAMPLES
            start = first * self.step_samples
            block = np.zeros(length, np.float32)
            samples = sound.read(start, start + length)
            block[: len(samples)] = samples
            yield first, block


def nearest_frame(sample: int) -> int:
    """The frame whose start lies nearest to a sample."""
    return (2 * sample + FRAME_SAMPLES) // (2 * FRAME_SAMPLES)


def frame_ms(frame: int | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The middle of a frame in ms, rounded as Python rounds."""
    middle = np.asarray(frame) * FRAME_SAMPLES + FIELD_SAMPLES / 2
    return np.rint(middle * 1000 / MODEL_RATE_HZ).astype(np.int64)
