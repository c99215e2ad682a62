"""How much better one model is than another on the same clips, with an interval over voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, pi, sqrt
from statistics import NormalDist

import numpy as np

from training.metrics import Floats, Interval, Ints, average_recall, confusion_matrix, draw_uars

NUM_DRAWS = 5_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """After minus before, paired: both models are judged on the same draws of voices.

    Attributes:
        uar_interval: 95 %, over voices; None when there are fewer than two.
    """

    uar: float
    uar_interval: Interval | None


def paired_difference(
    gold: Ints,
    before: Floats,
    after: Floats,
    voices: Sequence[str],
    *,
    num_labels: int,
    num_draws: int = NUM_DRAWS,
) -> Difference:
    """UAR after minus before on the same clips, with the interval over voices.

    Args:
        gold: (num_clips,) label indices.
        before: (num_clips, num_labels) probabilities.
        after: As `before`.
        voices: The speaker of each clip.
    """
    draws = draw_uars(
        gold,
        [before, after],
        voices,
        num_labels=num_labels,
        num_draws=num_draws,
    )
    uar_before = _uar(gold, before, num_labels=num_labels)
    uar_after = _uar(gold, after, num_labels=num_labels)
    interval = None
    if draws is not None:
        draws_before, draws_after = draws
        gains = draws_after - draws_before
        interval = expand_interval(gains, num_voices=len(set(voices)))
    return Difference(uar=uar_after - uar_before, uar_interval=interval)


def _uar(gold: Ints, probabilities: Floats, *, num_labels: int) -> float:
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(gold, predicted, num_labels=num_labels)
    return float(average_recall(confusion))


def expand_interval(draws: Floats, *, num_voices: int) -> Interval:
    """The expanded percentile interval of a bootstrap.

    Plain percentiles are too narrow for few voices: of two equal models they find the new one
    better in 8 % of tests with 5 voices instead of in 2.5 %. The wider percentiles are those of
    Student's t.

    Args:
        draws: (num_draws,) the figure on each resample of voices.
        num_voices: At least two.

    Source: T. Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 5.3.
    """
    freedom = num_voices - 1
    student = _student_quantile((1 + LEVEL) / 2, freedom=freedom)
    widened = sqrt(num_voices / freedom)
    reach = widened * student
    share = NormalDist().cdf(-reach)
    low, high = np.quantile(draws, [share, 1 - share])
    return Interval(low=float(low), high=float(high))


def _student_quantile(share: float, *, freedom: int) -> float:
    """The quantile of Student's t, as scipy gives it, which is not there on every machine that
    trains.

    Args:
        share: Above one half.
    """
    places = np.linspace(0, 20, 40_001)
    power = (freedom + 1) / 2
    ratio = exp(lgamma(power) - lgamma(freedom / 2))
    peak = ratio / sqrt(freedom * pi)
    density = peak * (1 + places**2 / freedom) ** -power
    between = (density[1:] + density[:-1]) / 2
    slices = between * places[1]
    above_half = np.concatenate([[0.0], np.cumsum(slices)])
    return float(np.interp(share, 0.5 + above_half, places))
