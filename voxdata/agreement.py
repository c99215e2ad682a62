"""Votes of annotators, and the gold label resolved from them.

`voxdata.reliability` measures how far they agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from voxdata.label import Annotation, Gold, top_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The answer of one person to one utterance under one scheme.

    Attributes:
        labels: At least one; the main one first.
    """

    utterance_id: str
    annotator: str
    labels: tuple[str, ...]

    @property
    def label(self) -> str:
        """The main label."""
        return self.labels[0]


def collect_votes(annotations: Sequence[Annotation], *, scheme: str) -> list[Vote]:
    """The votes under one scheme: the newest annotation of each person for each utterance.

    Returns:
        Sorted by utterance, then annotator; without skips and deletions.
    """
    newest: dict[tuple[str, str], Annotation] = {}
    for annotation in sorted(annotations, key=_age):
        newest[annotation.utterance_id, annotation.annotator] = annotation

    votes = []
    for _, annotation in sorted(newest.items(), key=itemgetter(0)):
        labels = annotation.labels.get(scheme)
        if annotation.deleted or annotation.skipped or not labels:
            continue
        vote = Vote(
            utterance_id=annotation.utterance_id,
            annotator=annotation.annotator,
            labels=labels,
        )
        votes.append(vote)
    return votes


def _age(annotation: Annotation) -> tuple[datetime, int]:
    return annotation.updated_at, annotation.annotation_id


def group_votes(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """Utterance id -> its votes."""
    groups: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        groups[vote.utterance_id].append(vote)
    return dict(groups)


def weigh(vote: Vote, *, ranked: bool = False) -> dict[str, float]:
    """Divide one vote among its labels.

    Args:
        ranked: The first label is the main one and weighs twice as much as each other; else all
            weigh the same.

    >>> weigh(Vote(utterance_id="u", annotator="a", labels=("refund", "complaint")))
    {'refund': 0.5, 'complaint': 0.5}
    """
    parts = [1.0] * len(vote.labels)
    if ranked and parts:
        parts[0] = 2.0
    total = sum(parts)
    return {label: part / total for label, part in zip(vote.labels, parts, strict=True)}


def resolve(
    votes: Sequence[Vote],
    *,
    scheme: str,
    min_votes: int = 1,
    ranked: bool = False,
) -> list[Gold]:
    """Majority vote, keeping the shares.

    A tie goes to the first label in alphabetical order; the shares show that it was one.

    Args:
        ranked: See `weigh`.

    Returns:
        Sorted by utterance id; utterances with fewer than `min_votes` votes are left out.
    """
    golds = []
    for utterance_id, cast in sorted(group_votes(votes).items()):
        if len(cast) < max(min_votes, 1):
            continue
        shares = _share_votes(cast, ranked=ranked)
        gold = Gold(
            utterance_id=utterance_id,
            scheme=scheme,
            label=top_label(shares),
            distribution=shares,
            num_votes=len(cast),
        )
        golds.append(gold)
    return golds


def _share_votes(votes: Sequence[Vote], *, ranked: bool) -> dict[str, float]:
    """Label -> its share of the votes, in alphabetical order."""
    weights: defaultdict[str, float] = defaultdict(float)
    for vote in votes:
        for label, weight in weigh(vote, ranked=ranked).items():
            weights[label] += weight
    return {label: weight / len(votes) for label, weight in sorted(weights.items())}
