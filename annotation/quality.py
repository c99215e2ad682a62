"""How well each annotator does, label by label.

People are judged by the others, never by their own votes.
"""

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
        right: How many of these the person named alike.
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
    hits = _collect_hits(votes)
    hits_of_all: defaultdict[str, list[bool]] = defaultdict(list)
    for (_, label), own in hits.items():
        hits_of_all[label] += own

    skills = []
    for (annotator, label), own in sorted(hits.items()):
        low, high = wilson_interval(sum(own), len(own))
        other_clips = len(hits_of_all[label]) - len(own)
        other_right = sum(hits_of_all[label]) - sum(own)
        enough = min(len(own), other_clips) >= MIN_CLIPS
        skill = Skill(
            annotator=annotator,
            label=label,
            clips=len(own),
            right=sum(own),
            low=low,
            high=high,
            weak=enough and high < other_right / other_clips,
        )
        skills.append(skill)
    return skills


def _collect_hits(votes: Sequence[Vote]) -> dict[tuple[str, str], list[bool]]:
    """Whether people said what most of the others did, clip by clip.

    Returns:
        (annotator, what the others said) -> hits; the label "" stands for all of them together.
    """
    hits: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
    for clip_votes in group_votes(votes).values():
        for vote in clip_votes:
            expected = _majority_without(vote.annotator, clip_votes)
            if expected is None:
                continue
            is_hit = vote.label == expected
            hits[vote.annotator, ""].append(is_hit)
            hits[vote.annotator, expected].append(is_hit)
    return hits


def _majority_without(annotator: str, votes: Sequence[Vote]) -> str | None:
    """The label of most of the others; None on a tie, or when there are fewer than two others."""
    others = Counter(vote.label for vote in votes if vote.annotator != annotator)
    if others.total() < 2:
        return None
    (label, count), *runners_up = others.most_common(2)
    is_tie = any(count == other_count for _, other_count in runners_up)
    return None if is_tie else label


def wilson_interval(hits: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, from 0 to 1 when nothing was counted.

    Source: E. Wilson, Probable Inference (1927).
    """
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / total
    scale = 1 + z * z / total
    middle = share + z * z / (2 * total)
    sampling = share * (1 - share) / total
    correction = z * z / (4 * total * total)
    variance = sampling + correction
    half = z * variance**0.5
    low = (middle - half) / scale
    high = (middle + half) / scale
    return max(0.0, low), min(1.0, high)
