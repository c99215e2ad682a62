"""Agreement between annotators, and the gold label resolved from their votes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from voxdata.label import Annotation, Gold, top_label

Votes = Mapping[str, Sequence[str]]
"""Unit (an utterance id) -> the labels it was given, one a person."""


def collect_votes(annotations: Sequence[Annotation], *, scheme: str) -> dict[str, list[str]]:
    """The votes under one scheme: the newest annotation of each person for each utterance, skips and deletions left out."""
    newest: dict[tuple[str, str], Annotation] = {}
    for annotation in sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id)):
        newest[annotation.utterance_id, annotation.annotator] = annotation
    votes: dict[str, list[str]] = defaultdict(list)
    for (utterance_id, _), annotation in sorted(newest.items()):
        if not annotation.deleted and not annotation.skipped and scheme in annotation.labels:
            votes[utterance_id].append(annotation.labels[scheme])
    return dict(votes)


def resolve(votes: Votes, *, scheme: str, min_votes: int = 1) -> list[Gold]:
    """Majority vote, keeping the shares. A tie goes to the first label in alphabetical order; the shares tell that it was one.

    Returns:
        Sorted by utterance id; utterances with fewer than `min_votes` votes are left out.
    """
    out = []
    for utterance_id in sorted(votes):
        cast = votes[utterance_id]
        if len(cast) < max(min_votes, 1):
            continue
        shares = {label: count / len(cast) for label, count in sorted(Counter(cast).items())}
        out.append(Gold(utterance_id=utterance_id, scheme=scheme, label=top_label(shares), distribution=shares, num_votes=len(cast)))
    return out


def krippendorff_alpha(votes: Votes) -> float | None:
    """Krippendorff's alpha for nominal labels.

    Returns:
        1 for full agreement, 0 for chance; None when no unit has two votes or only one label was ever used.

    Source: K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C.
    """
    pairable = [Counter(cast) for cast in votes.values() if len(cast) >= 2]
    totals: Counter[str] = sum(pairable, Counter())
    n = totals.total()
    if n == 0 or len(totals) < 2:
        return None
    observed = sum((c.total() ** 2 - sum(k * k for k in c.values())) / (c.total() - 1) for c in pairable)
    expected = (n * n - sum(k * k for k in totals.values())) / (n - 1)
    return 1 - observed / expected
