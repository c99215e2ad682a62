"""The gate: whether a new model takes over from the one before it.

A gain counts when the whole interval of the paired difference lies above it. On few voices an
interval says little, so the gate decides nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.judge.paired import Difference
from training.metrics import Scores
from voxdata.counted import counted

MIN_VOICES, MIN_CLIPS = 5, 60
"""The smallest test set on which the gate decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the new model takes over, and why."""

    promote: bool
    reason: str


def decide(
    before: Scores | None,
    after: Scores | None,
    difference: Difference | None,
    *,
    min_gain: float = 0.0,
) -> Decision:
    """Promote when the lower bound of the gain in UAR is above `min_gain`.

    Args:
        before: The model to beat; None when there was no test set, as are the next two.
        after: The new model on the same clips.
        difference: After minus before, paired.
        min_gain: UAR; 0 asks for any gain that is certain.
    """
    if before is None or after is None or difference is None:
        return _refuse(
            "the test set is empty: nothing shows that the new model is better; label more voices"
        )
    found = _show_gain(before, after, difference)
    tested_labels = [label for label, figures in after.per_class.items() if figures.support > 0]
    if len(tested_labels) < 2:
        return _refuse(
            "the test set has one label only: it cannot distinguish models; label more voices"
        )
    missing = _find_missing(after)
    if missing:
        return _refuse(f"undecided: {found}; a decision needs {missing}")
    if difference.uar_interval is None:
        return _refuse(f"undecided: {found}; there is no interval")
    needed = f"the lower bound must be above {min_gain:+.3f}"
    if difference.uar_interval.low > min_gain:
        return Decision(promote=True, reason=f"better: {found}; {needed}")
    return _refuse(f"not shown to be better: {found}; {needed}")


def _refuse(reason: str) -> Decision:
    return Decision(promote=False, reason=reason)


def _show_gain(before: Scores, after: Scores, difference: Difference) -> str:
    gain = f"{difference.uar:+.3f}"
    interval = difference.uar_interval
    if interval is not None:
        gain += f" [{interval.low:+.3f}, {interval.high:+.3f}]"
    test_set = f"{counted(after.num_clips, 'clip')} of {counted(after.num_voices, 'voice')}"
    return f"UAR {before.uar:.3f} -> {after.uar:.3f} ({gain}) on {test_set}"


def _find_missing(scores: Scores) -> str:
    """What the test set lacks for a decision; "" when it is large enough."""
    missing: list[str] = []
    if scores.num_clips < MIN_CLIPS:
        missing.append(f"{MIN_CLIPS} test clips ({MIN_CLIPS - scores.num_clips} more)")
    if scores.num_voices < MIN_VOICES:
        missing.append(f"{MIN_VOICES} test voices ({MIN_VOICES - scores.num_voices} more)")
    return " and ".join(missing)
