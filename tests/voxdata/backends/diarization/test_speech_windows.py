from __future__ import annotations

import numpy as np
import pytest

from voxdata.backends.diarization.speech_windows import (
    NUM_FRAMES,
    WINDOW_SAMPLES,
    WINDOWS_A_READ,
    WindowGrid,
    frame_ms,
)
from voxdata.sound import ArraySound


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (0, 0),
        (1, 1),
        (160_000, 1),
        (160_001, 2),
        (200_000, 2),
        (200_001, 3),
        (16_000 * 36_000, 14_397),
    ],
)
def test_num_windows_covers_every_sample(num_samples: int, expected: int) -> None:
    assert WindowGrid(num_samples=num_samples, step_samples=40_000).num_windows == expected


def test_num_frames_holds_the_frames_of_the_last_window() -> None:
    for num_samples in (1, 160_000, 999_999):
        grid = WindowGrid(num_samples=num_samples, step_samples=16_000)
        assert grid.first_frame(grid.num_windows - 1) + NUM_FRAMES <= grid.num_frames


def test_read_gives_each_window_once_and_pads_the_last() -> None:
    samples = np.arange(1, 2_000_001, dtype=np.float32)
    grid = WindowGrid(num_samples=len(samples), step_samples=40_000)
    seen = []
    for first, block in grid.read(ArraySound(samples)):
        count = 1 + (len(block) - WINDOW_SAMPLES) // 40_000
        assert count <= WINDOWS_A_READ
        assert block[0] == first * 40_000 + 1
        seen += range(first, first + count)
    assert seen == list(range(grid.num_windows))
    assert block[-1] == 0 or grid.num_samples == (grid.num_windows - 1) * 40_000 + WINDOW_SAMPLES
    assert block.max() == samples[-1]


def test_frame_ms_is_the_middle_of_what_a_frame_hears() -> None:
    assert frame_ms(np.array([0, 1, 1000])).tolist() == [31, 48, 16_906]
