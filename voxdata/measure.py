"""Measures of an utterance's audio, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measures of one stretch of one channel.

    Attributes:
        level_db: RMS level, dBFS.
        snr_db: Loud frames over quiet frames (95th - 10th percentile of 25 ms frame levels), dB; a
            rough lower bound.
        clipping_ratio: Share of samples stuck at the peak, 0..1.
        bandwidth_hz: Highest frequency still carrying speech energy.
        overlap_ratio: Share of it in which another speaker of the recording speaks too, 0..1.
        speaking_rate: Words (characters in scripts without spaces) a second of speech; None without
            text.
        mos: Predicted opinion score, 1..5; None without a predictor.
        second_error_rate: How far a second transcriber's words differ, 0 is equal; None without
            one.
    """

    level_db: float
    snr_db: float
    clipping_ratio: float
    bandwidth_hz: int
    overlap_ratio: float = 0.0
    speaking_rate: float | None = None
    mos: float | None = None
    second_error_rate: float | None = None


MEASURES = tuple(Quality.__slots__)
"""Names of the measures, as they are stored and as thresholds name them."""


LARGER_IS_WORSE = frozenset(
    {"clipping_ratio", "overlap_ratio", "speaking_rate", "second_error_rate"}
)

SAME_VOICE = 0.75
"""Least cosine between a speaker and the centre of a voice (docs/benchmarks.md, voices)."""
