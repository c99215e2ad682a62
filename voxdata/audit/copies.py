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
LOW_HZ = 250
HIGH_HZ = 3_400
NUM_BANDS = 16
HOP = 160
FRAME = 400
NUM_RATES = 24
MIN_CORRELATION = 0.7
MIN_CORRELATION_SHORT = 0.96
SHORT_S = 0.4
LONG_S = 0.6
"""Least correlation of copies of which LONG_S and more are heard, and of those up to SHORT_S.

In between it lies on a line. Half a second of the same vowel correlates by itself: chosen on
RAVDESS (3 s, of which 0.4 to 1.3 s are heard) and FSDD (0.4 s, 0.05 to 0.4 s heard), see
docs/audit.md.
"""

MIN_EVEN = 0.6
"""Least correlation of copies once loud and quiet moments are brought closer.

It is 0.7 and more of copies with noise at 10 dB, and less than 0.6 of clips that share a click or a
tone 40 dB above all else.
"""

EVENING = 0.75
"""Share of the level, in dB, that is taken out."""

EVEN_FRAME = 400
"""Samples that the level is measured over."""

EVEN_FLOOR = 1e-6
"""Power below which nothing is raised, as a share of the loudest."""

MIN_HEARD_S = 0.03
MIN_CHANGE = 1.12
"""Least length, and least number of independent spectra, of a sound that can tell clips apart.

A click holds its energy in 0.02 s, and a tone, pure or not, has one spectrum (1.11 with its edges).
Digits of FSDD have 1.26 and more, but for 5 % of them.
"""

MIN_SHARED = 0.5
"""Least share of the shorter clip's energy that the common stretch must hold."""

NUM_PARTNERS = 8
SILENT = 1e-5
FINE = RATE_HZ // 100

_BATCH = 512
_FFT_SIZE = 512
_RATE_STEP = 12


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
    empty = ClipSound(
        wave=np.zeros(0, np.float32),
        shape=np.zeros(NUM_BANDS * NUM_RATES, np.float32),
    )
    part = samples[: MAX_S * MODEL_RATE_HZ].astype(np.float32)
    if part.size < MIN_S * MODEL_RATE_HZ:
        return empty

    wave = _band_limit(part)
    power = np.mean(np.square(wave))
    rms = float(np.sqrt(power))
    if rms < SILENT:
        return empty

    length = np.linalg.norm(wave)
    unit = np.asarray(wave / length, dtype=np.float32)
    return ClipSound(wave=unit, shape=_shape(unit))


def _band_limit(samples: Samples) -> npt.NDArray[np.float64]:
    """(num_samples,) at RATE_HZ: what lies between LOW_HZ and HIGH_HZ."""
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(samples.size, 1 / MODEL_RATE_HZ)
    outside = (hz < LOW_HZ) | (hz > HIGH_HZ)
    spectrum[outside] = 0

    num_samples = samples.size * RATE_HZ // MODEL_RATE_HZ
    num_bins = num_samples // 2 + 1
    scale = RATE_HZ / MODEL_RATE_HZ
    wave = np.fft.irfft(spectrum[:num_bins], n=num_samples)
    return wave * scale


def find_copies(clips: Sequence[ClipSound], *, num_partners: int = NUM_PARTNERS) -> list[Copy]:
    """Pairs of clips that are the same sound, by number.

    Every clip is compared with its `num_partners` likeliest partners, so a sound with many more
    copies is found as a chain of pairs.
    """
    copies = []
    for first, second in _likely_pairs(clips, num_partners):
        common = align(clips[first].wave, clips[second].wave)
        if common is None or not is_copy(common):
            continue
        correlation = round(common.correlation, 3)
        copies.append(
            Copy(
                first=first,
                second=second,
                correlation=correlation,
            )
        )
    return copies


def _likely_pairs(clips: Sequence[ClipSound], num_partners: int) -> list[tuple[int, int]]:
    """Each clip that is not silent with the clips whose shape is most like its own, sorted."""
    audible = [number for number, clip in enumerate(clips) if clip.wave.size]
    if len(audible) < 2:
        return []

    shapes = np.stack([clips[number].shape for number in audible])
    count = min(num_partners, len(audible) - 1)
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(audible), _BATCH):
        batch = shapes[start : start + _BATCH]
        # shape: (batch, num_audible)
        alike = batch @ shapes.T
        rows = np.arange(len(batch))
        alike[rows, start + rows] = -np.inf
        most_alike_first = np.argpartition(-alike, count - 1, axis=1)
        nearest = most_alike_first[:, :count]
        for clip, partners in zip(audible[start:], nearest, strict=False):
            for partner in partners:
                other = audible[partner]
                pair = (clip, other) if clip < other else (other, clip)
                pairs.add(pair)
    return sorted(pairs)


def is_copy(common: Common) -> bool:
    """Whether what two clips have in common makes them copies; the costly questions come last."""
    parts = (common.first, common.second)
    heard_s = min(measure_heard(part, rate_hz=RATE_HZ) for part in parts)
    if heard_s < MIN_HEARD_S or common.correlation < least_correlation(heard_s):
        return False
    if not _agree_evenly(common):
        return False
    return min(count_spectra(part) for part in parts) >= MIN_CHANGE


def least_correlation(heard_s: float) -> float:
    """From where on two clips are copies, by how much is heard of what they have in common.

    >>> least_correlation(0.2), least_correlation(1.0)
    (0.96, 0.7)
    """
    lengths_s = (SHORT_S, LONG_S)
    correlations = (MIN_CORRELATION_SHORT, MIN_CORRELATION)
    return float(np.interp(heard_s, lengths_s, correlations))


def count_spectra(wave: Floats) -> float:
    """How many different spectra a sound has: 1 for a steady tone, however rich, more for change.

    Args:
        wave: (num_samples,) at RATE_HZ.

    Returns:
        The participation ratio of the spectrogram's singular values, 1 and more.

    >>> round(count_spectra(np.sin(np.arange(4000, dtype=np.float32))), 2)
    1.0
    """
    frames = _windowed_frames(
        wave,
        4 * FINE,
        hop=2 * FINE,
    )
    spectra = np.fft.rfft(frames, axis=1)
    singular_values = np.linalg.svd(np.abs(spectra), compute_uv=False)
    powers = np.square(singular_values)
    sum_of_squares = float(np.square(powers).sum())
    square_of_sum = powers.sum() ** 2
    return float(square_of_sum / max(sum_of_squares, 1e-30))


def correlate(a: Floats, b: Floats) -> float:
    """The largest correlation of two waveforms over all shifts; 0 where `align` finds nothing."""
    common = align(a, b)
    return 0.0 if common is None else common.correlation


def align(a: Floats, b: Floats) -> Common | None:
    """Shift two waveforms to where they correlate most; polarity does not count.

    Args:
        a, b: (num_samples,) at RATE_HZ, of unit energy.

    Returns:
        None where the common stretch holds less than MIN_SHARED of the energy of the shorter one.
    """
    num_shifts = int(a.size + b.size - 1)
    size = 1 << num_shifts.bit_length()
    # In one expression: numpy multiplies a temporary in place, which rounds otherwise.
    spectra = np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size))
    cross = np.fft.irfft(spectra, size)
    peak = int(np.argmax(np.abs(cross)))
    # b starts this much later within a
    shift = peak if peak < a.size else peak - size

    start = max(0, shift)
    stop = min(a.size, b.size + shift)
    if stop <= start:
        return None
    first = a[start:stop]
    second = b[start - shift : stop - shift]

    energy_a = float(np.square(first).sum())
    energy_b = float(np.square(second).sum())
    a_is_shorter = a.size <= b.size
    # Both waves are of unit energy, so this is a share.
    shared = energy_a if a_is_shorter else energy_b
    if shared < MIN_SHARED or min(energy_a, energy_b) <= 0:
        return None

    product = float(abs(cross[peak]))
    mean_energy = float(np.sqrt(energy_a * energy_b))
    correlation = product / mean_energy
    place = start if a_is_shorter else start - shift
    return Common(
        first=first,
        second=second,
        correlation=min(1.0, correlation),
        shorter=a if a_is_shorter else b,
        start=place,
        stop=place + first.size,
    )


def _agree_evenly(common: Common) -> bool:
    """Whether the two agree in their quieter parts too, and share these.

    A loud moment does not stand for the rest.
    """
    first = _even(common.first)
    second = _even(common.second)
    energies = (first @ first) * (second @ second)
    product = abs(float(first @ second))
    if product / float(np.sqrt(energies)) < MIN_EVEN:
        return False
    power = np.square(_even(common.shorter))
    shared = float(power[common.start : common.stop].sum())
    return shared >= MIN_SHARED * float(power.sum())


def _even(wave: Floats) -> npt.NDArray[np.float64]:
    """The wave with its loud and quiet moments brought closer.

    EVENING of the level, in dB, is taken out.
    """
    width = min(EVEN_FRAME, wave.size)
    squares = np.square(wave, dtype=np.float64)
    from_zero = np.concatenate([np.zeros(1), squares])
    summed = np.cumsum(from_zero)
    at = np.arange(wave.size)
    begin = at - width // 2
    first = np.maximum(begin, 0)
    last = np.minimum(begin + width, wave.size)
    power = (summed[last] - summed[first]) / width

    loudest = float(power.max())
    floor = max(loudest * EVEN_FLOOR, 1e-30)
    gain = np.maximum(power, floor) ** (EVENING / 2)
    return np.asarray(wave / gain, dtype=np.float64)


def _shape(wave: Floats) -> Floats:
    """How fast each band of the sound rises and falls.

    Returns:
        (NUM_BANDS * NUM_RATES,) of unit length: magnitudes of the spectrum of the level over time.
    """
    frames = _windowed_frames(wave, FRAME, hop=HOP)
    spectra = np.fft.rfft(frames, _FFT_SIZE, axis=1)
    power = np.abs(spectra) ** 2
    low = LOW_HZ * _FFT_SIZE // RATE_HZ
    high = HIGH_HZ * _FFT_SIZE // RATE_HZ
    borders = np.linspace(low, high, NUM_BANDS + 1)
    edges = borders.astype(int)
    # shape: (num_frames, NUM_BANDS)
    bands = np.add.reduceat(
        power[:, :high],
        edges[:-1],
        axis=1,
    )

    # Copies with noise differ in quiet frames: the root lets them weigh little.
    level = _to_unit_length(np.sqrt(bands))
    span = MAX_S * RATE_HZ // HOP
    spectrum_of_level = np.fft.rfft(level, span, axis=0)
    magnitudes = np.abs(spectrum_of_level)
    # shape: (NUM_RATES, NUM_BANDS)
    rates = magnitudes[: NUM_RATES * _RATE_STEP : _RATE_STEP]
    vector = _to_unit_length(rates.T.ravel())
    return np.asarray(vector, dtype=np.float32)


def _to_unit_length(values: Floats) -> Floats:
    length = float(np.linalg.norm(values))
    return values / max(length, 1e-9)


def _windowed_frames(wave: Floats, size: int, *, hop: int) -> Floats:
    """(num_frames, size) under a Hann window; a wave shorter than one frame is padded."""
    if wave.size < size:
        missing = size - wave.size
        wave = np.pad(wave, (0, missing))
    every_window = np.lib.stride_tricks.sliding_window_view(wave, size)
    frames = every_window[::hop]
    window = np.hanning(size).astype(np.float32)
    return frames * window
