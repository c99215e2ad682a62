"""Copies among short clips: the same sound re-encoded, resampled, louder, noisier or trimmed.

Acoustic fingerprints need four seconds and more. Here each clip finds its likeliest partners by the
shape of its sound over time, which does not care where the clip starts, and each such pair is then
judged by its waveform: at the best shift, two copies correlate almost wholly and two utterances,
even of the same sentence by the same person, do not. What changes the speed or the pitch is not
found.

What counts is what is heard, not how long the file is. Two clips that hold the same click or tone
correlate almost wholly where it is loud, though all else differs: a pair must agree more closely
the less of it is heard, must agree in its quieter parts too, and a click or a steady tone alone
proves nothing.

Source: generalised cross-correlation, C. Knapp and G. Carter, IEEE Trans. ASSP 1976, here with the
band limited and not whitened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.heard import measure_heard
from voxdata.sound import MODEL_RATE_HZ, Samples

Floats = npt.NDArray[np.float32]

RATE_HZ = 8_000
MAX_S = 20
MIN_S = 0.1
LOW_HZ, HIGH_HZ = 250, 3_400
NUM_BANDS, HOP, FRAME, NUM_RATES = 16, 160, 400, 24
MIN_CORRELATION = 0.7
MIN_CORRELATION_SHORT = 0.96
SHORT_S, LONG_S = 0.4, 0.6
"""Least correlation of copies of which LONG_S and more are heard, and of those up to SHORT_S; in between on a line.

Half a second of the same vowel correlates by itself: chosen on RAVDESS (3 s, of which 0.4 to 1.3 s
are heard) and FSDD (0.4 s, 0.05 to 0.4 s heard), see docs/audit.md."""

MIN_EVEN = 0.6
"""Least correlation of copies once loud and quiet moments are brought closer: 0.7 and more of copies with noise at 10 dB, less than 0.6 of
clips that share a click or a tone 40 dB above all else."""

EVENING, EVEN_FRAME, EVEN_FLOOR = 0.75, 400, 1e-6
"""Share of the level, in dB, that is taken out; samples that the level is measured over; power below which nothing is raised, of the
loudest."""

MIN_HEARD_S, MIN_CHANGE = 0.03, 1.12
"""Least length, and least number of independent spectra, of a sound that can tell clips apart.

A click holds its energy in 0.02 s, and a tone, pure or not, has one spectrum (1.11 with its edges).
Digits of FSDD have 1.26 and more, but for 5 % of them."""

MIN_SHARED = 0.5
"""Least share of the shorter clip's energy that the common stretch must hold."""

NUM_PARTNERS = 8
SILENT = 1e-5
FINE = RATE_HZ // 100


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
class Common:
    """The stretch that two clips have in common at their best shift.

    Attributes:
        first, second: (num_samples,) float32 at RATE_HZ, sample by sample beside each other.
        correlation: Of the two, 0..1.
        shorter: (num_samples,) the whole of the shorter clip.
        start, stop: Where the stretch is in the shorter clip, half-open.
    """

    first: Floats
    second: Floats
    correlation: float
    shorter: Floats
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipSound:
    """What is kept of a clip to find its copies.

    Attributes:
        wave: (num_samples,) float32 at RATE_HZ, between LOW_HZ and HIGH_HZ, unit energy; empty for
            silence and clips below MIN_S.
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
    empty = ClipSound(
        wave=np.zeros(0, np.float32), shape=np.zeros(NUM_BANDS * NUM_RATES, np.float32)
    )
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

    Every clip is compared with its `num_partners` likeliest partners, so a sound with many more
    copies is found as a chain of pairs.
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
            pairs.update(
                (min(heard[start + at], heard[o]), max(heard[start + at], heard[o])) for o in others
            )
    found = []
    for a, b in sorted(pairs):
        one, other = clips[a].wave, clips[b].wave
        common = align(one, other)
        if common is not None and is_copy(common):
            found.append(Copy(first=a, second=b, correlation=round(common.correlation, 3)))
    return found


def is_copy(common: Common) -> bool:
    """Whether what two clips have in common makes them copies; the costly questions come last."""
    heard_s = min(measure_heard(part, rate_hz=RATE_HZ) for part in (common.first, common.second))
    if heard_s < MIN_HEARD_S or common.correlation < least_correlation(heard_s):
        return False
    if not _agree_evenly(common):
        return False
    return min(count_spectra(common.first), count_spectra(common.second)) >= MIN_CHANGE


def least_correlation(heard_s: float) -> float:
    """From where on two clips are copies, by how much is heard of what they have in common.

    >>> least_correlation(0.2), least_correlation(1.0)
    (0.96, 0.7)
    """
    return float(np.interp(heard_s, (SHORT_S, LONG_S), (MIN_CORRELATION_SHORT, MIN_CORRELATION)))


def count_spectra(wave: Floats) -> float:
    """How many different spectra a sound has: 1 for a steady tone however rich, more where it changes.

    Args:
        wave: (num_samples,) at RATE_HZ.

    Returns:
        The participation ratio of the spectrogram's singular values, 1 and more.

    >>> round(count_spectra(np.sin(np.arange(4000, dtype=np.float32))), 2)
    1.0
    """
    size = 4 * FINE
    padded = wave if wave.size >= size else np.pad(wave, (0, size - wave.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[:: 2 * FINE] * np.hanning(
        size
    ).astype(np.float32)
    powers = np.square(np.linalg.svd(np.abs(np.fft.rfft(frames, axis=1)), compute_uv=False))
    return float(powers.sum() ** 2 / max(float(np.square(powers).sum()), 1e-30))


def correlate(a: Floats, b: Floats) -> float:
    """The largest correlation of two waveforms over all shifts, as `align` finds it; 0 where that finds nothing."""
    common = align(a, b)
    return 0.0 if common is None else common.correlation


def align(a: Floats, b: Floats) -> Common | None:
    """Shift two waveforms to where they correlate most; polarity does not count.

    Args:
        a, b: (num_samples,) at RATE_HZ, of unit energy.

    Returns:
        None where the common stretch holds less than MIN_SHARED of the energy of the shorter one.
    """
    size = 1 << int(a.size + b.size - 1).bit_length()
    cross = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    at = int(np.argmax(np.abs(cross)))
    shift = at if at < a.size else at - size  # b starts this much later within a
    start, stop = max(0, shift), min(a.size, b.size + shift)
    if stop <= start:
        return None
    first, second = a[start:stop], b[start - shift : stop - shift]
    energy_a, energy_b = float(np.square(first).sum()), float(np.square(second).sum())
    a_shorter = a.size <= b.size
    shared = energy_a if a_shorter else energy_b  # of unit energy
    if shared < MIN_SHARED or min(energy_a, energy_b) <= 0:
        return None
    correlation = min(1.0, float(abs(cross[at])) / float(np.sqrt(energy_a * energy_b)))
    place = start if a_shorter else start - shift
    return Common(
        first=first,
        second=second,
        correlation=correlation,
        shorter=a if a_shorter else b,
        start=place,
        stop=place + first.size,
    )


def _agree_evenly(common: Common) -> bool:
    """Whether the two agree in their quieter parts too, and share these: a loud moment does not stand for the rest."""
    first, second = _even(common.first), _even(common.second)
    value = abs(float(first @ second)) / float(np.sqrt((first @ first) * (second @ second)))
    if value < MIN_EVEN:
        return False
    whole = np.square(_even(common.shorter))
    return float(whole[common.start : common.stop].sum()) >= MIN_SHARED * float(whole.sum())


def _even(wave: Floats) -> npt.NDArray[np.float64]:
    """The wave with its loud and quiet moments brought closer: EVENING of the level, in dB, is taken out."""
    width = min(EVEN_FRAME, wave.size)
    summed = np.cumsum(np.concatenate([np.zeros(1), np.square(wave, dtype=np.float64)]))
    middle = np.arange(wave.size)
    first = np.maximum(middle - width // 2, 0)
    last = np.minimum(middle - width // 2 + width, wave.size)
    power = (summed[last] - summed[first]) / width
    floor = max(float(power.max()) * EVEN_FLOOR, 1e-30)
    return np.asarray(wave / np.maximum(power, floor) ** (EVENING / 2), dtype=np.float64)


def _shape(wave: Floats) -> Floats:
    """How fast each band of the sound rises and falls: magnitudes of the spectrum of its level over time."""
    padded = wave if wave.size >= FRAME else np.pad(wave, (0, FRAME - wave.size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP] * np.hanning(
        FRAME
    ).astype(np.float32)
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
