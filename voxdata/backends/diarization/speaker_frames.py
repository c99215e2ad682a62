"""From who speaks in each window to who speaks in the recording: counting speakers frame by frame,
then naming the likeliest.

Works through the recording in blocks; pyannote's own code makes one (windows x frames x voices)
array of float64 for the whole of it.

Source: `speaker_count`, `reconstruct` and `to_diarization` of pyannote.audio 4.0.7; same results,
ties included.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.backends.diarization.clustering import Ints
from voxdata.backends.diarization.speech_windows import NUM_FRAMES, WindowGrid

Masks = npt.NDArray[np.uint8]
"""(num_windows, NUM_FRAMES, 3) of 0 and 1: who speaks when in each window."""

BLOCK_FRAMES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRun:
    """Frames [start, stop) in which one voice speaks."""

    voice: int
    start: int
    stop: int


def count_speakers(masks: Masks, grid: WindowGrid) -> npt.NDArray[np.uint8]:
    """(grid.num_frames,) how many speak at once, by the mean over the windows that hear a frame."""
    spoken = np.zeros(grid.num_frames, np.float32)
    heard = np.zeros(grid.num_frames, np.float32)
    for window, mask in enumerate(masks):
        first = grid.first_frame(window)
        spoken[first : first + NUM_FRAMES] += mask.sum(axis=1, dtype=np.float32)
        heard[first : first + NUM_FRAMES] += 1
    counts: npt.NDArray[np.uint8] = np.rint(spoken / np.maximum(heard, np.float32(1e-12))).astype(
        np.uint8
    )
    return counts


def find_runs(
    masks: Masks, voices: Ints, counts: npt.NDArray[np.uint8], grid: WindowGrid
) -> list[FrameRun]:
    """Who speaks when.

    Args:
        voices: (num_windows, 3) int, -2 where nobody speaks.
        counts: Of `count_speakers`, perhaps capped.

    Returns:
        By voice, then by start; runs of one voice do not touch. Where more speak at once than there
        are voices, voices are added.
    """
    num_voices = max(int(voices.max(initial=-1)) + 1, int(counts.max(initial=0)))
    found: dict[int, list[FrameRun]] = {voice: [] for voice in range(num_voices)}
    for at, activity in _blocks(masks, voices, num_voices, grid):
        spoken = np.zeros((len(activity) + 2, num_voices), np.int8)
        spoken[1:-1] = _choose(activity, counts[at : at + len(activity)])
        for edge, voice in _edges(spoken):
            start, stop = int(edge[0]) + at, int(edge[1]) + at
            runs = found[voice]
            if runs and runs[-1].stop == start:
                start = runs.pop().start
            runs.append(FrameRun(voice=voice, start=start, stop=stop))
    return [run for voice in range(num_voices) for run in found[voice]]


def _edges(spoken: npt.NDArray[np.int8]) -> Iterator[tuple[npt.NDArray[np.intp], int]]:
    """([start, stop), voice) for each run of ones; rows are one late, the first and last are zero."""
    for voice in range(spoken.shape[1]):
        changes = np.nonzero(np.diff(spoken[:, voice]))[0]
        yield from ((pair, voice) for pair in changes.reshape(-1, 2))


def _blocks(
    masks: Masks, voices: Ints, num_voices: int, grid: WindowGrid
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """(first frame, (frames, num_voices) number of windows in which a voice speaks), block by
    block.
    """
    firsts = np.array([grid.first_frame(window) for window in range(len(masks))])
    for at in range(0, grid.num_frames, BLOCK_FRAMES):
        size = min(BLOCK_FRAMES, grid.num_frames - at)
        activity = np.zeros((size, num_voices), np.float32)
        for window in range(
            int(np.searchsorted(firsts, at - NUM_FRAMES, side="right")),
            int(np.searchsorted(firsts, at + size)),
        ):
            first = int(firsts[window]) - at
            inside = slice(max(0, first), min(size, first + NUM_FRAMES))
            part = masks[window, inside.start - first : inside.stop - first]
            for voice in np.unique(voices[window]):
                if voice >= 0:
                    activity[inside, voice] += part[:, voices[window] == voice].max(axis=1)
        yield at, activity


def _choose(
    activity: npt.NDArray[np.float32], counts: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """(frames, voices): in each frame the `counts` most active voices."""
    order = np.argsort(-activity, axis=-1)
    rank_taken = np.arange(activity.shape[1]) < counts[:, None]
    chosen = np.zeros(activity.shape, bool)
    np.put_along_axis(chosen, order, rank_taken, axis=1)
    return chosen
