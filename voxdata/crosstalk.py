"""Crosstalk: whether what is said on one channel is heard in another, as on a line that leaks or
with a loudspeaker near a microphone.

The two channels are compared by their generalised cross-correlation with phase transform: every
frequency counts alike, so that a leak shows as one sharp peak far below the other party's own
speech, and the hum or the noise of a line does not.

Source: C. Knapp and G. Carter, "The generalized correlation method for estimation of time delay",
1976.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound
from voxdata.utterance import Utterance

MAX_LAG_MS = 500
"""An echo that comes back later has been somewhere else."""

SURE = 12.0
"""How far above the correlations at other lags the peak stands, in their deviations.

Two people who speak at once rarely reach it; whoever does is muted without need. A leak in the
silence of the other party reaches 50 and more.
"""

WINDOW_MS, HOP_MS = 1_000, 500
"""Besides the whole stretch each part of it is compared: a leak shows in the pauses of the other
party's own speech.
"""

_LOWEST_HZ, _HIGHEST_HZ = 150, 3_800
_TAPER = MODEL_RATE_HZ // 10
_LONGEST_MS = 20_000
"""Longest stretch that is compared; of a longer one only the beginning is."""


def find_lag_ms(said: Samples, other: Samples) -> int | None:
    """How much later what is said on one channel is heard in another.

    Args:
        said: (num_samples,) of the channel it is said on.
        other: (num_samples,) of the other channel at the same time.

    Returns:
        In ms, negative when it is heard earlier; None when it is not heard.
    """
    num_samples = min(len(said), len(other))
    window, hop = WINDOW_MS * MODEL_RATE_HZ // 1000, HOP_MS * MODEL_RATE_HZ // 1000
    stretches = [(0, num_samples)] + [
        (start, start + window) for start in range(0, num_samples - window, hop)
    ]
    peaks = [_find_peak(said[start:stop], other[start:stop]) for start, stop in stretches]
    height, lag = max(peaks, default=(0.0, 0))
    return lag * 1000 // MODEL_RATE_HZ if height >= SURE else None


def _find_peak(said: Samples, other: Samples) -> tuple[float, int]:
    """The highest correlation, in deviations of the others, and its lag in samples."""
    num_samples = min(len(said), len(other))
    if (
        num_samples <= 2 * _TAPER
        or not np.ptp(said[:num_samples])
        or not np.ptp(other[:num_samples])
    ):
        return 0.0, 0
    at = np.arange(num_samples)
    taper = np.minimum(
        1.0, np.minimum(at, num_samples - 1 - at) / _TAPER
    )  # a hard edge is a click in both
    size = 1 << (2 * num_samples - 1).bit_length()
    spectrum = np.conj(np.fft.rfft(said[:num_samples] * taper, size)) * np.fft.rfft(
        other[:num_samples] * taper, size
    )
    frequency_hz = np.fft.rfftfreq(size, 1 / MODEL_RATE_HZ)
    spectrum[(frequency_hz < _LOWEST_HZ) | (frequency_hz > _HIGHEST_HZ)] = 0
    strength = np.abs(spectrum)
    spectrum = np.divide(spectrum, strength, out=np.zeros_like(spectrum), where=strength > 0)
    correlation = np.fft.irfft(spectrum, size)
    reach = min(MAX_LAG_MS * MODEL_RATE_HZ // 1000, num_samples - 1)
    near = np.abs(np.concatenate([correlation[-reach:], correlation[: reach + 1]]))
    peak = int(near.argmax())
    usual = float(np.median(near)) / 0.6745
    return (float(near[peak]) / usual if usual else 0.0), peak - reach


def measure_leaks(
    private: Mapping[str, Sequence[PrivateSpan]],
    utterances: Sequence[Utterance],
    sounds: Sequence[Sound],
) -> dict[str, tuple[PrivateSpan, ...]]:
    """Find where else the personal data of one recording is heard.

    Args:
        private: Utterance id -> its personal data.
        sounds: One a channel.

    Returns:
        The same, with `leaks` filled in.
    """
    channels = {u.utterance_id: u.channel for u in utterances}
    return {
        key: tuple(
            replace(
                span,
                leaks={
                    c: _leak(span.segment, sounds[channels[key]], other)
                    for c, other in enumerate(sounds)
                    if c != channels[key]
                },
            )
            for span in spans
        )
        for key, spans in private.items()
    }


def _leak(
    segment: Segment,
    said: Sound,
    other: Sound,
) -> Segment | None:
    """When a stretch of one channel is heard in another; None when it is not."""
    missing_ms = max(0, WINDOW_MS - segment.duration_ms)
    start_ms = max(0, segment.start_ms - missing_ms // 2)
    stop_ms = min(segment.end_ms + missing_ms // 2, start_ms + _LONGEST_MS) + MAX_LAG_MS
    start, stop = (ms * MODEL_RATE_HZ // 1000 for ms in (start_ms, stop_ms))
    lag_ms = find_lag_ms(said.read(start, stop), other.read(start, stop))
    if lag_ms is None:
        return None
    # An echo has more than one way: all of it from the sound itself to its latest echo.
    return Segment(
        start_ms=max(0, segment.start_ms + min(lag_ms, 0)),
        end_ms=segment.end_ms + max(lag_ms, 0),
    )
