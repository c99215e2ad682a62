"""Settle: which votes count, and what they agree on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from annotation.consensus import Consensus, Contest, Method, infer_consensus, judge_contests
from voxdata.agreement import Vote, collect_votes, resolve
from voxdata.counted import counted
from voxdata.errors import AnnotationError, ConfigError
from voxdata.label import Annotation, Gold, top_label
from voxdata.scheme import Scheme
from voxdata.scheme_history import Undecided

METHODS: tuple[Method, ...] = get_args(Method)


def as_method(name: str) -> Method:
    """A consensus rule by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    for method in METHODS:
        if method == name:
            return method
    raise ConfigError(f"no consensus rule is called {name!r}; there are {', '.join(METHODS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The annotations that stand, told apart by what they are for.

    Attributes:
        labels: Ordinary work: what consensus and agreement are made of.
        checks: About check clips, under their own keys.
        decisions: By experts, in the adjudication project.
        undecided: Votes left open by a change of their scheme; they are not among the others.
        orphans: (scheme, label) in use that the scheme no longer has, without a word about it ->
            how many annotations; left out too.
    """

    labels: tuple[Annotation, ...]
    checks: tuple[Annotation, ...]
    decisions: tuple[Annotation, ...]
    undecided: tuple[Undecided, ...] = ()
    orphans: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What people settled on under one scheme.

    Attributes:
        votes: Of ordinary work.
        gold: Utterance id -> label, by decision where there is one, else by consensus.
        consensus: What the votes say, decisions apart.
        contests: Utterance id -> how contested it is.
    """

    votes: tuple[Vote, ...]
    gold: Mapping[str, Gold]
    consensus: Consensus
    contests: Mapping[str, Contest]


def require_no_orphans(orphans: Mapping[tuple[str, str], int]) -> None:
    """Refuse to go on while votes would silently be lost.

    Args:
        orphans: Of `Answers`.

    Raises:
        AnnotationError: A label in use vanished from its scheme without a word about it.
    """
    for (scheme, label), count in sorted(orphans.items()):
        raise AnnotationError(
            f"{counted(count, 'annotation names', 'annotations name')} {label!r}, "
            f"which scheme {scheme!r} no longer has; "
            "say what became of it: raise its version and add "
            f"[[schemes.changes]] with to_version and rename, merge, split or remove"
        )


def settle(
    answers: Answers, scheme: Scheme, *, method: Method = "majority", min_votes: int = 1
) -> Settled:
    """Resolve the votes under one scheme; an expert's decision goes before them.

    Args:
        method: The hard label is the most probable one; the shares of the votes stay beside it.
        min_votes: Votes an utterance needs, unless there is a decision.
    """
    settled = settle_votes(
        collect_votes(answers.labels, scheme=scheme.name),
        scheme,
        method=method,
        min_votes=min_votes,
    )
    decisions = collect_votes(answers.decisions, scheme=scheme.name)
    return replace(settled, gold=decide(settled.gold, decisions, scheme))


def settle_votes(
    votes: Sequence[Vote],
    scheme: Scheme,
    *,
    method: Method = "majority",
    min_votes: int = 1,
    times: Mapping[str, int] | None = None,
) -> Settled:
    """Resolve votes of ordinary work.

    Args:
        times: Utterance id -> on how many utterances just these votes were cast; "majority" only.
    """
    ranked = scheme.choice == "ranked"
    consensus = infer_consensus(
        votes,
        labels=scheme.label_names,
        method=method,
        ranked=ranked,
        times=times,
    )
    judged = judge_contests(votes, consensus, labels=scheme.label_names)
    contests = {contest.utterance_id: contest for contest in judged}

    golds: dict[str, Gold] = {}
    for gold in resolve(
        votes,
        scheme=scheme.name,
        min_votes=min_votes,
        ranked=ranked,
    ):
        utterance_id = gold.utterance_id
        standing = contests[utterance_id].standing.value if gold.num_votes > 1 else ""
        golds[utterance_id] = replace(gold, standing=standing)
        if method != "majority":
            golds[utterance_id] = _follow(golds[utterance_id], consensus)
    return Settled(
        votes=tuple(votes),
        gold=golds,
        consensus=consensus,
        contests=contests,
    )


def decide(golds: Mapping[str, Gold], decisions: Sequence[Vote], scheme: Scheme) -> dict[str, Gold]:
    """Gold labels, with those that experts decided in their place.

    Args:
        golds: Utterance id -> label by vote.
        decisions: Votes of experts.
    """
    decided = dict(golds)
    ranked = scheme.choice == "ranked"
    for decision in resolve(decisions, scheme=scheme.name, ranked=ranked):
        by_vote = golds.get(decision.utterance_id, decision)
        decided[decision.utterance_id] = replace(by_vote, label=decision.label, standing="decided")
    return decided


def _follow(gold: Gold, consensus: Consensus) -> Gold:
    """The most probable label in place of that of most votes."""
    probabilities = consensus.posterior[gold.utterance_id]
    posterior = {label: round(share, 6) for label, share in probabilities.items()}
    return replace(gold, label=top_label(posterior), posterior=posterior)


def settle_all(
    answers: Answers, schemes: Sequence[Scheme], *, method: Method = "majority", min_votes: int = 1
) -> dict[str, Settled]:
    """Scheme name -> what people settled on."""
    settled = {}
    for scheme in schemes:
        settled[scheme.name] = settle(
            answers,
            scheme,
            method=method,
            min_votes=min_votes,
        )
    return settled
