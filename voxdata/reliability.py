"""How far annotators agree beyond chance: Krippendorff's alpha, Fleiss' and Cohen's kappa.

Intervals are over whole calls.

Alpha is a ratio of two sums over utterances, so everything here works on counts: a matrix
(num_units, num_values) of how often each value was given to each utterance. A bootstrap draw is
then a product with the number of times each call was drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
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
    votes: Sequence[Vote],
    *,
    distance: Distance = "nominal",
    order: Sequence[str] = (),
    times: Mapping[str, int] | None = None,
) -> float | None:
    """Krippendorff's alpha.

    Args:
        distance: "nominal" compares the main labels; "masi" the sets of all labels that a vote
            names; "ordinal" the main labels by their place in `order`.
        order: Every label, from the lowest to the highest; for "ordinal" only.
        times: Utterance id -> on how many utterances just these votes were cast.

    Returns:
        1 for full agreement, 0 for chance; None when no utterance has two votes or only one value
        was ever given.

    Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections C and E;
    MASI: R. Passonneau (2006).
    """
    tally = _tally(votes, distance=distance, order=order)
    weights = [(times or {}).get(unit, 1) for unit in tally.units]
    return _alpha(tally, np.array(weights, dtype=np.float64))


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
    """Krippendorff's alpha with a bootstrap interval.

    It is over whole calls, since utterances of one call are alike.

    Args:
        calls: Utterance id -> its call; an utterance that is not named is a call by itself.

    Returns:
        None when alpha is not defined. Draws in which it is not are left out.
    """
    tally = _tally(votes, distance=distance, order=order)
    value = _alpha(tally, np.ones(len(tally.counts)))
    if value is None:
        return None

    unit_calls = [calls.get(unit, unit) for unit in tally.units]
    _, call_of = np.unique(unit_calls, return_inverse=True)
    num_calls = int(call_of.max()) + 1
    rng = np.random.default_rng(seed)
    alphas: list[float] = []
    for _ in range(draws):
        drawn = rng.integers(num_calls, size=num_calls)
        times = np.bincount(drawn, minlength=num_calls)
        times_of_unit = times[call_of].astype(np.float64)
        alpha = _alpha(tally, times_of_unit)
        if alpha is not None:
            alphas.append(alpha)

    if not alphas:
        return Interval(
            value=value,
            low=value,
            high=value,
            level=level,
        )
    tail = (1 - level) / 2
    low, high = np.quantile(alphas, [tail, (1 + level) / 2])
    return Interval(
        value=value,
        low=float(low),
        high=float(high),
        level=level,
    )


def alpha_by_label(votes: Sequence[Vote]) -> dict[str, float | None]:
    """Alpha of each label against all others: which labels people can tell apart."""
    labels = sorted({vote.label for vote in votes})
    return {label: krippendorff_alpha(_against_others(label, votes)) for label in labels}


def _against_others(label: str, votes: Sequence[Vote]) -> list[Vote]:
    """The same votes, as "yes" for a label and "no" for any other."""
    answers: list[Vote] = []
    for vote in votes:
        answer = "yes" if vote.label == label else "no"
        answers.append(
            Vote(
                utterance_id=vote.utterance_id,
                annotator=vote.annotator,
                labels=(answer,),
            )
        )
    return answers


def alpha_without(votes: Sequence[Vote]) -> dict[str, float | None]:
    """Annotator -> alpha of everybody else.

    Somebody without whom it rises agrees less than the others do.
    """
    alphas: dict[str, float | None] = {}
    for name in sorted({vote.annotator for vote in votes}):
        others = [vote for vote in votes if vote.annotator != name]
        alphas[name] = krippendorff_alpha(others)
    return alphas


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
    ordered_pairs = counts * (counts - 1)
    agreeing_pairs = ordered_pairs.sum(axis=1)
    agreement = agreeing_pairs / (n * (n - 1))
    observed = float(agreement.mean())
    shares = counts.sum(axis=0) / counts.sum()
    chance = float((shares**2).sum())
    return (observed - chance) / (1 - chance)


def cohen_kappa(
    votes: Sequence[Vote],
    first: str,
    second: str,
) -> float | None:
    """Cohen's kappa of two annotators, on the main labels of utterances that both voted on.

    Returns:
        None when they share none, or both gave one and the same label throughout.

    Source: J. Cohen, A Coefficient of Agreement for Nominal Scales (1960).
    """
    first_labels = {v.utterance_id: v.label for v in votes if v.annotator == first}
    second_labels = {v.utterance_id: v.label for v in votes if v.annotator == second}
    shared = sorted(set(first_labels) & set(second_labels))
    if not shared:
        return None

    pairs = [(first_labels[unit], second_labels[unit]) for unit in shared]
    labels = sorted(set(chain.from_iterable(pairs)))
    shape = (len(labels), len(labels))
    table = np.zeros(shape)
    for first_label, second_label in pairs:
        row = labels.index(first_label)
        column = labels.index(second_label)
        table[row, column] += 1
    table /= len(shared)

    observed = float(np.trace(table))
    first_shares = table.sum(axis=1)
    second_shares = table.sum(axis=0)
    chance = float(first_shares @ second_shares)
    return None if chance == 1 else (observed - chance) / (1 - chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """The votes on utterances with two of them or more.

    Attributes:
        units: The utterances.
        counts: (num_units, num_values) how often each value was given.
        distance: (num_values, num_values) between values; None when it depends on the counts.
    """

    units: list[str]
    counts: Floats
    distance: Floats | None


def _tally(
    votes: Sequence[Vote],
    *,
    distance: Distance,
    order: Sequence[str],
) -> _Tally:
    votes_on: defaultdict[str, list[Hashable]] = defaultdict(list)
    for vote in votes:
        value: Hashable = frozenset(vote.labels) if distance == "masi" else vote.label
        votes_on[vote.utterance_id].append(value)
    votes_on_unit = {unit: given for unit, given in votes_on.items() if len(given) >= 2}

    values: list[Hashable] = list(order)
    if distance != "ordinal":
        distinct = set(chain.from_iterable(votes_on_unit.values()))
        values = sorted(distinct, key=_sorted_text)
    place = {value: i for i, value in enumerate(values)}
    shape = (len(votes_on_unit), len(values))
    counts = np.zeros(shape)
    for row, given in enumerate(votes_on_unit.values()):
        for value in given:
            if value not in place:
                raise ValueError(f"{value!r} is not in the order of the scale: {', '.join(order)}")
            counts[row, place[value]] += 1

    return _Tally(
        units=list(votes_on_unit),
        counts=counts,
        distance=_distances(values, distance),
    )


def _distances(values: Sequence[Hashable], distance: Distance) -> Floats | None:
    """(num_values, num_values); None for "ordinal", which depends on the votes."""
    if distance == "nominal":
        return 1 - np.eye(len(values))
    if distance == "masi":
        distances = [_masi(a, b) for a, b in product(values, repeat=2)]
        return np.array(distances).reshape(len(values), len(values))
    return None


def _sorted_text(value: Hashable) -> str:
    return "\x1f".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def _masi(first: Hashable, second: Hashable) -> float:
    """Distance of two sets of labels: 1 minus Jaccard's index times a weight.

    The weight is 1 when they are equal, 2/3 when one holds the other, 1/3 when they overlap.
    """
    if not isinstance(first, frozenset) or not isinstance(second, frozenset):
        raise TypeError("MASI compares sets of labels")
    if first == second:
        return 0.0
    shared = len(first & second)
    is_subset = shared == min(len(first), len(second))
    weight = 2 / 3 if is_subset else 1 / 3
    jaccard = shared / len(first | second)
    return 1 - jaccard * weight


def _alpha(tally: _Tally, times: Floats) -> float | None:
    """Alpha when utterance u is there times[u] times."""
    counts = tally.counts
    totals = times @ counts
    n = float(totals.sum())
    if n == 0 or np.count_nonzero(totals) < 2:
        return None
    distance = _ordinal(totals) if tally.distance is None else tally.distance

    weights = times / (counts.sum(axis=1) - 1)
    distances_to = counts @ distance
    disagreement = (distances_to * counts).sum(axis=1)
    observed = float(disagreement @ weights)
    disagreement_by_chance = float(totals @ distance @ totals)
    expected = disagreement_by_chance / (n - 1)
    return None if expected == 0 else 1 - observed / expected


def _ordinal(totals: Floats) -> Floats:
    """Squared number of votes that lie between two ranks, each end counted half."""
    votes_below = np.cumsum(totals) - totals / 2
    return (votes_below[:, None] - votes_below[None, :]) ** 2
