"""Acquire: which clips people should hear next, and how many fit into their time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from annotation.acquire import Choice, choose_next
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
    choices = choose_next(candidates, count=len(candidates), strategy=settings.strategy, random_share=settings.random_share, seed=SEED)
    if budget is None:
        return {choice.utterance_id: choice for choice in choices}
    there = [choice for choice in choices if choice.utterance_id not in new]
    coming = [choice for choice in choices if choice.utterance_id in new]
    if coming:
        coming = fit_to_budget(coming, lead_times, budget.time_ms, annotators=budget.annotators, votes_wanted=settings.votes_wanted)
    return {choice.utterance_id: choice for choice in (*there, *coming)}


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
