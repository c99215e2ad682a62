"""How far annotators agree beyond chance: Krippendorff's alpha, Fleiss' and Cohen's kappa, with
intervals over whole calls.

Alpha is a ratio of two sums over utterances, so everything here works on counts: a matrix
(num_units, num_values) of how often each value was given to each utterance. A bootstrap draw is
then a product with the number of times each call was drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxdata.agreement import Vote

Floats = npt.NDArray[np.float64]
Distance = Literal["nominal", "masi", "ordinal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure with its uncertainty.

    Attributes:
        low, high: Percentiles of the bootstrap.
        level: Share of draws between them.
    """

    value: float
    low: float
    high: float
    level: float


def krippendorff_alpha(
    votes: Sequence[Vote], *, distance: Distance = "nominal", order: Sequence[str] = ()
) -> float | None:
    """Krippendorff's alpha.

    Args:
        distance: "nominal" compares the main labels; "masi" the sets of all labels that a vote
            names; "ordinal" the main labels by their place in `order`.
        order: Every label, from the lowest to the highest; for "ordinal" only.

    Returns:
        1 for full agreement, 0 for chance; None when no utterance has two votes or only one value
        was ever given.

    Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections C and E;
    MASI: R. Passonneau (2006).
    """
    tally = _tally(votes, distance=distance, order=order)
    return _alpha(tally, np.ones(len(tally.counts)))


def alpha_interval(
    votes: Sequence[Vote],
    *,
    calls: Mapping[str, str],
    distance: Distance = "nominal",
    order: Sequence[str] = (),
    draws: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """Krippendorff's alpha with a bootstrap interval over whole calls, since utterances of one call
    are alike.

    Args:
        calls: Utterance id -> its call; an utterance that is not named is a call by itself.

    Returns:
        None when alpha is not defined. Draws in which it is not are left out.
    """
    tally = _tally(votes, distance=distance, order=order)
    value = _alpha(tally, np.ones(len(tally.counts)))
    if value is None:
        return None
    _, cluster = np.unique([calls.get(unit, unit) for unit in tally.units], return_inverse=True)
    num_calls = int(cluster.max()) + 1
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(num_calls, size=num_calls), minlength=num_calls)
        drawn = _alpha(tally, times[cluster].astype(np.float64))
        if drawn is not None:
            found.append(drawn)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]) if found else (value, value)
    return Interval(value=value, low=float(low), high=float(high), level=level)


def alpha_by_label(votes: Sequence[Vote]) -> dict[str, float | None]:
    """Alpha of each label against all others: which labels people can tell apart."""
    labels = sorted({vote.label for vote in votes})
    return {
        label: krippendorff_alpha(
            [
                Vote(
                    utterance_id=v.utterance_id,
                    annotator=v.annotator,
                    labels=("yes" if v.label == label else "no",),
                )
                for v in votes
            ]
        )
        for label in labels
    }


def alpha_without(votes: Sequence[Vote]) -> dict[str, float | None]:
    """Annotator -> alpha of everybody else: somebody without whom it rises agrees less than the
    others do.
    """
    return {
        name: krippendorff_alpha([v for v in votes if v.annotator != name])
        for name in sorted({v.annotator for v in votes})
    }


def fleiss_kappa(votes: Sequence[Vote]) -> float | None:
    """Fleiss' kappa on the main labels; the number of votes may differ between utterances.

    Observed agreement is the mean over utterances, chance comes from the shares of all votes;
    utterances with one vote are left out.

    Returns:
        None when no utterance has two votes or only one label was ever given.

    Source: J. Fleiss (1971); the generalisation to varying numbers of raters is J. Fleiss,
    Statistical Methods (1981), section 13.2.
    """
    counts = _tally(votes, distance="nominal", order=()).counts
    if counts.shape[1] < 2:
        return None
    n = counts.sum(axis=1)
    observed = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (observed - chance) / (1 - chance)


def cohen_kappa(votes: Sequence[Vote], first: str, second: str) -> float | None:
    """Cohen's kappa of two annotators, on the main labels of utterances that both voted on.

    Returns:
        None when they share none, or both gave one and the same label throughout.

    Source: J. Cohen, A Coefficient of Agreement for Nominal Scales (1960).
    """
    mine = {v.utterance_id: v.label for v in votes if v.annotator == first}
    theirs = {v.utterance_id: v.label for v in votes if v.annotator == second}
    shared = sorted(set(mine) & set(theirs))
    if not shared:
        return None
    labels = sorted({mine[u] for u in shared} | {theirs[u] for u in shared})
    table = np.zeros((len(labels), len(labels)))
    for unit in shared:
        table[labels.index(mine[unit]), labels.index(theirs[unit])] += 1
    table /= len(shared)
    chance = float(table.sum(axis=1) @ table.sum(axis=0))
    return None if chance == 1 else (float(np.trace(table)) - chance) / (1 - chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """Counts (num_units, num_values) of utterances with two votes or more, and the distance
    (num_values, num_values) of values.
    """

    units: list[str]
    counts: Floats
    distance: Floats | None


def _tally(votes: Sequence[Vote], *, distance: Distance, order: Sequence[str]) -> _Tally:
    cast: defaultdict[str, list[Hashable]] = defaultdict(list)
    for vote in votes:
        cast[vote.utterance_id].append(frozenset(vote.labels) if distance == "masi" else vote.label)
    units = [unit for unit, values in cast.items() if len(values) >= 2]
    values: list[Hashable] = (
        list(order)
        if distance == "ordinal"
        else sorted({v for u in units for v in cast[u]}, key=_sorted_text)
    )
    place = {value: i for i, value in enumerate(values)}
    counts = np.zeros((len(units), len(values)))
    for row, unit in enumerate(units):
        for value in cast[unit]:
            if value not in place:
                raise ValueError(f"{value!r} is not in the order of the scale: {', '.join(order)}")
            counts[row, place[value]] += 1
    fixed: Floats | None = None
    if distance == "nominal":
        fixed = 1 - np.eye(len(values))
    elif distance == "masi":
        fixed = np.array([_masi(a, b) for a in values for b in values]).reshape(
            len(values), len(values)
        )
    return _Tally(units=units, counts=counts, distance=fixed)


def _sorted_text(value: Hashable) -> str:
    return "\x1f".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def _masi(first: Hashable, second: Hashable) -> float:
    """Distance of two sets of labels: 1 - Jaccard times 1 when equal, 2/3 when one holds the other,
    1/3 when they overlap, else 0.
    """
    if not isinstance(first, frozenset) or not isinstance(second, frozenset):
        raise TypeError("MASI compares sets of labels")
    shared = len(first & second)
    if first == second:
        return 0.0
    weight = 0.0 if shared == 0 else 2 / 3 if shared == min(len(first), len(second)) else 1 / 3
    return 1 - shared / len(first | second) * weight


def _alpha(tally: _Tally, times: Floats) -> float | None:
    """Alpha when utterance u is there times[u] times."""
    counts = tally.counts
    totals = times @ counts
    n = float(totals.sum())
    if n == 0 or np.count_nonzero(totals) < 2:
        return None
    distance = _ordinal(totals) if tally.distance is None else tally.distance
    weights = times / (counts.sum(axis=1) - 1)
    observed = float(((counts @ distance) * counts).sum(axis=1) @ weights)
    expected = float(totals @ distance @ totals) / (n - 1)
    return None if expected == 0 else 1 - observed / expected


def _ordinal(totals: Floats) -> Floats:
    """Squared number of votes that lie between two ranks, each end counted half."""
    upto = np.cumsum(totals) - totals / 2
    return (upto[:, None] - upto[None, :]) ** 2
