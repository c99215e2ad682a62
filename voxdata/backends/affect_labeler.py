"""Cold-start emotion: the valence of the words and the arousal of the voice, placed among the labels of a scheme.

Source: C. Hutto and E. Gilbert, VADER, ICWSM 2014, for valence; level, pitch and rate as correlates of arousal.
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
_MIN_HZ, _MAX_HZ = 70, 400


class AffectLabeler:
    """The Labeler port by rules: nobody trained it, and it is often wrong, so it is weak.

    Valence is read from English words only, and is 0 otherwise. Arousal compares a clip with the same speaker's other clips in the
    batch, so the batch is one whole recording; a speaker with fewer than MIN_CLIPS clips has arousal 0.

    Args:
        scheme: Every label needs valence and arousal.
        sharpness: How fast a label's probability falls with its distance.

    Raises:
        BackendError: A label has no valence or arousal.
    """

    def __init__(self, *, scheme: Scheme, sharpness: float = 2.0) -> None:
        unplaced = [label.name for label in scheme.labels if label.valence is None or label.arousal is None]
        if unplaced:
            raise BackendError(
                f"scheme {scheme.name!r}: `affect` needs valence and arousal for {', '.join(unplaced)}; add them in voxdata.toml"
            )
        self._scheme = scheme
        self._sharpness = sharpness
        self._places = np.array([[label.valence, label.arousal] for label in scheme.labels], dtype=np.float64)

    @property
    def model(self) -> ModelRef:
        """What is running."""
        places = {label.name: [label.valence, label.arousal] for label in self._scheme.labels}
        return ModelRef(
            name=f"cold-start/affect-{self._scheme.name}",
            revision=f"vader-{version('vaderSentiment')}+prosody-1",
            params={"places": digest(canonical_json(places)), "sharpness": self._sharpness},
            weak=True,
        )

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]

        analyzer = SentimentIntensityAnalyzer() if any(c.language == "en" and c.text for c in clips) else None
        arousal = estimate_arousal(clips)
        out: list[Distribution] = []
        for clip, excited in zip(clips, arousal, strict=True):
            valence = (
                analyzer.polarity_scores(clip.text)["compound"] if analyzer is not None and clip.language == "en" and clip.text else 0.0
            )
            distance = ((self._places - [valence, excited]) ** 2).sum(axis=1)
            weights = np.exp(-self._sharpness * (distance - distance.min()))
            out.append(dict(zip(self._scheme.label_names, map(float, weights / weights.sum()), strict=True)))
        return out


def estimate_arousal(clips: Sequence[Clip]) -> list[float]:
    """Arousal of each clip against the same speaker's others, in (-1, 1): the mean z-score of level, pitch and rate, squashed."""
    measures = [_prosody(clip) for clip in clips]
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        by_speaker[clip.speaker].append(i)
    arousal = [0.0] * len(clips)
    for members in by_speaker.values():
        if len(members) < MIN_CLIPS:
            continue
        table = np.array([measures[i] for i in members])
        # Sorting makes the sums independent of the order of the clips, down to the last bit.
        ordered = np.sort(table, axis=0)
        spread = np.maximum(ordered.std(axis=0), 1e-6)
        scores = ((table - ordered.mean(axis=0)) / spread).mean(axis=1)
        for i, score in zip(members, scores, strict=True):
            arousal[i] = float(np.tanh(score / 2))
    return arousal


def _prosody(clip: Clip) -> tuple[float, float, float]:
    """Level in dB, median pitch in octaves above 100 Hz (0 when unvoiced), characters a second."""
    seconds = max(len(clip.samples) / MODEL_RATE_HZ, 0.1)
    level = 10 * np.log10(float(np.mean(np.square(clip.samples, dtype=np.float64))) + 1e-10) if len(clip.samples) else -100.0
    pitch = median_pitch_hz(clip.samples)
    return float(level), float(np.log2(pitch / 100)) if pitch else 0.0, len(clip.text.strip()) / seconds


def median_pitch_hz(samples: Samples) -> float:
    """Median fundamental frequency of the voiced frames by autocorrelation, 70 to 400 Hz; 0 when there is none."""
    count = (len(samples) - _FRAME) // _HOP + 1
    if count < 1:
        return 0.0
    index = np.arange(count)[:, None] * _HOP + np.arange(_FRAME)
    frames: npt.NDArray[np.float64] = samples[index].astype(np.float64)
    frames -= frames.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(frames * np.hanning(_FRAME), n=2 * _FRAME)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :_FRAME]
    energy = correlation[:, 0]
    low, high = MODEL_RATE_HZ // _MAX_HZ, MODEL_RATE_HZ // _MIN_HZ
    lags = correlation[:, low:high]
    best = lags.argmax(axis=1)
    voiced = (lags[np.arange(count), best] > 0.4 * energy) & (energy > 1e-4 * energy.max()) & (energy > 1e-9)
    return float(np.median(MODEL_RATE_HZ / (best[voiced] + low))) if voiced.any() else 0.0
