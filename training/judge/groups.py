"""Whether a new model is worse for some: for a voice, or for the clips of one language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from training.metrics import Floats, Interval, Ints

MIN_CLIPS = 10
"""A group with fewer test clips says nothing."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """How the share of right answers changed in one group of test clips.

    Attributes:
        kind: What its clips have in common: "voice" or "language".
        name: Of a voice a digest: see `training.judge.verdict.hide_voice`.
        interval: Of the change, so wide that all groups together are in theirs in 95 % of tests.
    """

    kind: str
    name: str
    num_clips: int
    before: float
    after: float
    interval: Interval

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


def compare_groups(
    gold: Ints, before: Floats, after: Floats, groups: Mapping[str, Sequence[str]]
) -> tuple[GroupChange, ...]:
    """The change of every group with enough clips, worst first.

    Args:
        gold: (num_clips,) label indices.
        before: (num_clips, num_labels) probabilities.
        after: As `before`.
        groups: Kind -> the group of each clip; a kind with one group is left out.
    """
    right_before = _right(gold, before)
    right_after = _right(gold, after)
    change = right_after - right_before
    members = _find_members(groups)
    changes: list[GroupChange] = []
    for (kind, name), clips in members.items():
        interval = _bound_change(change[clips], num_groups=len(members))
        changes.append(
            GroupChange(
                kind=kind,
                name=name,
                num_clips=len(clips),
                before=float(right_before[clips].mean()),
                after=float(right_after[clips].mean()),
                interval=interval,
            )
        )
    return tuple(sorted(changes, key=_by_change))


def _right(gold: Ints, answers: Floats) -> Floats:
    """(num_clips,) 1 where the answer is right, else 0."""
    predicted = answers.argmax(axis=1)
    return np.asarray(predicted == gold, dtype=float)


def _by_change(group: GroupChange) -> float:
    return group.change


def _find_members(groups: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], Ints]:
    """(kind, name) -> the places of its clips."""
    members: dict[tuple[str, str], Ints] = {}
    for kind, names in groups.items():
        distinct = sorted(set(names))
        if len(distinct) < 2:
            continue
        named = np.asarray(names)
        for name in distinct:
            clips = np.flatnonzero(named == name)
            if len(clips) >= MIN_CLIPS:
                members[kind, name] = clips
    return members


def _bound_change(changes: Floats, *, num_groups: int) -> Interval:
    """The normal interval of the mean of paired changes (-1, 0 or 1), Bonferroni's for the number
    of groups.

    Two clips are added, one of each change, so that a group without any has a width too.
    """
    padded = np.concatenate([changes, [1.0, -1.0]])
    one_side = (1 - LEVEL) / 2 / num_groups
    quantile = NormalDist().inv_cdf(1 - one_side)
    error = float(padded.std()) / sqrt(len(padded))
    reach = quantile * error
    middle = float(padded.mean())
    return Interval(low=middle - reach, high=middle + reach)
