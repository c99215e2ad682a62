"""Cold-start emotion: valence of the words and arousal of the voice, placed among the labels.

Source: C. Hutto and E. Gilbert, VADER, ICWSM 2014, for valence; level, pitch and rate as correlates
of arousal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from voxdata.errors import BackendError
from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Distribution
from voxdata.ports import MODEL_RATE_HZ, Clip, Samples
from voxdata.scheme import Scheme

MIN_CLIPS = 3
"""A speaker heard less often has no baseline to be compared with."""

Floats = npt.NDArray[np.float64]

_FRAME = 640
_HOP = 320
_BLOCK = 1500
_MIN_HZ = 70
_MAX_HZ = 400


class AffectLabeler:
    """The Labeler port by rules: nobody trained it, and it is often wrong, so it is weak.

    Valence is read from English words only, and is unknown otherwise. Arousal compares a clip with
    the same speaker's other clips in the batch, so the batch is one whole recording; that of a
    speaker with fewer than MIN_CLIPS clips is unknown. A measure that a clip does not give (no
    voiced frame, no text, no sound) says nothing about it. Labels are placed by what is known; when
    that is nothing, it abstains: all labels get the same probability.

    Args:
        scheme: Every label needs valence and arousal.
        sharpness: How fast a label's probability falls with its distance.

    Raises:
        BackendError: A label has no valence or arousal.
    """

    def __init__(self, *, scheme: Scheme, sharpness: float = 2.0) -> None:
        places = [(label.valence, label.arousal) for label in scheme.labels]
        unplaced = [
            name for name, place in zip(scheme.label_names, places, strict=True) if None in place
        ]
        if unplaced:
            raise BackendError(
                f"scheme {scheme.name!r}: `affect` needs valence and arousal "
                f"for {', '.join(unplaced)}; add them in voxdata.toml"
            )
        self._scheme = scheme
        self._sharpness = sharpness
        self._places = np.array(places, dtype=np.float64)
        """(num_labels, 2) valence and arousal."""

    @property
    def model(self) -> ModelRef:
        """What is running."""
        places = {label.name: [label.valence, label.arousal] for label in self._scheme.labels}
        return ModelRef(
            name=f"cold-start/affect-{self._scheme.name}",
            revision=f"vader-{version('vaderSentiment')}+prosody-3",
            params={"places": digest(canonical_json(places)), "sharpness": self._sharpness},
            weak=True,
        )

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        arousals = estimate_arousal(clips)
        valences = _estimate_valence(clips)
        answers: list[Distribution] = []
        for clip_place in zip(valences, arousals, strict=True):
            # What is unknown moves a clip towards no label.
            squares = (self._places - clip_place) ** 2
            distance = np.nansum(squares, axis=1)
            further = distance - distance.min()
            weights = np.exp(-self._sharpness * further)
            shares = weights / weights.sum()
            answer = zip(self._scheme.label_names, shares.tolist(), strict=True)
            answers.append(dict(answer))
        return answers


def _estimate_valence(clips: Sequence[Clip]) -> list[float]:
    """Valence of the words of each clip, in [-1, 1]; NaN where they are not English, or none."""
    if not any(clip.language == "en" and clip.text for clip in clips):
        return [np.nan] * len(clips)

    from vaderSentiment.vaderSentiment import (  # type: ignore[import-untyped]
        SentimentIntensityAnalyzer,
    )

    analyzer = SentimentIntensityAnalyzer()
    valences: list[float] = []
    for clip in clips:
        if clip.language == "en" and any(map(str.isalnum, clip.text)):
            valences.append(analyzer.polarity_scores(clip.text)["compound"])
        else:
            valences.append(np.nan)
    return valences


def estimate_arousal(clips: Sequence[Clip]) -> list[float]:
    """Arousal of each clip against the same speaker's others, in (-1, 1).

    It is the mean z-score of level, pitch and rate, squashed. NaN where it is unknown: the speaker
    is heard too seldom, or the clip gives no measure.
    """
    measures = [_prosody(clip) for clip in clips]
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        by_speaker[clip.speaker].append(i)

    arousal = [float("nan")] * len(clips)
    for members in by_speaker.values():
        if len(members) < MIN_CLIPS:
            continue
        table = np.array([measures[i] for i in members])
        scores = np.column_stack([_standardise(column) for column in table.T])
        for i, row in zip(members, scores, strict=True):
            if not np.isnan(row).all():
                mean = np.nan_to_num(row).mean()
                arousal[i] = float(np.tanh(mean / 2))
    return arousal


def _standardise(column: Floats) -> Floats:
    """z-scores, NaN where the value is NaN, and everywhere when fewer than MIN_CLIPS are not."""
    # Sorting makes the sums independent of the order of the clips, down to the last bit.
    values = np.sort(column[~np.isnan(column)])
    if len(values) < MIN_CLIPS:
        return np.full_like(column, np.nan)
    deviation = max(float(values.std()), 1e-6)
    return np.asarray((column - values.mean()) / deviation)


def _prosody(clip: Clip) -> tuple[float, float, float]:
    """Level in dB, median pitch in octaves above 100 Hz, characters a second; NaN where unknown."""
    level = octaves = rate = np.nan
    voice = _remove_rumble(clip.samples)
    power = 0.0
    if len(voice):
        squares = np.square(voice)
        power = float(np.mean(squares))
    if power > 1e-10:
        level = float(10 * np.log10(power))

    pitch_hz = median_pitch_hz(voice)
    if pitch_hz:
        octaves = float(np.log2(pitch_hz / 100))

    characters = len(clip.text.strip())
    if characters:
        duration_s = clip.sound.num_samples / MODEL_RATE_HZ
        rate = characters / max(duration_s, 0.1)
    return level, octaves, rate


def _remove_rumble(samples: Samples) -> Floats:
    """The sound without what lies below the voice, mains hum above all."""
    if not len(samples):
        return np.zeros(0)
    spectrum = np.fft.rfft(samples)
    frequencies_hz = np.fft.rfftfreq(len(samples), 1 / MODEL_RATE_HZ)
    spectrum[frequencies_hz < _MIN_HZ - 5] = 0
    return np.asarray(np.fft.irfft(spectrum, n=len(samples)))


def median_pitch_hz(samples: npt.NDArray[np.floating]) -> float:
    """Median fundamental frequency of the voiced frames by autocorrelation, 70 to 400 Hz.

    0 when there is none.
    """
    count = (len(samples) - _FRAME) // _HOP + 1
    if count < 1:
        return 0.0
    blocks: list[Floats] = []
    for first in range(0, count, _BLOCK):
        stop = min(first + _BLOCK, count)
        blocks.append(_track_pitch(samples, first, stop))
    pitch_hz, strength, energy = np.concatenate(blocks, axis=1)

    is_periodic = strength > 0.4 * energy
    is_loud = energy > 1e-4 * energy.max()
    voiced = is_periodic & is_loud & (energy > 1e-9)
    if not voiced.any():
        return 0.0
    return float(np.median(pitch_hz[voiced]))


def _track_pitch(
    samples: npt.NDArray[np.floating],
    first: int,
    stop: int,
) -> Floats:
    """Pitch of the frames from `first` to before `stop`, by autocorrelation.

    Returns:
        (3, num_frames): frequency in Hz, height of its peak (0 without one), and energy.
    """
    starts = np.arange(first, stop)[:, None] * _HOP
    index = starts + np.arange(_FRAME)
    frames: Floats = samples[index].astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    windowed = frames * np.hanning(_FRAME)
    spectrum = np.fft.rfft(windowed, n=2 * _FRAME)
    power = np.abs(spectrum) ** 2
    correlation = np.fft.irfft(power)

    low = MODEL_RATE_HZ // _MAX_HZ
    high = MODEL_RATE_HZ // _MIN_HZ
    lags = correlation[:, low : high + 1]
    shorter = correlation[:, low - 1 : high]
    longer = correlation[:, low + 1 : high + 2]
    # A true period is a peak; mains hum and rumble only slope down from the shortest lag.
    is_peak = (lags >= shorter) & (lags >= longer)
    heights = np.where(is_peak, lags, 0.0)
    best = heights.argmax(axis=1)
    rows = np.arange(len(best))
    best_heights = heights[rows, best]
    pitch_hz = MODEL_RATE_HZ / (best + low)
    energy = correlation[:, 0]
    return np.stack([pitch_hz, best_heights, energy])
