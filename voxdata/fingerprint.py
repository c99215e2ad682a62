"""Near-duplicates: recordings that hold the same sound though not the same samples.

They are found by their acoustic fingerprints.

Re-encoding, resampling, trimming and a change of level alter every sample and keep the fingerprint:
a sequence of 32-bit codes, about eight a second, of which most bits stay. Two recordings are
near-duplicates when, at the best shift, a long stretch of both differs in few bits.

Source: Chromaprint (L. Lalinský), after J. Haitsma and T. Kalker, A highly robust audio
fingerprinting system, ISMIR 2002.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxdata.heard import measure_heard
from voxdata.identity import ModelRef
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound

Codes = npt.NDArray[np.uint32]
"""(num_codes,) uint32, in time order."""

_CODE_BITS = 32
MIN_CODES = 8
MAX_ERROR = 0.15
"""Share of bits in which copies may differ.

Different sounds differ in half of them (docs/benchmarks.md, near-duplicates).
"""

MIN_DISTINCT = 0.5
"""Share of codes that must differ from each other.

Silence and steady tones repeat a few, and are alike in all recordings.
"""


MIN_HEARD_S = 0.35
"""Least length of sound, silence left out, that two recordings must share.

Of copies of spoken sentences 0.4 s and more are heard.
"""


class Fingerprinter(Protocol):
    """What makes fingerprints.

    Attributes:
        code_ms: From one code to the next.
        window_ms: What one code hears.
    """

    code_ms: float
    window_ms: float

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def fingerprint(self, sound: Sound) -> Codes:
        """The codes of a sound; none when it is shorter than some seconds.

        Raises:
            AudioError: It cannot be read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedCodes:
    """A stretch of codes that two recordings share.

    Attributes:
        first, second: Where it starts in either, in codes.
        size: Codes.
        score: Share of bits that agree.
    """

    first: int
    second: int
    size: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicate:
    """Two recordings that share their sound.

    Attributes:
        recording_id: The first of both by id.
        score: 1 - share of bits in which the shared stretch differs.
        shared_ms: Length of that stretch.
    """

    recording_id: str
    other_id: str
    score: float
    shared_ms: int


def find_shared(
    a: Codes,
    b: Codes,
    shifts: Iterable[int],
) -> SharedCodes | None:
    """The stretch that two recordings share.

    Args:
        shifts: Where to look, likeliest first: the place in `b` less the place in `a` of what may
            be the same.

    Returns:
        What agrees at the first shift at which at least MIN_CODES agree; None when there is none.
    """
    for shift in shifts:
        shared = _shared_at(a, b, shift)
        if shared is not None:
            return shared
    return None


def _shared_at(
    a: Codes,
    b: Codes,
    shift: int,
) -> SharedCodes | None:
    """The stretch that two recordings share when the second is moved by so many codes."""
    a_part = a[max(0, -shift) :]
    b_part = b[max(0, shift) :]
    length = min(len(a_part), len(b_part))
    if not length:
        return None
    differing = np.bitwise_count(a_part[:length] ^ b_part[:length])
    errors = differing.astype(np.float64) / _CODE_BITS
    stretch = longest_match(errors)
    if stretch is None:
        return None
    start, size = stretch
    if size < MIN_CODES:
        return None

    num_distinct = len(np.unique(a_part[start : start + size]))
    if num_distinct < MIN_DISTINCT * size:
        return None
    mean_error = float(errors[start : start + size].mean())
    return SharedCodes(
        first=start + max(0, -shift),
        second=start + max(0, shift),
        size=size,
        score=round(1 - mean_error, 4),
    )


def compare(
    a: Codes,
    b: Codes,
    shifts: Iterable[int],
) -> tuple[float, int] | None:
    """Whether two recordings share codes, as `find_shared` finds them.

    Returns:
        (share of bits that agree, number of codes); None when they share none.
    """
    shared = find_shared(a, b, shifts)
    return None if shared is None else (shared.score, shared.size)


def is_heard(first: Samples, second: Samples) -> bool:
    """Whether enough is heard of what two recordings share.

    A code hears more than two seconds. A click or a short tone in silence therefore makes a dozen
    codes and seconds of agreement.

    Args:
        first, second: (num_samples,) float32 at MODEL_RATE_HZ, the shared stretch in either.
    """
    if not first.size or not second.size:
        return False
    heard_s = [measure_heard(part - part.mean(), rate_hz=MODEL_RATE_HZ) for part in (first, second)]
    return min(heard_s) >= MIN_HEARD_S


def longest_match(
    errors: npt.NDArray[np.float64],
    *,
    max_error: float = MAX_ERROR,
) -> tuple[int, int] | None:
    """The stretch in which errors stay below `max_error` on average.

    It is chosen so that every step away from it makes that worse.

    Args:
        errors: (num_codes,) share of differing bits, 0..1.

    Returns:
        (start, size) of the stretch with the largest sum of `max_error - error`; None when no code
        is below.

    A code that differs more is bridged where the codes after it make up for it, and ends the
    stretch where they do not:

    >>> longest_match(np.array([0.5, 0.05, 0.05, 0.2, 0.05, 0.5]))
    (1, 4)
    >>> longest_match(np.array([0.5, 0.1, 0.1, 0.3, 0.1, 0.5]))
    (1, 2)
    """
    gains = np.concatenate([[0.0], np.cumsum(max_error - errors)])
    lows = np.minimum.accumulate(gains)
    end = int(np.argmax(gains - lows))
    if end == 0:
        return None
    start = int(np.argmin(gains[: end + 1]))
    return start, end - start
