"""pyannote's diarization of several sounds at once, in a stream: the same turns, a fraction of the
work, memory flat in length.

What it does otherwise than `SpeakerDiarization` of pyannote.audio: the embedding trunk runs once a
window instead of once a window and voice, and not at all where nobody speaks; features are computed
once; windows of all sounds share batches of one fixed shape; frames are reconstructed in blocks.
Kept of a window are who speaks when (1.8 kB) and its embeddings (2.3 kB).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxdata.backends.diarization.clustering import Clustering, cluster_voices
from voxdata.backends.diarization.nets import NUM_FEATURES, NUM_SLOTS, DiarizationNets, Floats
from voxdata.backends.diarization.speaker_frames import FrameRun, Masks, count_speakers, find_runs
from voxdata.backends.diarization.speech_windows import (
    FRAME_SAMPLES,
    NUM_FRAMES,
    WINDOW_SAMPLES,
    WindowGrid,
    frame_ms,
)
from voxdata.backends.filterbank import HOP_SAMPLES, Features, filterbank
from voxdata.ports import Diarization, SpeakerSegment
from voxdata.segment import Segment, union
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound, duration_ms

MIN_CLEAN_FRAMES = 3
"""Frames without overlap that suffice to leave the overlapped ones out: what pyannote works out for
an embedding of 25 ms frames.
"""

DIMENSION = 192
VOICE_WINDOWS = 6
"""Windows from which the voice of a lone speaker is taken: a minute."""


@dataclass(slots=True, kw_only=True)
class _Job:
    """One sound under way; windows with nobody in them keep zeros and NaN."""

    grid: WindowGrid
    masks: Masks = field(init=False)
    embeddings: Floats = field(init=False)
    doubtful: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.masks = np.zeros((self.grid.num_windows, NUM_FRAMES, NUM_SLOTS), np.uint8)
        self.doubtful = np.zeros((self.grid.num_windows, NUM_FRAMES), np.bool_)
        self.embeddings = np.full((self.grid.num_windows, NUM_SLOTS, DIMENSION), np.nan, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """One window on its way through the nets."""

    job: _Job
    number: int
    samples: Samples
    features: Features


def diarize_sounds(
    sounds: Sequence[Sound],
    nets: DiarizationNets,
    *,
    threshold: float,
    min_cluster_size: int,
    step_samples: int,
    max_speakers: int | None = None,
) -> list[Diarization]:
    """Find who spoke when in each sound.

    Args:
        threshold, min_cluster_size: See `cluster_voices`.
        step_samples: From one window to the next; a multiple of HOP_SAMPLES.
        max_speakers: Upper bound for each; with 1 only speech is detected, and one voice taken from
            it.

    Returns:
        One for each sound, `voice_model` unset.

    Raises:
        AudioError: A sound cannot be read.
    """
    jobs = [
        _Job(grid=WindowGrid(num_samples=sound.num_samples, step_samples=step_samples))
        for sound in sounds
    ]
    _hear(jobs, sounds, nets, voices=max_speakers != 1)
    found = []
    for job, sound in zip(jobs, sounds, strict=True):
        counts = count_speakers(job.masks, job.grid) if job.masks.any() else np.zeros(0, np.uint8)
        if not counts.any():
            doubtful_ms = _doubtful_ms(job, end_ms=duration_ms(sound))
            found.append(Diarization(segments=(), embeddings={}, doubtful_ms=doubtful_ms))
            continue
        if max_speakers == 1:
            clustering = Clustering(
                voices=np.where(job.masks.any(axis=1), 0, -2),
                centroids=_hear_voice(job, sound, nets),
            )
        else:
            clustering = cluster_voices(
                job.embeddings,
                job.masks,
                threshold=threshold,
                min_cluster_size=min_cluster_size,
                max_speakers=max_speakers,
            )
        capped = np.minimum(counts, max_speakers or counts.max()).astype(np.uint8)
        runs = find_runs(job.masks, clustering.voices, capped, job.grid)
        found.append(_name_speakers(runs, clustering, job.grid, end_ms=duration_ms(sound)))
    return found


def _doubtful_ms(job: _Job, *, end_ms: int) -> int:
    """How long somebody may speak, by windows that follow one another."""
    stride = max(1, WINDOW_SAMPLES // job.grid.step_samples)
    frames = int(job.doubtful[::stride].sum())
    return min(frames * FRAME_SAMPLES * 1000 // MODEL_RATE_HZ, end_ms)


def _hear(
    jobs: Sequence[_Job], sounds: Sequence[Sound], nets: DiarizationNets, *, voices: bool
) -> None:
    """Fill the masks, and the embeddings when `voices`."""
    spoken: list[_Window] = []
    for batch in _batches(jobs, sounds, nets.speech_batch, voices=voices):
        masks, doubtful = nets.hear(np.stack([w.samples for w in batch]))
        for window, mask, doubt in zip(batch, masks, doubtful, strict=True):
            window.job.masks[window.number] = mask
            window.job.doubtful[window.number] = doubt
            if voices and mask.any():
                spoken.append(window)
        while len(spoken) >= nets.voice_batch:
            _embed(spoken[: nets.voice_batch], nets)
            del spoken[: nets.voice_batch]
    if spoken:
        _embed(spoken, nets)


def _batches(
    jobs: Sequence[_Job], sounds: Sequence[Sound], size: int, *, voices: bool
) -> Iterator[list[_Window]]:
    """The windows of all sounds in order, `size` at a time."""
    batch: list[_Window] = []
    for job, sound in zip(jobs, sounds, strict=True):
        for first, block in job.grid.read(sound):
            features = filterbank(block) if voices else np.zeros((0, 0), np.float32)
            for number in range(
                first, first + 1 + (len(block) - WINDOW_SAMPLES) // job.grid.step_samples
            ):
                start = (number - first) * job.grid.step_samples
                # Silence stays out of the batch: it fills most of many recordings, and nobody
                # speaks in it.
                samples = block[start : start + WINDOW_SAMPLES]
                if samples.any():
                    at = start // HOP_SAMPLES
                    batch.append(
                        _Window(
                            job=job,
                            number=number,
                            samples=samples,
                            features=features[at : at + NUM_FEATURES],
                        )
                    )
                if len(batch) == size:
                    yield batch
                    batch = []
    if batch:
        yield batch


def _embed(windows: Sequence[_Window], nets: DiarizationNets) -> None:
    masks = np.stack([voice_masks(w.job.masks[w.number]) for w in windows])
    found = nets.voices(np.stack([w.features - w.features.mean(axis=0) for w in windows]), masks)
    for window, mask, embedded in zip(windows, masks, found, strict=True):
        active = mask.any(axis=1)
        window.job.embeddings[window.number, active] = embedded[active]


def voice_masks(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(3, NUM_FRAMES): where each voice is heard alone, or where it is heard at all if that is too
    little.
    """
    clean = mask * (mask.sum(axis=1, keepdims=True) < 2)
    chosen: npt.NDArray[np.uint8] = np.where(clean.sum(axis=0) >= MIN_CLEAN_FRAMES, clean, mask).T
    return chosen


def _hear_voice(job: _Job, sound: Sound, nets: DiarizationNets) -> npt.NDArray[np.float64]:
    """(1, DIMENSION): the one voice of a sound, from the windows with most speech, none overlapping
    another.
    """
    stride = max(1, WINDOW_SAMPLES // job.grid.step_samples)
    spoken = job.masks[::stride].max(axis=2)
    amount = spoken.sum(axis=1, dtype=np.int64)
    best = np.argsort(-amount, kind="stable")[:VOICE_WINDOWS]
    rows = []
    for place in sorted(int(n) for n in best if amount[n] > 0):
        start = place * stride * job.grid.step_samples
        samples = np.zeros(WINDOW_SAMPLES, np.float32)
        heard = sound.read(start, start + WINDOW_SAMPLES)
        samples[: len(heard)] = heard
        features = filterbank(samples)
        masks = np.zeros((1, NUM_SLOTS, NUM_FRAMES), np.uint8)
        masks[0, 0] = spoken[place]
        rows.append(nets.voices((features - features.mean(axis=0))[None], masks)[0, 0])
    if not rows:
        return np.full((1, DIMENSION), np.nan)
    return np.asarray(np.mean(rows, axis=0, keepdims=True, dtype=np.float64))


def _name_speakers(
    runs: Sequence[FrameRun], clustering: Clustering, grid: WindowGrid, *, end_ms: int
) -> Diarization:
    """Turn runs into segments, speakers in order of first appearance."""
    spans: dict[int, list[Segment]] = {}
    for run in runs:
        start, stop = (
            int(frame_ms(min(frame, grid.num_frames - 1))) for frame in (run.start, run.stop)
        )
        if start < min(stop, end_ms):
            spans.setdefault(run.voice, []).append(
                Segment(start_ms=start, end_ms=min(stop, end_ms))
            )
    joined = {voice: union(segments) for voice, segments in spans.items()}
    order = sorted(joined, key=lambda voice: (joined[voice][0], voice))
    found = [
        SpeakerSegment(speaker=f"S{i}", segment=segment)
        for i, voice in enumerate(order)
        for segment in joined[voice]
    ]
    vectors = {
        f"S{i}": unit_vector(clustering.centroids[v])
        for i, v in enumerate(order)
        if v < len(clustering.centroids)
    }
    return Diarization(
        segments=tuple(sorted(found, key=lambda s: (s.segment, s.speaker))),
        embeddings={speaker: vector for speaker, vector in vectors.items() if vector},
    )


def unit_vector(vector: npt.NDArray[np.floating]) -> tuple[float, ...]:
    """The vector at length one; empty when it is zero or not finite."""
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        return ()
    return tuple(float(x) for x in vector / length)
