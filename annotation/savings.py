"""How many labels choosing saves: the strategy's learning curve against the random control
arm's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.candidate import Arm
from voxdata.errors import ConfigError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore:
    """The score of a model that learned from some labels of one arm.

    Attributes:
        num_labels: What it learned from.
        score: Higher is better, such as UAR.
        unit: What is independent and repeated, the same names in both arms: a held-out voice, or a
            split and a seed.
    """

    arm: Arm
    num_labels: int
    score: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsSaved:
    """What the strategy saved.

    Attributes:
        score: The best one both arms reached on average: what the labels are counted up to.
        active_labels: Labels the strategy needed for it; interpolated between rounds.
        random_labels: Labels chance needed for it.
        share: 1 - active/random; negative when choosing cost labels.
        interval: 95 % of `share`, bootstrap over units; None with fewer than two units.
    """

    score: float
    active_labels: float
    random_labels: float
    share: float
    interval: tuple[float, float] | None
    num_units: int


def labels_saved(
    history: Sequence[ArmScore], *, num_draws: int = 2000, seed: int = 0
) -> LabelsSaved:
    """Compare both arms at the same score.

    The curves are averaged over units and made monotone, so that one lucky round does not count as
    having arrived.

    Args:
        history: Both arms. Within an arm every unit has the same numbers of labels; the arms may
            differ in theirs. Several scores of a unit at one number are averaged: score several
            random subsets of a small control arm, or the luck of one draw decides.
        num_draws: Bootstrap resamples of the units, the same for both arms.

    Raises:
        ConfigError: An arm is missing or has one round only, or units or rounds do not match.
    """
    active = _tabulate(history, "active")
    random = _tabulate(history, "random")
    if active.units != random.units:
        in_one_arm = set(active.units) ^ set(random.units)
        raise ConfigError(
            f"both arms need the same units; only one has {', '.join(sorted(in_one_arm))}"
        )
    num_units = len(active.units)
    whole = _compare(active, random, np.ones(num_units))

    interval = None
    if num_units > 1:
        even = np.full(num_units, 1 / num_units)
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(num_units, even, size=num_draws).astype(float)
        shares = [_compare(active, random, weights).share_saved for weights in draws]
        low, high = np.percentile(shares, [2.5, 97.5])
        interval = (float(low), float(high))
    return LabelsSaved(
        score=whole.score,
        active_labels=whole.active_labels,
        random_labels=whole.random_labels,
        share=whole.share_saved,
        interval=interval,
        num_units=num_units,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Both arms at the best score that both reach."""

    score: float
    active_labels: float
    random_labels: float

    @property
    def share_saved(self) -> float:
        return 1 - self.active_labels / self.random_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One arm: `scores` is (num_units, num_rounds)."""

    units: tuple[str, ...]
    num_labels: Floats
    scores: Floats


def _tabulate(history: Sequence[ArmScore], arm: Arm) -> _Table:
    scores: defaultdict[str, dict[int, list[float]]] = defaultdict(dict)
    rounds: set[int] = set()
    for row in history:
        if row.arm == arm:
            rounds.add(row.num_labels)
            scores[row.unit].setdefault(row.num_labels, []).append(row.score)
    if len(rounds) < 2:
        raise ConfigError(
            f"the {arm} arm has {len(rounds)} round(s) of scores; "
            "labels saved need two or more of both arms"
        )

    means = []
    for unit, scores_of_unit in sorted(scores.items()):
        gaps = sorted(rounds - set(scores_of_unit))
        if gaps:
            raise ConfigError(
                f"unit {unit} has no score of the {arm} arm at {gaps[0]} labels; "
                "score every unit in every round"
            )
        means.append([np.mean(scores_of_unit[num_labels]) for num_labels in sorted(rounds)])
    return _Table(
        units=tuple(sorted(scores)),
        num_labels=np.array(sorted(rounds), dtype=float),
        scores=np.array(means),
    )


def _compare(active: _Table, random: _Table, weights: Floats) -> _Comparison:
    """Compare the arms' mean curves.

    Args:
        weights: (num_units,), how often each unit counts.
    """
    active_curve = _mean_curve(active, weights)
    random_curve = _mean_curve(random, weights)
    score = min(active_curve[-1], random_curve[-1])
    return _Comparison(
        score=float(score),
        active_labels=_first_at(score, active.num_labels, active_curve),
        random_labels=_first_at(score, random.num_labels, random_curve),
    )


def _mean_curve(table: _Table, weights: Floats) -> Floats:
    """Mean score of each round over the units, made to rise: (num_rounds,)."""
    from sklearn.isotonic import isotonic_regression  # type: ignore[import-untyped]

    means = np.average(table.scores, axis=0, weights=weights)
    return np.asarray(isotonic_regression(means), dtype=np.float64)


def _first_at(score: float, num_labels: Floats, scores: Floats) -> float:
    """The fewest labels at which a rising curve has the score, by straight lines between points."""
    reached = scores >= score - 1e-12
    after = int(np.argmax(reached))
    if after == 0:
        return float(num_labels[0])
    before = after - 1
    part = (score - scores[before]) / (scores[after] - scores[before])
    step = num_labels[after] - num_labels[before]
    return float(num_labels[before] + part * step)
