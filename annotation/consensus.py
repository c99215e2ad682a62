"""Consensus: what several annotators of different skill most probably mean, by crowd-kit.

Dawid-Skene learns a confusion matrix for each annotator, MACE how often each one spams, GLAD how
able each one is and how hard each utterance. Majority takes everybody for equal.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from math import log
from typing import Any, Literal

from voxdata.agreement import Vote, group_votes, weigh
from voxdata.label import Distribution, top_label

Method = Literal["majority", "dawid_skene", "mace", "glad"]

SMOOTHING = 1.0
"""Votes added to each cell of a confusion matrix, divided among the labels, so that one answer does
not settle an annotator's skill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What a method infers from votes.

    Attributes:
        posterior: Utterance id -> probability of every label of the scheme.
        confusion: Annotator -> true label -> probability of each label given, from the posterior;
            smoothed.
    """

    posterior: Mapping[str, Distribution]
    confusion: Mapping[str, Mapping[str, Distribution]]

    def label(self, utterance_id: str) -> str:
        """The most probable label of one utterance."""
        return top_label(self.posterior[utterance_id])

    def skill(self, annotator: str) -> float:
        """Mean over labels of the probability that this annotator gives the true one."""
        rows = self.confusion[annotator]
        return sum(given[true] for true, given in rows.items()) / len(rows)


def infer_consensus(
    votes: Sequence[Vote],
    *,
    labels: Sequence[str],
    method: Method = "dawid_skene",
    seed: int = 0,
    ranked: bool = False,
) -> Consensus:
    """Infer the label of every utterance and the skill of every annotator.

    Args:
        votes: Under one scheme; a vote with several labels counts by its main one, except for
            "majority".
        labels: Every label of the scheme.
        seed: Of MACE's restarts; the other methods are deterministic.
        ranked: See `voxdata.agreement.weigh`.

    Raises:
        ValueError: A vote names a label that is not in `labels`.

    Source: crowdkit.aggregation (DawidSkene, MACE, GLAD) 1.4; Dawid and Skene (1979), Hovy et al.
    (2013), Whitehill et al. (2009).
    """
    unknown = sorted({label for vote in votes for label in vote.labels} - set(labels))
    if unknown:
        raise ValueError(
            f"votes for {', '.join(unknown)}, which the scheme does not have; it has: {', '.join(labels)}"
        )
    if not votes:
        return Consensus(posterior={}, confusion={})
    used = {vote.label for vote in votes}
    if method == "majority" or len(used) == 1:
        posterior = _shares(votes, labels, ranked=ranked)
    else:
        posterior = _aggregate(votes, labels, method=method, seed=seed)
    return Consensus(posterior=posterior, confusion=_confusion(votes, posterior, labels))


def _shares(
    votes: Sequence[Vote], labels: Sequence[str], *, ranked: bool
) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for utterance_id, cast in group_votes(votes).items():
        shares = dict.fromkeys(labels, 0.0)
        for vote in cast:
            for label, weight in weigh(vote, ranked=ranked).items():
                shares[label] += weight / len(cast)
        found[utterance_id] = shares
    return found


def _aggregate(
    votes: Sequence[Vote], labels: Sequence[str], *, method: Method, seed: int
) -> dict[str, Distribution]:
    import pandas as pd
    from crowdkit import aggregation

    kit: Any = aggregation
    model = {
        "dawid_skene": lambda: kit.DawidSkene(n_iter=100),
        "mace": lambda: kit.MACE(random_state=seed),
        "glad": lambda: kit.GLAD(silent=True),
    }[method]()
    frame = pd.DataFrame(
        [
            (vote.utterance_id, vote.annotator, vote.label)
            for vote in sorted(votes, key=lambda v: (v.utterance_id, v.annotator))
        ],
        columns=["task", "worker", "label"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)  # of pandas, about crowd-kit
        answer = model.fit_predict_proba(frame)
    return {
        str(task): {label: float(row[label]) if label in row.index else 0.0 for label in labels}
        for task, row in answer.fillna(0.0).sort_index().iterrows()
    }


def _confusion(
    votes: Sequence[Vote], posterior: Mapping[str, Distribution], labels: Sequence[str]
) -> dict[str, dict[str, Distribution]]:
    counts: defaultdict[str, dict[str, dict[str, float]]] = defaultdict(
        lambda: {true: dict.fromkeys(labels, SMOOTHING / len(labels)) for true in labels}
    )
    for vote in votes:
        for true, probability in posterior[vote.utterance_id].items():
            counts[vote.annotator][true][vote.label] += probability
    return {
        annotator: {
            true: {given: n / sum(row.values()) for given, n in row.items()}
            for true, row in rows.items()
        }
        for annotator, rows in sorted(counts.items())
    }


class Standing(StrEnum):
    """What a contested utterance is."""

    CLEAR = "clear"
    AMBIGUOUS = "ambiguous"  # people who are usually right disagree about it
    CARELESS = "careless"  # it has one label, which weak annotators missed
    OPEN = "open"  # too few votes, or annotators too little known, to tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How contested an utterance is.

    Attributes:
        disagreement: Entropy of the votes, 0 (unanimous) to 1 (all labels alike).
        evidence: By how many nats the votes are more likely if the utterance carries several labels
            than if it carries one, given how each annotator errs.
    """

    utterance_id: str
    standing: Standing
    disagreement: float
    evidence: float


def judge_contests(
    votes: Sequence[Vote],
    consensus: Consensus,
    *,
    labels: Sequence[str],
    threshold: float = 0.3,
    least_evidence: float = 1.0,
    min_votes: int = 3,
) -> list[Contest]:
    """Tell utterances that are truly ambiguous from those that careless annotators made look so.

    Two explanations of the votes are compared: one label, which each annotator gets wrong as its
    confusion matrix says; or several, each heard by as many people. A careless annotator's odd vote
    is likely under one label; a skilled one's is not.

    Args:
        consensus: Of these votes; gives each annotator's confusion matrix.
        threshold: Entropy, 0..1, from which an utterance is contested. With four labels, five votes
            of 4:1 have 0.36.
        least_evidence: Nats from which several labels are believed; 1 is odds of 2.7 to 1. Below 0
            one label is; between, it stays open.
        min_votes: With fewer an utterance that is contested stays open.

    Returns:
        One for each utterance, sorted by id.
    """
    found = []
    for utterance_id, cast in sorted(group_votes(votes).items()):
        counts = Counter(vote.label for vote in cast)
        disagreement = _entropy(counts.values(), num_labels=len(labels))
        evidence = _weigh_labels(cast, consensus, labels) if disagreement >= threshold else 0.0
        if disagreement < threshold:
            standing = Standing.CLEAR
        elif len(cast) < min_votes or 0 <= evidence < least_evidence:
            standing = Standing.OPEN
        else:
            standing = Standing.AMBIGUOUS if evidence > 0 else Standing.CARELESS
        found.append(
            Contest(
                utterance_id=utterance_id,
                standing=standing,
                disagreement=disagreement,
                evidence=evidence,
            )
        )
    return found


def _weigh_labels(cast: Sequence[Vote], consensus: Consensus, labels: Sequence[str]) -> float:
    chances = [
        {true: consensus.confusion[vote.annotator][true][vote.label] for true in labels}
        for vote in cast
    ]
    one = max(sum(log(chance[true]) for chance in chances) for true in labels)
    named = sorted({vote.label for vote in cast})
    several = max(
        sum(log(sum(chance[label] for label in some) / len(some)) for chance in chances)
        for size in range(2, len(named) + 1)
        for some in combinations(named, size)
    )
    return several - one


def _entropy(counts: Iterable[int], *, num_labels: int) -> float:
    given = list(counts)
    if num_labels < 2:
        return 0.0
    return -sum(count / sum(given) * log(count / sum(given)) for count in given) / log(num_labels)
