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
    active, random = (_table(history, arm) for arm in ("active", "random"))
    if active.units != random.units:
        raise ConfigError(
            f"both arms need the same units; only one has {', '.join(sorted(set(active.units) ^ set(random.units)))}"
        )
    score, needed, usual = _compare(active, random, np.ones(len(active.units)))
    interval = None
    if len(active.units) > 1:
        num = len(active.units)
        draws = np.random.default_rng(seed).multinomial(num, np.full(num, 1 / num), size=num_draws)
        shares = [
            1 - a / r
            for _, a, r in (_compare(active, random, weights.astype(float)) for weights in draws)
        ]
        low, high = np.percentile(shares, [2.5, 97.5])
        interval = (float(low), float(high))
    return LabelsSaved(
        score=score,
        active_labels=needed,
        random_labels=usual,
        share=1 - needed / usual,
        interval=interval,
        num_units=len(active.units),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One arm: `scores` is (num_units, num_rounds)."""

    units: tuple[str, ...]
    num_labels: Floats
    scores: Floats


def _table(history: Sequence[ArmScore], arm: str) -> _Table:
    cells: defaultdict[str, dict[int, list[float]]] = defaultdict(dict)
    for row in history:
        if row.arm == arm:
            cells[row.unit].setdefault(row.num_labels, []).append(row.score)
    units = tuple(sorted(cells))
    rounds = sorted({n for unit in cells.values() for n in unit})
    if len(rounds) < 2:
        raise ConfigError(
            f"the {arm} arm has {len(rounds)} round(s) of scores; labels saved need two or more of both arms"
        )
    gaps = [(unit, n) for unit in units for n in rounds if n not in cells[unit]]
    if gaps:
        raise ConfigError(
            f"unit {gaps[0][0]} has no score of the {arm} arm at {gaps[0][1]} labels; score every unit in every round"
        )
    scores = np.array([[np.mean(cells[unit][n]) for n in rounds] for unit in units])
    return _Table(units=units, num_labels=np.array(rounds, dtype=float), scores=scores)


def _compare(active: _Table, random: _Table, weights: Floats) -> tuple[float, float, float]:
    """The score both reach, and the labels each needs for it."""
    chosen, drawn = (
        _rise(np.average(table.scores, axis=0, weights=weights)) for table in (active, random)
    )
    score = min(chosen[-1], drawn[-1])
    return (
        float(score),
        _first_at(score, active.num_labels, chosen),
        _first_at(score, random.num_labels, drawn),
    )


def _rise(scores: Floats) -> Floats:
    from sklearn.isotonic import isotonic_regression  # type: ignore[import-untyped]

    return np.asarray(isotonic_regression(scores), dtype=np.float64)


def _first_at(score: float, num_labels: Floats, scores: Floats) -> float:
    """The fewest labels at which a rising curve has the score, on straight lines between its
    points."""
    after = int(np.argmax(scores >= score - 1e-12))
    if after == 0:
        return float(num_labels[0])
    before = after - 1
    part = (score - scores[before]) / (scores[after] - scores[before])
    return float(num_labels[before] + part * (num_labels[after] - num_labels[before]))
