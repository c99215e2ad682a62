"""Cold-start emotion: the valence of the words and the arousal of the voice, placed among the
labels of a scheme.

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

_FRAME = 640
_HOP = 320
_BLOCK = 1500
_MIN_HZ, _MAX_HZ = 70, 400


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
        unplaced = [
            label.name for label in scheme.labels if label.valence is None or label.arousal is None
        ]
        if unplaced:
            raise BackendError(
                f"scheme {scheme.name!r}: `affect` needs valence and arousal for {', '.join(unplaced)}; add them in voxdata.toml"
            )
        self._scheme = scheme
        self._sharpness = sharpness
        self._places = np.array(
            [[label.valence, label.arousal] for label in scheme.labels], dtype=np.float64
        )

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
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

        analyzer = (
            SentimentIntensityAnalyzer()
            if any(c.language == "en" and c.text for c in clips)
            else None
        )
        arousal = estimate_arousal(clips)
        out: list[Distribution] = []
        for clip, excited in zip(clips, arousal, strict=True):
            valence = np.nan
            if analyzer is not None and clip.language == "en" and any(map(str.isalnum, clip.text)):
                valence = analyzer.polarity_scores(clip.text)["compound"]
            # What is unknown moves a clip towards no label.
            distance = np.nansum((self._places - [valence, excited]) ** 2, axis=1)
            weights = np.exp(-self._sharpness * (distance - distance.min()))
            out.append(
                dict(
                    zip(self._scheme.label_names, map(float, weights / weights.sum()), strict=True)
                )
            )
        return out


def estimate_arousal(clips: Sequence[Clip]) -> list[float]:
    """Arousal of each clip against the same speaker's others, in (-1, 1): the mean z-score of
    level, pitch and rate, squashed.

    NaN where it is unknown: the speaker is heard too seldom, or the clip gives no measure.
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
                arousal[i] = float(np.tanh(np.nan_to_num(row).mean() / 2))
    return arousal


def _standardise(column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """z-scores; NaN where the value is unknown (NaN), and everywhere when fewer than MIN_CLIPS are
    known.
    """
    # Sorting makes the sums independent of the order of the clips, down to the last bit.
    known = np.sort(column[~np.isnan(column)])
    if len(known) < MIN_CLIPS:
        return np.full_like(column, np.nan)
    scores: npt.NDArray[np.float64] = (column - known.mean()) / max(float(known.std()), 1e-6)
    return scores


def _prosody(clip: Clip) -> tuple[float, float, float]:
    """Level in dB, median pitch in octaves above 100 Hz, characters a second; NaN where unknown."""
    voice = _remove_rumble(clip.samples)
    power = float(np.mean(np.square(voice))) if len(voice) else 0.0
    pitch = median_pitch_hz(voice)
    characters = len(clip.text.strip())
    return (
        float(10 * np.log10(power)) if power > 1e-10 else np.nan,
        float(np.log2(pitch / 100)) if pitch else np.nan,
        characters / max(clip.sound.num_samples / MODEL_RATE_HZ, 0.1) if characters else np.nan,
    )


def _remove_rumble(samples: Samples) -> npt.NDArray[np.float64]:
    """Without what lies below the voice, mains hum above all."""
    if not len(samples):
        return np.zeros(0)
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / MODEL_RATE_HZ) < _MIN_HZ - 5] = 0
    filtered: npt.NDArray[np.float64] = np.fft.irfft(spectrum, n=len(samples))
    return filtered


def median_pitch_hz(samples: npt.NDArray[np.floating]) -> float:
    """Median fundamental frequency of the voiced frames by autocorrelation, 70 to 400 Hz.

    0 when there is none.
    """
    count = (len(samples) - _FRAME) // _HOP + 1
    if count < 1:
        return 0.0
    blocks = [
        _track_pitch(samples, first, min(first + _BLOCK, count))
        for first in range(0, count, _BLOCK)
    ]
    hertz, strength, energy = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    voiced = (strength > 0.4 * energy) & (energy > 1e-4 * energy.max()) & (energy > 1e-9)
    return float(np.median(hertz[voiced])) if voiced.any() else 0.0


def _track_pitch(
    samples: npt.NDArray[np.floating], first: int, stop: int
) -> tuple[npt.NDArray[np.float64], ...]:
    """Frequency, height of its autocorrelation peak (0 without one) and energy of frames `first` to
    `stop`.
    """
    index = np.arange(first, stop)[:, None] * _HOP + np.arange(_FRAME)
    frames: npt.NDArray[np.float64] = samples[index].astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(frames * np.hanning(_FRAME), n=2 * _FRAME)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    low, high = MODEL_RATE_HZ // _MAX_HZ, MODEL_RATE_HZ // _MIN_HZ
    lags = correlation[:, low : high + 1]
    # A true period is a peak; mains hum and rumble only slope down from the shortest lag.
    peaks = (lags >= correlation[:, low - 1 : high]) & (lags >= correlation[:, low + 1 : high + 2])
    heights = np.where(peaks, lags, 0.0)
    best = heights.argmax(axis=1)
    return MODEL_RATE_HZ / (best + low), heights[np.arange(len(best)), best], correlation[:, 0]
