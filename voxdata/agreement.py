"""Votes of annotators, and the gold label resolved from them; `voxdata.reliability` measures how far they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voxdata.label import Annotation, Gold, top_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one person says about one utterance under one scheme.

    Attributes:
        labels: At least one; the main one first.
    """

    utterance_id: str
    annotator: str
    labels: tuple[str, ...]

    @property
    def label(self) -> str:
        """The main one."""
        return self.labels[0]


def collect_votes(annotations: Sequence[Annotation], *, scheme: str) -> list[Vote]:
    """The votes under one scheme: the newest annotation of each person for each utterance, skips and deletions left out.

    Returns:
        Sorted by utterance, then annotator.
    """
    newest: dict[tuple[str, str], Annotation] = {}
    for annotation in sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id)):
        newest[annotation.utterance_id, annotation.annotator] = annotation
    return [
        Vote(utterance_id=utterance_id, annotator=annotator, labels=annotation.labels[scheme])
        for (utterance_id, annotator), annotation in sorted(newest.items())
        if not annotation.deleted and not annotation.skipped and annotation.labels.get(scheme)
    ]


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
    parts = [2.0 if ranked and i == 0 else 1.0 for i in range(len(vote.labels))]
    return {label: part / sum(parts) for label, part in zip(vote.labels, parts, strict=True)}


def resolve(
    votes: Sequence[Vote], *, scheme: str, min_votes: int = 1, ranked: bool = False
) -> list[Gold]:
    """Majority vote, keeping the shares. A tie goes to the first label in alphabetical order; the shares tell that it was one.

    Args:
        ranked: See `weigh`.

    Returns:
        Sorted by utterance id; utterances with fewer than `min_votes` votes are left out.
    """
    out = []
    for utterance_id, cast in sorted(group_votes(votes).items()):
        if len(cast) < max(min_votes, 1):
            continue
        weights: defaultdict[str, float] = defaultdict(float)
        for vote in cast:
            for label, weight in weigh(vote, ranked=ranked).items():
                weights[label] += weight
        shares = {label: weight / len(cast) for label, weight in sorted(weights.items())}
        out.append(
            Gold(
                utterance_id=utterance_id,
                scheme=scheme,
                label=top_label(shares),
                distribution=shares,
                num_votes=len(cast),
            )
        )
    return out
