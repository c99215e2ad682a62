"""How well people do: the agreement of single annotators with the others, as far as clips have
several votes. A model that is better than this is better than one more annotator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.metrics import Floats, average_recall
from voxdata.dataset import GoldLabel


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What one annotator scores against the majority of the others.

    Attributes:
        uar: None when no clip has two votes.
        num_clips: Clips with two votes or more.
    """

    uar: float | None
    num_clips: int


def measure_agreement(golds: Sequence[GoldLabel], *, labels: Sequence[str]) -> Agreement:
    """Hold every vote against the majority of the clip's other votes; where these are tied, against
    each of the tied labels in equal parts.

    Args:
        golds: Of the test clips; `distribution` holds the shares of the votes.
    """
    num_labels = len(labels)
    confusion = np.zeros((num_labels, num_labels))
    num_clips = 0
    for gold in golds:
        votes = _count_votes(gold, labels)
        if votes.sum() >= 2:
            num_clips += 1
            confusion += _compare(votes)
    uar = float(average_recall(confusion)) if num_clips else None
    return Agreement(uar=uar, num_clips=num_clips)


def _count_votes(gold: GoldLabel, labels: Sequence[str]) -> Floats:
    """(num_labels,) votes."""
    shares = [gold.distribution.get(label, 0.0) for label in labels]
    votes = np.array(shares) * gold.num_votes
    return np.round(votes)


def _compare(votes: Floats) -> Floats:
    """(num_labels, num_labels): the majority of the others, and what the one said; sums to 1."""
    confusion = np.zeros((len(votes), len(votes)))
    for said in np.flatnonzero(votes):
        others = votes.copy()
        others[said] -= 1
        most = others.max()
        winners = np.flatnonzero(others == most)
        confusion[winners, said] += votes[said] / len(winners)
    return np.asarray(confusion / votes.sum())
