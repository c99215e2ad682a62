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
        return Quality(level_db=FLOOR_DB, snr_db=0.0, clipping_ratio=0.0, bandwidth_hz=0)
    whole = samples[: samples.size // _FRAME * _FRAME] if samples.size >= _FRAME else samples
    frames = whole.reshape(-1, min(_FRAME, samples.size))
    levels = _db(np.mean(np.square(frames, dtype=np.float64), axis=1))
    loud, quiet = np.percentile(levels, (95, 10))
    return Quality(
        level_db=round(float(_db(np.mean(np.square(samples, dtype=np.float64)))), 2),
        snr_db=round(float(loud - quiet), 2),
        clipping_ratio=_clipping_ratio(samples),
        bandwidth_hz=_bandwidth_hz(samples, limit_hz=min(source_rate_hz, MODEL_RATE_HZ) // 2),
    )


class MosPredictor(Protocol):
    """Predicts how good speech sounds to people."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def predict(self, sound: Sound, *, speech: Sequence[Segment]) -> list[tuple[Segment, float]]:
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
        sounds: One a channel of the recording.
        turns: Of the recording; they tell where people speak at once.
        source_rate_hz: Of the original.
        mos: None leaves the prediction out.
    """
    scores = [_predict_mos(mos, sound, channel, turns) for channel, sound in enumerate(sounds)]
    return {
        u.utterance_id: replace(
            measure_quality(
                cut_sound(sounds[u.channel], u.segment).read(), source_rate_hz=source_rate_hz
            ),
            overlap_ratio=overlap_ratio(u, turns),
            speaking_rate=speaking_rate(u),
            mos=_nearest_score(u.segment, scores[u.channel]),
        )
        for u in utterances
    }


def _predict_mos(
    mos: MosPredictor | None, sound: Sound, channel: int, turns: Sequence[Turn]
) -> list[tuple[Segment, float]]:
    if mos is None:
        return []
    return mos.predict(
        sound, speech=union(turn.segment for turn in turns if turn.channel == channel)
    )


def _nearest_score(segment: Segment, scores: Sequence[tuple[Segment, float]]) -> float | None:
    if not scores:
        return None
    return max(
        scores, key=lambda s: (overlap_ms(segment, s[0]), -abs(segment.start_ms - s[0].start_ms))
    )[1]


def overlap_ratio(utterance: Utterance, turns: Sequence[Turn]) -> float:
    """Share of an utterance in which another speaker of the recording speaks too, 0..1."""
    others = union(
        t.segment for t in turns if (t.channel, t.speaker) != (utterance.channel, utterance.speaker)
    )
    shared = sum(overlap_ms(utterance.segment, other) for other in others)
    return round(shared / utterance.segment.duration_ms, 4)


def speaking_rate(utterance: Utterance) -> float | None:
    """Words a second of speech; in scripts without spaces, characters. None without words."""
    if not utterance.words:
        return None
    letters = [c for c in utterance.text if c.isalnum()]
    unspaced = sum(c >= "\u2e80" for c in letters)
    units = unspaced + (len(utterance.text.split()) if unspaced < len(letters) else 0)
    spoken_ms = sum(word.segment.duration_ms for word in utterance.words)
    return round(units * 1000 / spoken_ms, 3)


def _db(power: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10))))


def _clipping_ratio(samples: Samples) -> float:
    size = np.abs(samples)
    peak = float(size.max())
    if peak < 0.1 or float(samples.max() - samples.min()) == 0:
        return 0.0
    stuck = np.flatnonzero(
        np.diff(np.concatenate([[0], (size >= 0.985 * peak).astype(np.int8), [0]]))
    )
    runs = stuck[1::2] - stuck[::2]
    return float(runs[runs >= 3].sum() / samples.size)


def _bandwidth_hz(samples: Samples, *, limit_hz: int) -> int:
    padded = samples if samples.size >= _WINDOW else np.pad(samples, (0, _WINDOW - samples.size))
    frames = padded[: padded.size // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(_WINDOW).astype(np.float32)
    power = np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0)
    top = float(power.max())
    if top <= 1e-9:
        return 0
    last = int(np.flatnonzero(power >= top * 1e-5)[-1])
    return min(limit_hz, last * MODEL_RATE_HZ // _WINDOW)
