"""Measures of how good the audio of an utterance is. They are stored, never silently used to drop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measures of one stretch of one channel.

    Attributes:
        level_db: RMS level, dBFS.
        snr_db: Loud frames over quiet frames (95th - 10th percentile of 25 ms frame levels), dB; a rough lower bound.
        clipping_ratio: Share of samples stuck at the peak, 0..1.
        bandwidth_hz: Highest frequency still carrying speech energy.
    """

    level_db: float
    snr_db: float
    clipping_ratio: float
    bandwidth_hz: int
