"""From who speaks in each window to who speaks in the recording.

Speakers are counted frame by frame, and the likeliest named. This goes through the recording in
blocks; pyannote's own code makes one (windows x frames x voices) array of float64 for the whole of
it.

Source: `speaker_count`, `reconstruct` and `to_diarization` of pyannote.audio 4.0.7; same results,
ties included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from voxdata.backends.diarization.clustering import Ints
from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WindowGrid

Masks = npt.NDArray[np.uint8]
"""(num_windows, NUM_FRAMES, 3) of 0 and 1: who speaks when in each window."""

Counts = npt.NDArray[np.uint8]
"""(num_frames,): how many speak at once."""

Activity = npt.NDArray[np.float32]
"""(num_frames, num_voices): in how many windows each voice speaks."""

BLOCK_FRAMES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun:
    """Frames [start, stop) in which one voice speaks."""

    voice: int
    start: int
    stop: int


def count_speakers(masks: Masks, grid: WindowGrid) -> Counts:
    """(grid.num_frames,) how many speak at once, by the mean over the windows that hear a frame."""
    spoken = np.zeros(grid.num_frames, np.float32)
    heard = np.zeros(grid.num_frames, np.float32)
    for window, mask in enumerate(masks):
        first = grid.first_frame(window)
        spoken[first : first + NUM_FRAMES] += mask.sum(axis=1, dtype=np.float32)
        heard[first : first + NUM_FRAMES] += 1
    mean = spoken / np.maximum(heard, np.float32(1e-12))
    counts: Counts = np.rint(mean).astype(np.uint8)
    return counts


def find_runs(
    masks: Masks,
    voices: Ints,
    counts: Counts,
    grid: WindowGrid,
) -> list[FrameRun]:
    """Who speaks when.

    Args:
        voices: (num_windows, 3) int, -2 where nobody speaks.
        counts: The answer of `count_speakers`, perhaps capped.

    Returns:
        By voice, then by start; runs of one voice do not touch. Where more speak at once than there
        are voices, voices are added.
    """
    num_voices = max(int(voices.max(initial=-1)) + 1, int(counts.max(initial=0)))
    runs_of: list[list[FrameRun]] = [[] for _ in range(num_voices)]
    for block in _blocks(masks, voices, num_voices, grid):
        num_frames = len(block.activity)
        spoken = np.zeros((num_frames + 2, num_voices), np.int8)
        block_counts = counts[block.first : block.first + num_frames]
        spoken[1:-1] = _choose(block.activity, block_counts)
        for run in _runs(spoken, first=block.first):
            _append(runs_of[run.voice], run)
    return list(chain.from_iterable(runs_of))


def _runs(spoken: npt.NDArray[np.int8], *, first: int) -> Iterator[FrameRun]:
    """Each run of ones, by voice.

    Args:
        spoken: (frames + 2, num_voices) of 0 and 1, a row of zeros before and after.
        first: The number of the first frame.
    """
    for voice in range(spoken.shape[1]):
        changes = np.nonzero(np.diff(spoken[:, voice]))[0] + first
        for start, stop in changes.reshape(-1, 2).tolist():
            yield FrameRun(
                voice=voice,
                start=start,
                stop=stop,
            )


def _append(runs: list[FrameRun], run: FrameRun) -> None:
    """Add a run of the same voice, joined to the last one if they touch."""
    if runs and runs[-1].stop == run.start:
        run = replace(run, start=runs.pop().start)
    runs.append(run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Consecutive frames.

    Attributes:
        first: The number of the first frame.
        activity: What is heard in them.
    """

    first: int
    activity: Activity


def _blocks(
    masks: Masks,
    voices: Ints,
    num_voices: int,
    grid: WindowGrid,
) -> Iterator[_Block]:
    firsts = np.array([grid.first_frame(window) for window in range(len(masks))])
    for at in range(0, grid.num_frames, BLOCK_FRAMES):
        size = min(BLOCK_FRAMES, grid.num_frames - at)
        activity = np.zeros((size, num_voices), np.float32)
        first_window = int(np.searchsorted(firsts, at - NUM_FRAMES, side="right"))
        stop_window = int(np.searchsorted(firsts, at + size))
        for window in range(first_window, stop_window):
            first = int(firsts[window]) - at
            start = max(0, first)
            stop = min(size, first + NUM_FRAMES)
            part = masks[window, start - first : stop - first]
            slots = voices[window]
            for voice in np.unique(slots):
                if voice >= 0:
                    activity[start:stop, voice] += part[:, slots == voice].max(axis=1)
        yield _Block(first=at, activity=activity)


def _choose(activity: Activity, counts: Counts) -> npt.NDArray[np.bool_]:
    """(frames, voices): in each frame the `counts` most active voices."""
    order = np.argsort(-activity, axis=-1)
    rank_taken = np.arange(activity.shape[1]) < counts[:, None]
    chosen = np.zeros(activity.shape, bool)
    np.put_along_axis(
        chosen,
        order,
        rank_taken,
        axis=1,
    )
    return chosen
