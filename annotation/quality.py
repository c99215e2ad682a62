"""How well each annotator does, label by label: judged by the others, never by the annotator's own votes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from voxdata.agreement import Vote, group_votes

MIN_CLIPS = 10
"""With fewer nobody is called weak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """How often one person says what most of the others said.

    Attributes:
        label: What most of the others said; "" over all labels.
        clips: On which most of two others or more agreed.
        right: Of these, how many the person named alike.
        low, high: Wilson interval of the share, 95 %.
        weak: The interval lies below what the other people reach together.
    """

    annotator: str
    label: str
    clips: int
    right: int
    low: float
    high: float
    weak: bool


def judge_people(votes: Sequence[Vote]) -> list[Skill]:
    """Skill of every annotator, over all labels and for each.

    Args:
        votes: Under one scheme; the main label of each counts.

    Returns:
        By annotator; the row over all labels first, then the labels in alphabetical order.
    """
    hits: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for cast in group_votes(votes).values():
        for vote in cast:
            others = Counter(v.label for v in cast if v.annotator != vote.annotator).most_common(2)
            if sum(n for _, n in others) >= 2 and (len(others) == 1 or others[0][1] > others[1][1]):
                for label in ("", others[0][0]):
                    hits[vote.annotator, label].append(vote.label == others[0][0])
    totals: defaultdict[str, list[bool]] = defaultdict(list)
    for (_, label), right in hits.items():
        totals[label] += right
    rows = []
    for (annotator, label), right in sorted(hits.items()):
        low, high = wilson_interval(sum(right), len(right))
        rest_clips, rest_right = len(totals[label]) - len(right), sum(totals[label]) - sum(right)
        weak = (
            len(right) >= MIN_CLIPS and rest_clips >= MIN_CLIPS and high < rest_right / rest_clips
        )
        rows.append(
            Skill(
                annotator=annotator,
                label=label,
                clips=len(right),
                right=sum(right),
                low=low,
                high=high,
                weak=weak,
            )
        )
    return rows


def wilson_interval(hits: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, from 0 to 1 when nothing was counted.

    Source: E. Wilson, Probable Inference (1927).
    """
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, scale = hits / total, 1 + z * z / total
    middle = share + z * z / (2 * total)
    half = z * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
