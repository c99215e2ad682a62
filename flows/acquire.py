"""Acquire: which clips people should hear next, and how many fit into their time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from annotation.acquire import Choice, Quota, choose_next
from annotation.budget import LeadTime, LeadTimeModel, fit_lead_times, fit_to_budget
from annotation.candidate import Candidate
from flows.settings import AnnotationSettings
from voxdata.label import Distribution, Prediction
from voxdata.utterance import Utterance
from warehouse.annotations import current_annotations
from warehouse.utterances import list_utterances

SEED = 0
"""Of the control arm; it stays the same for the life of a project, or the arm would start anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Time that people have.

    Attributes:
        time_ms: Of each of them.
        annotators: How many they are.
    """

    time_ms: int
    annotators: int


def choose_clips(
    utterances: Sequence[Utterance],
    proposals: Mapping[str, Mapping[str, Prediction]],
    *,
    settings: AnnotationSettings,
    new: Collection[str],
    lead_times: LeadTimeModel,
    budget: Budget | None = None,
) -> dict[str, Choice]:
    """Choose among the clips that nobody has labelled yet.

    Args:
        utterances: Those clips.
        proposals: Scheme -> utterance id -> proposal.
        new: Of them, the ones that are not in Label Studio yet; only these cost anything of the budget.
        budget: None chooses all of them, in the order in which they should be heard.

    Returns:
        Utterance id -> choice; with a budget, new clips that do not fit are left out.
    """
    if not utterances:
        return {}
    candidates = [
        Candidate(
            utterance_id=u.utterance_id,
            duration_ms=u.segment.duration_ms,
            distributions=_distributions(u.utterance_id, proposals),
            language=u.language,
            num_words=len(u.text.split()),
        )
        for u in utterances
    ]

    def choose(some: Sequence[Candidate], count: int) -> list[Choice]:
        quotas = [Quota(**quota.model_dump()) for quota in settings.quotas]
        return choose_next(
            some, count=count, strategy=settings.strategy, random_share=settings.random_share, quotas=quotas, seed=SEED
        )  # fmt: skip

    if budget is None:
        return {choice.utterance_id: choice for choice in choose(candidates, len(candidates))}
    there = [c for c in candidates if c.utterance_id not in new]
    coming = [c for c in candidates if c.utterance_id in new]
    chosen = choose(there, len(there)) if there else []
    if coming:
        cost_ms = sum(lead_times.predict(c.duration_ms, num_words=c.num_words) for c in coming) / len(coming) * settings.votes_wanted
        # Somewhat more than will fit, so that quotas and worth a second both have a say.
        count = min(len(coming), 10 + round(1.2 * budget.time_ms * budget.annotators / cost_ms))
        chosen += fit_to_budget(
            choose(coming, count), lead_times, budget.time_ms, annotators=budget.annotators, votes_wanted=settings.votes_wanted
        )  # fmt: skip
    return {choice.utterance_id: choice for choice in chosen}


def learn_lead_times(con: DuckDBPyConnection) -> LeadTimeModel:
    """How long clips take to label, from the times that people took so far."""
    utterances = {u.utterance_id: u for u in list_utterances(con)}
    return fit_lead_times(
        [
            LeadTime(lead_time_ms=a.lead_time_ms, duration_ms=u.segment.duration_ms, num_words=len(u.text.split()))
            for a in current_annotations(con)
            if a.lead_time_ms and not a.deleted and (u := utterances.get(a.utterance_id)) is not None
        ]
    )


def _distributions(utterance_id: str, proposals: Mapping[str, Mapping[str, Prediction]]) -> dict[str, Distribution]:
    return {scheme: found[utterance_id].distribution for scheme, found in proposals.items() if utterance_id in found}
