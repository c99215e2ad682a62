"""The promotion rule: a new model takes over only when it is better on the same test set."""

from __future__ import annotations

from dataclasses import dataclass

from training.metrics import Scores
from voxdata.counted import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the new model takes over, and why."""

    promote: bool
    reason: str


def judge(before: Scores | None, after: Scores | None, *, min_gain: float = 0.0) -> Decision:
    """Promote when UAR rises by more than `min_gain`.

    Args:
        before: The model to beat; None when there was no test set.
        after: The new model on the same clips.
    """
    if before is None or after is None or after.num_clips == 0:
        return Decision(
            promote=False,
            reason="the test set is empty: nothing shows that the new model is better; label more voices",
        )
    if sum(c.support > 0 for c in after.per_class.values()) < 2:
        return Decision(
            promote=False,
            reason="the test set has one label only: it cannot distinguish models; label more voices",
        )
    gain = after.uar - before.uar
    heard = f"{counted(after.num_clips, 'clip')} of {counted(after.num_voices, 'voice')}"
    figures = f"UAR {before.uar:.3f} -> {after.uar:.3f} ({gain:+.3f}) on {heard}"
    if gain > min_gain:
        return Decision(promote=True, reason=f"better: {figures}, needed more than {min_gain:+.3f}")
    return Decision(
        promote=False, reason=f"not better: {figures}, needed more than {min_gain:+.3f}"
    )
