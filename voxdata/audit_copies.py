"""Copies among short clips: the same sound re-encoded, resampled, louder, noisier or trimmed.

Acoustic fingerprints need four seconds and more. Here each clip finds its likeliest partners by the shape of its sound over time, which
does not care where the clip starts, and each such pair is then judged by its waveform: at the best shift, two copies correlate almost
wholly and two utterances, even of the same sentence by the same person, do not. What changes the speed or the pitch is not found.

Source: generalised cross-correlation, C. Knapp and G. Carter, IEEE Trans. ASSP 1976, here with the band limited and not whitened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.sound import MODEL_RATE_HZ, Samples

Floats = npt.NDArray[np.float32]

RATE_HZ = 8_000
MAX_S = 20
MIN_S = 0.1
LOW_HZ, HIGH_HZ = 250, 3_400
NUM_BANDS, HOP, FRAME, NUM_RATES = 16, 160, 400, 24
MIN_CORRELATION = 0.7
MIN_CORRELATION_SHORT = 0.96
SHORT_S, LONG_S = 1.0, 2.0
"""Least correlation of copies of LONG_S and more, and of those up to SHORT_S; in between on a line.

Half a second of the same vowel correlates by itself: chosen on RAVDESS (3 s) and FSDD (0.4 s), see docs/audit.md."""

MIN_SHARED = 0.5
"""Least share of the shorter clip's energy that the common stretch must hold."""

NUM_PARTNERS = 8
SILENT = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Two clips of the same sound.

    Attributes:
        first, second: Their numbers in the order given, first < second.
        correlation: Of the common stretch at the best shift, 0..1.
    """

    first: int
    second: int
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipSound:
    """What is kept of a clip to find its copies.

    Attributes:
        wave: (num_samples,) float32 at RATE_HZ, between LOW_HZ and HIGH_HZ, unit energy; empty for silence and clips below MIN_S.
        shape: (NUM_BANDS * NUM_RATES,) float32 of unit length: how fast each band rises and falls.
    """

    wave: Floats
    shape: Floats


def prepare_clip(samples: Samples) -> ClipSound:
    """Keep of a clip what `find_copies` needs.

    Args:
        samples: (num_samples,) float32 at MODEL_RATE_HZ; the first MAX_S count.
    """
    part = samples[: MAX_S * MODEL_RATE_HZ].astype(np.float32)
    empty = ClipSound(wave=np.zeros(0, np.float32), shape=np.zeros(NUM_BANDS * NUM_RATES, np.float32))
    if part.size < MIN_S * MODEL_RATE_HZ:
        return empty
    spectrum = np.fft.rfft(part)
    hz = np.fft.rfftfreq(part.size, 1 / MODEL_RATE_HZ)
    spectrum[(hz < LOW_HZ) | (hz > HIGH_HZ)] = 0
    num_samples = part.size * RATE_HZ // MODEL_RATE_HZ
    wave = np.fft.irfft(spectrum[: num_samples // 2 + 1], n=num_samples) * (RATE_HZ / MODEL_RATE_HZ)
    size = float(np.sqrt(np.mean(np.square(wave))))
    if size < SILENT:
        return empty
    unit = np.asarray(wave / np.linalg.norm(wave), dtype=np.float32)
    return ClipSound(wave=unit, shape=_shape(unit))


def find_copies(clips: Sequence[ClipSound], *, num_partners: int = NUM_PARTNERS) -> list[Copy]:
    """Pairs of clips that are the same sound, by number.

    Every clip is compared with its `num_partners` likeliest partners, so a sound with many more copies is found as a chain of pairs.
    """
    heard = [i for i, clip in enumerate(clips) if clip.wave.size]
    if len(heard) < 2:
        return []
    shapes = np.stack([clips[i].shape for i in heard])
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(heard), 512):
        alike = shapes[start : start + 512] @ shapes.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf
        count = min(num_partners, len(heard) - 1)
        nearest = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        for at, others in enumerate(nearest):
            pairs.update((min(heard[start + at], heard[o]), max(heard[start + at], heard[o])) for o in others)
    found = []
    for a, b in sorted(pairs):
        one, other = clips[a].wave, clips[b].wave
        value = correlate(one, other)
        if value >= least_correlation(min(one.size, other.size) / RATE_HZ):
            found.append(Copy(first=a, second=b, correlation=round(value, 3)))
    return found


def least_correlation(duration_s: float) -> float:
    """From where on two clips are copies, by the length of the shorter one.

    >>> least_correlation(0.4), least_correlation(3.0)
    (0.96, 0.7)
    """
    return float(np.interp(duration_s, (SHORT_S, LONG_S), (MIN_CORRELATION_SHORT, MIN_CORRELATION)))


def correlate(a: Floats, b: Floats) -> float:
    """The largest correlation of two waveforms over all shifts, over the stretch they have in common there; polarity does not count.

    Returns:
        0..1; 0 where the common stretch holds less than MIN_SHARED of the energy of either clip that is the shorter.
    """
    size = 1 << int(a.size + b.size - 1).bit_length()
    cross = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    at = int(np.argmax(np.abs(cross)))
    shift = at if at < a.size else at - size  # b starts this much later within a
    start, stop = max(0, shift), min(a.size, b.size + shift)
    if stop <= start:
        return 0.0
    energy_a = float(np.square(a[start:stop]).sum())
    energy_b = float(np.square(b[start - shift : stop - shift]).sum())
    shared = energy_a if a.size <= b.size else energy_b  # of unit energy
    if shared < MIN_SHARED or min(energy_a, energy_b) <= 0:
        return 0.0
    return min(1.0, float(abs(cross[at])) / float(np.sqrt(energy_a * energy_b)))


def _shape(wave: Floats) -> Floats:
    """How fast each band of the sound rises and falls: magnitudes of the spectrum of its level over time."""
    padded = wave if wave.size >= FRAME else np.pad(wave, (0, FRAME - wave.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * np.hanning(FRAME).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, 512, axis=1)) ** 2
    low, high = LOW_HZ * 512 // RATE_HZ, HIGH_HZ * 512 // RATE_HZ
    edges = np.linspace(low, high, NUM_BANDS + 1).astype(int)
    bands = np.add.reduceat(power[:, :high], edges[:-1], axis=1)
    level = np.sqrt(bands)  # copies with noise differ in quiet frames: they weigh little
    level = level / max(float(np.linalg.norm(level)), 1e-9)
    span = MAX_S * RATE_HZ // HOP
    rates = np.abs(np.fft.rfft(level, span, axis=0))[: NUM_RATES * 12 : 12]
    vector = rates.T.ravel()
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)
