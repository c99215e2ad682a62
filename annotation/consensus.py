"""Consensus: what several annotators of different skill most probably mean, by crowd-kit.

Dawid-Skene learns a confusion matrix for each annotator, MACE how often each one spams, GLAD how
able each one is and how hard each utterance. Majority takes everybody for equal.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations
from math import log
from typing import Any, Literal

from voxdata.agreement import Vote, group_votes, weigh
from voxdata.label import Distribution, top_label

Confusion = Mapping[str, Distribution]
"""True label -> probability of each label given."""

Counts = dict[str, dict[str, float]]
"""True label -> how often each label was given."""

Method = Literal["majority", "dawid_skene", "mace", "glad"]

SMOOTHING = 1.0
"""Votes added to each cell of a confusion matrix, divided among the labels, so that one answer does
not settle an annotator's skill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What a method infers from votes.

    Attributes:
        posterior: Utterance id -> probability of every label of the scheme.
        confusion: Annotator -> confusion matrix, from the posterior; smoothed.
    """

    posterior: Mapping[str, Distribution]
    confusion: Mapping[str, Confusion]

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
    times: Mapping[str, int] | None = None,
) -> Consensus:
    """Infer the label of every utterance and the skill of every annotator.

    Args:
        votes: Under one scheme; a vote with several labels counts by its main one, except for
            "majority".
        labels: Every label of the scheme.
        seed: Of MACE's restarts; the other methods are deterministic.
        ranked: See `voxdata.agreement.weigh`.
        times: Utterance id -> on how many utterances just these votes were cast; for "majority"
            only, since the other methods count utterances themselves.

    Raises:
        ValueError: A vote names a label that is not in `labels`.

    Source: crowdkit.aggregation (DawidSkene, MACE, GLAD) 1.4; Dawid and Skene (1979), Hovy et al.
    (2013), Whitehill et al. (2009).
    """
    named = set(chain.from_iterable(vote.labels for vote in votes))
    unknown = sorted(named - set(labels))
    if unknown:
        raise ValueError(
            f"votes for {', '.join(unknown)}, which the scheme does not have; "
            f"it has: {', '.join(labels)}"
        )
    if not votes:
        return Consensus(posterior={}, confusion={})
    main_labels = {vote.label for vote in votes}
    if method == "majority" or len(main_labels) == 1:
        posterior = _shares(votes, labels, ranked=ranked)
    else:
        posterior = _aggregate(
            votes,
            labels,
            method=method,
            seed=seed,
        )
    return Consensus(
        posterior=posterior, confusion=_confusion(votes, posterior, labels, times or {})
    )


def _shares(
    votes: Sequence[Vote],
    labels: Sequence[str],
    *,
    ranked: bool,
) -> dict[str, Distribution]:
    shares_of_clip: dict[str, Distribution] = {}
    for utterance_id, clip_votes in group_votes(votes).items():
        shares = dict.fromkeys(labels, 0.0)
        for vote in clip_votes:
            for label, weight in weigh(vote, ranked=ranked).items():
                shares[label] += weight / len(clip_votes)
        shares_of_clip[utterance_id] = shares
    return shares_of_clip


def _aggregate(
    votes: Sequence[Vote],
    labels: Sequence[str],
    *,
    method: Method,
    seed: int,
) -> dict[str, Distribution]:
    import pandas as pd

    ordered = sorted(votes, key=lambda vote: (vote.utterance_id, vote.annotator))
    rows = [(vote.utterance_id, vote.annotator, vote.label) for vote in ordered]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    model = _make_model(method, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)  # of pandas, about crowd-kit
        answer = model.fit_predict_proba(frame)

    posterior: dict[str, Distribution] = {}
    for task, row in answer.fillna(0.0).sort_index().iterrows():
        # Labels that nobody named have no column.
        named = dict(row.items())
        posterior[str(task)] = {label: float(named.get(label, 0.0)) for label in labels}
    return posterior


def _make_model(method: Method, *, seed: int) -> Any:
    from crowdkit import aggregation

    kit: Any = aggregation
    models: dict[str, tuple[Any, dict[str, Any]]] = {
        "dawid_skene": (kit.DawidSkene, {"n_iter": 100}),
        "mace": (kit.MACE, {"random_state": seed}),
        "glad": (kit.GLAD, {"silent": True}),
    }
    make, options = models[method]
    return make(**options)


def _confusion(
    votes: Sequence[Vote],
    posterior: Mapping[str, Distribution],
    labels: Sequence[str],
    times: Mapping[str, int],
) -> dict[str, Confusion]:
    """Each annotator's confusion matrix, sorted by annotator."""
    counts: dict[str, Counts] = {}
    for vote in votes:
        if vote.annotator not in counts:
            counts[vote.annotator] = _smooth_counts(labels)
        number = times.get(vote.utterance_id, 1)
        for true, probability in posterior[vote.utterance_id].items():
            counts[vote.annotator][true][vote.label] += number * probability

    confusion: dict[str, Confusion] = {}
    for annotator, rows in sorted(counts.items()):
        confusion[annotator] = {true: _normalise(row) for true, row in rows.items()}
    return confusion


def _smooth_counts(labels: Sequence[str]) -> Counts:
    """The counts with which everybody begins."""
    cell = SMOOTHING / len(labels)
    return {true: dict.fromkeys(labels, cell) for true in labels}


def _normalise(counts: Distribution) -> Distribution:
    total = sum(counts.values())
    return {label: count / total for label, count in counts.items()}


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
    contests = []
    for utterance_id, clip_votes in sorted(group_votes(votes).items()):
        counts = Counter(vote.label for vote in clip_votes)
        disagreement = _entropy(counts.values(), num_labels=len(labels))
        evidence = 0.0
        if disagreement >= threshold:
            evidence = _weigh_labels(clip_votes, consensus, labels)

        if disagreement < threshold:
            standing = Standing.CLEAR
        elif len(clip_votes) < min_votes or 0 <= evidence < least_evidence:
            standing = Standing.OPEN
        elif evidence > 0:
            standing = Standing.AMBIGUOUS
        else:
            standing = Standing.CARELESS
        contest = Contest(
            utterance_id=utterance_id,
            standing=standing,
            disagreement=disagreement,
            evidence=evidence,
        )
        contests.append(contest)
    return contests


def _weigh_labels(votes: Sequence[Vote], consensus: Consensus, labels: Sequence[str]) -> float:
    """Log-likelihood of one utterance's votes under several labels over that under one."""
    chances = []
    for vote in votes:
        confusion = consensus.confusion[vote.annotator]
        chances.append({true: confusion[true][vote.label] for true in labels})
    one = max(_log_likelihood(chances, [true]) for true in labels)

    named = sorted({vote.label for vote in votes})
    sizes = range(2, len(named) + 1)
    subsets = chain.from_iterable(combinations(named, size) for size in sizes)
    several = max(_log_likelihood(chances, subset) for subset in subsets)
    return several - one


def _log_likelihood(chances: Sequence[Distribution], carried: Sequence[str]) -> float:
    """Log-likelihood of votes if the utterance carries these labels, each heard by as many people.

    Args:
        chances: For each vote: true label -> probability of that vote.
    """
    means = [sum(chance[label] for label in carried) / len(carried) for chance in chances]
    return sum(map(log, means))


def _entropy(counts: Collection[int], *, num_labels: int) -> float:
    """Entropy of counts over its largest value, 0..1; 0 when there is no choice of labels."""
    if num_labels < 2:
        return 0.0
    total = sum(counts)
    shares = [count / total for count in counts]
    return -sum(share * log(share) for share in shares) / log(num_labels)
