"""Measures of how good the audio of an utterance is.

They are stored, never silently used to drop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxdata.identity import ModelRef
from voxdata.measure import Quality
from voxdata.segment import Segment, overlap_ms, union
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound, cut_sound
from voxdata.turn import Turn
from voxdata.utterance import Utterance

FLOOR_DB = -120.0
"""The level given to silence."""

_FRAME = MODEL_RATE_HZ * 25 // 1000
_WINDOW = 512
_UNSPACED_FROM = "\u2e80"
"""Letters from here up are taken to be of a script without spaces."""


def measure_quality(samples: Samples, *, source_rate_hz: int) -> Quality:
    """Measure one stretch; any length, silence included, gives finite figures.

    Args:
        samples: (num_samples,) float32 at MODEL_RATE_HZ.
        source_rate_hz: Rate of the original file; bounds the bandwidth, since nothing lies above
            half of it.

    Returns:
        Level at least FLOOR_DB; clipping counts runs of three or more samples within 1.5 % of a
        peak that is above -20 dBFS; the bandwidth is where the average power spectrum last comes
        within 50 dB of its maximum.
    """
    if samples.size == 0:
        return Quality(
            level_db=FLOOR_DB,
            snr_db=0.0,
            clipping_ratio=0.0,
            bandwidth_hz=0,
        )

    level_db = _level_db(samples, axis=0)
    frame_size = min(_FRAME, samples.size)
    whole_frames = samples[: samples.size // frame_size * frame_size]
    frame_levels_db = _level_db(whole_frames.reshape(-1, frame_size), axis=1)
    loud_db, quiet_db = np.percentile(frame_levels_db, (95, 10))
    rate_hz = min(source_rate_hz, MODEL_RATE_HZ)
    return Quality(
        level_db=round(float(level_db), 2),
        snr_db=round(float(loud_db - quiet_db), 2),
        clipping_ratio=_clipping_ratio(samples),
        bandwidth_hz=_bandwidth_hz(samples, limit_hz=rate_hz // 2),
    )


class MosPredictor(Protocol):
    """Predicts how good speech sounds to people."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def predict(
        self,
        sound: Sound,
        *,
        speech: Sequence[Segment],
    ) -> list[tuple[Segment, float]]:
        """Score stretches of a channel.

        Args:
            speech: Where people speak; elsewhere nothing is scored.

        Returns:
            Stretches with scores 1..5, sorted by start; empty without speech.
        """


def measure_utterances(
    utterances: Sequence[Utterance],
    sounds: Sequence[Sound],
    *,
    turns: Sequence[Turn],
    source_rate_hz: int,
    mos: MosPredictor | None,
) -> dict[str, Quality]:
    """Utterance id -> measures, for all utterances of one recording.

    Args:
        sounds: One per channel of the recording.
        turns: The turns of the recording; they tell where people speak at once.
        source_rate_hz: Rate of the original.
        mos: None leaves the prediction out.
    """
    scores = [_predict_mos(mos, sound, channel, turns) for channel, sound in enumerate(sounds)]
    measures: dict[str, Quality] = {}
    for utterance in utterances:
        channel = utterance.channel
        clip = cut_sound(sounds[channel], utterance.segment)
        quality = measure_quality(clip.read(), source_rate_hz=source_rate_hz)
        measures[utterance.utterance_id] = replace(
            quality,
            overlap_ratio=overlap_ratio(utterance, turns),
            speaking_rate=speaking_rate(utterance),
            mos=_nearest_score(utterance.segment, scores[channel]),
        )
    return measures


def _predict_mos(
    mos: MosPredictor | None,
    sound: Sound,
    channel: int,
    turns: Sequence[Turn],
) -> list[tuple[Segment, float]]:
    if mos is None:
        return []
    speech = union(turn.segment for turn in turns if turn.channel == channel)
    return mos.predict(sound, speech=speech)


def _nearest_score(segment: Segment, scores: Sequence[tuple[Segment, float]]) -> float | None:
    """The score of the stretch that overlaps a segment most, or else begins nearest to it."""

    def nearness(scored: tuple[Segment, float]) -> tuple[int, int]:
        stretch, _ = scored
        distance_ms = abs(segment.start_ms - stretch.start_ms)
        return overlap_ms(segment, stretch), -distance_ms

    if not scores:
        return None
    _, score = max(scores, key=nearness)
    return score


def overlap_ratio(utterance: Utterance, turns: Sequence[Turn]) -> float:
    """Share of an utterance in which another speaker of the recording speaks too, 0..1."""
    speaker = (utterance.channel, utterance.speaker)
    others = union(turn.segment for turn in turns if (turn.channel, turn.speaker) != speaker)
    shared_ms = sum(overlap_ms(utterance.segment, other) for other in others)
    return round(shared_ms / utterance.segment.duration_ms, 4)


def speaking_rate(utterance: Utterance) -> float | None:
    """Words per second of speech; in scripts without spaces, characters. None without words."""
    if not utterance.words:
        return None
    letters = [c for c in utterance.text if c.isalnum()]
    units = sum(letter >= _UNSPACED_FROM for letter in letters)
    if units < len(letters):
        units += len(utterance.text.split())
    spoken_ms = sum(word.segment.duration_ms for word in utterance.words)
    return round(units * 1000 / spoken_ms, 3)


def _level_db(samples: Samples, *, axis: int) -> npt.NDArray[np.float64]:
    """Level of the mean power along an axis, at least FLOOR_DB."""
    power = np.mean(np.square(samples, dtype=np.float64), axis=axis)
    lowest = 10 ** (FLOOR_DB / 10)
    return np.asarray(10 * np.log10(np.maximum(power, lowest)))


def _clipping_ratio(samples: Samples) -> float:
    """Share of the samples in runs of three or more at the peak."""
    size = np.abs(samples)
    peak = float(size.max())
    swing = float(samples.max() - samples.min())
    if peak < 0.1 or swing == 0:
        return 0.0

    at_peak = (size >= 0.985 * peak).astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], at_peak, [0]])))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= 3].sum() / samples.size)


def _bandwidth_hz(samples: Samples, *, limit_hz: int) -> int:
    """The highest frequency within 50 dB of the strongest, at most `limit_hz`; 0 for silence."""
    if samples.size < _WINDOW:
        samples = np.pad(samples, (0, _WINDOW - samples.size))
    num_frames = samples.size // _WINDOW
    frames = samples[: num_frames * _WINDOW].reshape(-1, _WINDOW)
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames * np.hanning(_WINDOW).astype(np.float32)

    spectrum = np.fft.rfft(frames, axis=1)
    power = np.mean(np.abs(spectrum) ** 2, axis=0)
    top = float(power.max())
    if top <= 1e-9:
        return 0
    last = int(np.flatnonzero(power >= top * 1e-5)[-1])
    return min(limit_hz, last * MODEL_RATE_HZ // _WINDOW)
