"""The gate: whether a new model takes over from the one before it.

A gain counts when the whole interval of the paired difference lies above it. On few voices an
interval says little, so the gate decides nothing there. A model that is better on the whole is
refused all the same where it is surely worse for somebody, or has become less honest about itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judge.groups import GroupChange
from training.judge.paired import Difference
from training.metrics import Scores
from voxdata.counted import counted

MIN_VOICES, MIN_CLIPS = 5, 60
"""The smallest test set on which the gate decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a new model must show.

    Attributes:
        min_gain: The lower bound of its gain in UAR must be above it.
        max_group_loss: Right answers, as a share, by which no group may surely have become worse.
        max_ece_rise: By which its overconfidence may be larger: the part of its calibration
            error in which it is surer than right.
    """

    min_gain: float = 0.0
    max_group_loss: float = 0.1
    max_ece_rise: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that the gate looks at.

    Attributes:
        value: What was found; None where there was nothing to find.
        limit: What it was held against.
        failure: What is wrong, for people; "" when the check is passed.
    """

    name: str
    value: float | None
    limit: float
    failure: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the new model takes over, and why.

    Attributes:
        checks: Everything that was looked at; empty in decisions of earlier releases, and where
            the test set shows nothing at all.
    """

    promote: bool
    reason: str
    checks: tuple[Check, ...] = ()


def decide(
    before: Scores | None,
    after: Scores | None,
    difference: Difference | None,
    *,
    groups: Sequence[GroupChange] = (),
    rules: Rules | None = None,
    num_folds: int = 0,
) -> Decision:
    """Promote when the gain is certain and nobody loses by it.

    Args:
        before: The model to beat; None when there was no test set, as are the next two.
        after: The new model on the same clips.
        difference: After minus before, paired.
        groups: What changed for each group of clips.
        num_folds: In which the clips were judged; 0 for a test set.
    """
    if before is None or after is None or difference is None:
        return _refuse(
            "the test set is empty: nothing shows that the new model is better; label more voices"
        )
    supports = [figures.support for figures in after.per_class.values()]
    if np.count_nonzero(supports) < 2:
        return _refuse(
            "the test set has one label only: it cannot distinguish models; label more voices"
        )
    rules = rules or Rules()
    found = _show_gain(before, after, difference)
    if num_folds:
        found = f"{found}, in {num_folds} folds over voices"
    size = _check_size(after)
    gain = _check_gain(difference, rules)
    losses = (
        _check_groups(groups, rules),
        _check_calibration(before, after, rules),
    )
    checks = (*size, gain, *losses)
    missing = _list_failures(size)
    lost = _list_failures(losses)
    if missing:
        return _refuse(f"undecided: {found}; a decision needs {missing}", checks)
    if not gain.passed:
        return _refuse(f"not shown to be better: {found}; {gain.failure}", checks)
    if lost:
        return _refuse(f"better, but refused: {found}; {lost}", checks)
    needed = f"the lower bound must be above {rules.min_gain:+.3f}"
    return Decision(promote=True, reason=f"better: {found}; {needed}", checks=checks)


def _refuse(reason: str, checks: tuple[Check, ...] = ()) -> Decision:
    return Decision(promote=False, reason=reason, checks=checks)


def _list_failures(checks: Sequence[Check]) -> str:
    return " and ".join(check.failure for check in checks if check.failure)


def _show_gain(before: Scores, after: Scores, difference: Difference) -> str:
    gain = f"{difference.uar:+.3f}"
    interval = difference.uar_interval
    if interval is not None:
        gain += f" [{interval.low:+.3f}, {interval.high:+.3f}]"
    test_set = f"{counted(after.num_clips, 'clip')} of {counted(after.num_voices, 'voice')}"
    return f"UAR {before.uar:.3f} -> {after.uar:.3f} ({gain}) on {test_set}"


def _check_size(scores: Scores) -> tuple[Check, Check]:
    return (
        _check_number("test clips", scores.num_clips, MIN_CLIPS),
        _check_number("test voices", scores.num_voices, MIN_VOICES),
    )


def _check_number(name: str, found: int, least: int) -> Check:
    failure = "" if found >= least else f"{least} {name} ({least - found} more)"
    return Check(name=name, value=found, limit=least, failure=failure)


def _check_gain(difference: Difference, rules: Rules) -> Check:
    interval = difference.uar_interval
    low = None if interval is None else interval.low
    failure = ""
    if low is None or low <= rules.min_gain:
        failure = f"the lower bound must be above {rules.min_gain:+.3f}"
    return Check(
        name="lower bound of the gain in UAR",
        value=low,
        limit=rules.min_gain,
        failure=failure,
    )


def _check_groups(groups: Sequence[GroupChange], rules: Rules) -> Check:
    """No group is surely worse by more than the rules allow."""
    value: float | None = None
    failure = ""
    if groups:
        worst = min(groups, key=_upper_bound)
        value = worst.interval.high
        if value < -rules.max_group_loss:
            failure = _describe_loss(worst, rules)
    return Check(
        name="upper bound of the change of the worst group",
        value=value,
        limit=-rules.max_group_loss,
        failure=failure,
    )


def _upper_bound(group: GroupChange) -> float:
    return group.interval.high


def _describe_loss(group: GroupChange, rules: Rules) -> str:
    clips = counted(group.num_clips, "clip")
    return (
        f"{group.kind} {group.name} is right in {group.after:.0%} of {clips} "
        f"instead of {group.before:.0%}: surely worse by more than {rules.max_group_loss:.3f}"
    )


def _check_calibration(before: Scores, after: Scores, rules: Rules) -> Check:
    """It is not surer of itself than it should be, by more than the rules allow.

    To be less sure is no fault: a cold start that cannot decide is perfectly calibrated.
    """
    rise = after.overconfidence - before.overconfidence
    failure = ""
    if not rise <= rules.max_ece_rise:
        failure = (
            f"it is surer than it is right by {after.overconfidence:.3f} instead of "
            f"{before.overconfidence:.3f}: by more than {rules.max_ece_rise:.3f}"
        )
    return Check(
        name="rise of the overconfidence",
        value=rise,
        limit=rules.max_ece_rise,
        failure=failure,
    )
