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
import numpy.typing as npt

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

Spectrum = npt.NDArray[np.complex128]

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
    window = WINDOW_MS * MODEL_RATE_HZ // 1000
    hop = HOP_MS * MODEL_RATE_HZ // 1000
    stretches = [slice(0, num_samples)]
    for start in range(0, num_samples - window, hop):
        stretches.append(slice(start, start + window))
    peaks = [_find_peak(said[stretch], other[stretch]) for stretch in stretches]
    height, lag = max(peaks)
    return lag * 1000 // MODEL_RATE_HZ if height >= SURE else None


def _find_peak(said: Samples, other: Samples) -> tuple[float, int]:
    """The highest correlation, in deviations of the others, and its lag in samples."""
    num_samples = min(len(said), len(other))
    said = said[:num_samples]
    other = other[:num_samples]
    if num_samples <= 2 * _TAPER or not np.ptp(said) or not np.ptp(other):
        return 0.0, 0
    size = 1 << (2 * num_samples - 1).bit_length()
    spectrum = _cross_spectrum(said, other, size)
    correlation = np.fft.irfft(spectrum, size)

    reach = min(MAX_LAG_MS * MODEL_RATE_HZ // 1000, num_samples - 1)
    around_zero = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    near = np.abs(around_zero)
    peak = int(near.argmax())
    usual = float(np.median(near)) / 0.6745
    height = float(near[peak]) / usual if usual else 0.0
    return height, peak - reach


def _cross_spectrum(said: Samples, other: Samples, size: int) -> Spectrum:
    """(size // 2 + 1,) of the phases that differ between two stretches of equal length.

    Frequencies of speech have magnitude 1, all others 0.
    """
    at = np.arange(len(said))
    from_edge = np.minimum(at, len(said) - 1 - at)
    # A hard edge is a click in both.
    taper = np.minimum(1.0, from_edge / _TAPER)
    # In one expression: numpy multiplies a temporary in place, which rounds otherwise.
    spectrum = np.conj(np.fft.rfft(said * taper, size)) * np.fft.rfft(other * taper, size)

    frequency_hz = np.fft.rfftfreq(size, 1 / MODEL_RATE_HZ)
    is_outside = (frequency_hz < _LOWEST_HZ) | (frequency_hz > _HIGHEST_HZ)
    spectrum[is_outside] = 0
    strength = np.abs(spectrum)
    nothing = np.zeros_like(spectrum)
    phases: Spectrum = np.divide(spectrum, strength, out=nothing, where=strength > 0)
    return phases


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
    channels = {utterance.utterance_id: utterance.channel for utterance in utterances}
    measured: dict[str, tuple[PrivateSpan, ...]] = {}
    for utterance_id, spans in private.items():
        channel = channels[utterance_id]
        measured[utterance_id] = tuple(_add_leaks(span, channel, sounds) for span in spans)
    return measured


def _add_leaks(span: PrivateSpan, channel: int, sounds: Sequence[Sound]) -> PrivateSpan:
    """A span of one channel with what is heard of it in the others."""
    leaks: dict[int, Segment | None] = {}
    for number, other in enumerate(sounds):
        if number != channel:
            leaks[number] = _leak(span.segment, sounds[channel], other)
    return replace(span, leaks=leaks)


def _leak(
    segment: Segment,
    said: Sound,
    other: Sound,
) -> Segment | None:
    """When a stretch of one channel is heard in another; None when it is not."""
    missing_ms = max(0, WINDOW_MS - segment.duration_ms)
    start_ms = max(0, segment.start_ms - missing_ms // 2)
    end_ms = min(segment.end_ms + missing_ms // 2, start_ms + _LONGEST_MS)
    start = start_ms * MODEL_RATE_HZ // 1000
    stop = (end_ms + MAX_LAG_MS) * MODEL_RATE_HZ // 1000
    lag_ms = find_lag_ms(said.read(start, stop), other.read(start, stop))
    if lag_ms is None:
        return None
    # An echo has more than one way: all of it from the sound itself to its latest echo.
    return Segment(
        start_ms=max(0, segment.start_ms + min(lag_ms, 0)),
        end_ms=segment.end_ms + max(lag_ms, 0),
    )
