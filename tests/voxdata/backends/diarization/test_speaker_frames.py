from __future__ import annotations

import numpy as np
import pytest

from voxdata.backends.diarization import speaker_frames
from voxdata.backends.diarization.speaker_frames import FrameRun, count_speakers, find_runs
from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WindowGrid

GRID = WindowGrid(num_samples=560_000, step_samples=40_000)


def random_masks(seed: int) -> np.ndarray:
    """Speech in stretches of some tenths of a second, at most two at once."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((GRID.num_windows, 31, 3)) > 0.6
    masks = np.repeat(coarse, 19, axis=1)[:, :NUM_FRAMES].astype(np.uint8)
    masks[masks.sum(axis=2) == 3] = (1, 1, 0)
    return masks


def random_voices(seed: int, num_voices: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, num_voices, (GRID.num_windows, 3))


def test_count_speakers_is_the_rounded_mean_over_windows() -> None:
    masks = np.zeros((GRID.num_windows, NUM_FRAMES, 3), np.uint8)
    masks[0, :, 0] = 1
    masks[1, :, :2] = 1
    counts = count_speakers(masks, GRID)
    assert counts[0] == 1
    assert counts[GRID.first_frame(1) + 1] == 2
    assert counts[GRID.first_frame(4) + 1] == 0


def test_find_runs_joins_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = random_masks(1)
    voices = random_voices(1, 4)
    counts = count_speakers(masks, GRID)
    whole = find_runs(masks, voices, counts, GRID)
    monkeypatch.setattr(speaker_frames, "BLOCK_FRAMES", 100)
    assert find_runs(masks, voices, counts, GRID) == whole


def test_find_runs_gives_one_run_for_a_voice_that_speaks_throughout() -> None:
    masks = np.zeros((GRID.num_windows, NUM_FRAMES, 3), np.uint8)
    masks[:, :, 1] = 1
    voices = np.tile([-2, 0, -2], (GRID.num_windows, 1))
    (run,) = find_runs(
        masks,
        voices,
        count_speakers(masks, GRID),
        GRID,
    )
    assert run.voice == 0
    assert run.start == 0
    assert run.stop == GRID.first_frame(GRID.num_windows - 1) + NUM_FRAMES


def test_find_runs_without_speech_gives_none() -> None:
    masks = np.zeros((GRID.num_windows, NUM_FRAMES, 3), np.uint8)
    assert (
        find_runs(
            masks,
            np.full((GRID.num_windows, 3), -2),
            np.zeros(GRID.num_frames, np.uint8),
            GRID,
        )
        == []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "num_voices"),
    [(2, 1), (3, 2), (4, 5)],
)
def test_frames_equal_pyannotes(seed: int, num_voices: int) -> None:
    from voxdata.backends.diarization.telemetry import import_pyannote

    import_pyannote()
    from pyannote.audio.pipelines import SpeakerDiarization
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    masks = random_masks(seed)
    voices = random_voices(seed, num_voices)
    voices[~masks.any(axis=1)] = -2
    windows = SlidingWindowFeature(
        masks.astype(np.float32),
        SlidingWindow(start=0, duration=10, step=2.5),
    )
    frames = SlidingWindow(
        start=0,
        duration=0.0619375,
        step=0.016875,
    )
    counted = SpeakerDiarization.speaker_count(windows, frames, warm_up=(0.0, 0.0))
    counts = count_speakers(masks, GRID)
    assert np.array_equal(counts, counted.data[:, 0])
    pipeline = SpeakerDiarization.__new__(SpeakerDiarization)
    expected = SpeakerDiarization.reconstruct(pipeline, windows, voices, counted).data > 0.5
    chosen = np.zeros_like(expected)
    for run in find_runs(masks, voices, counts, GRID):
        assert isinstance(run, FrameRun)
        chosen[run.start : run.stop, run.voice] = True
    assert np.array_equal(chosen, expected)
