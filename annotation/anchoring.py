"""Anchoring: how much being shown a proposal sways people, measured on clips from which it was
withheld at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from voxdata.agreement import Vote
from voxdata.reliability import krippendorff_alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer to one clip under one scheme.

    Attributes:
        call: Clips of one call are alike, so whole calls are resampled.
        proposed: What the model proposed, shown or not.
        blind: It was not shown.
        lead_time_ms: None when unknown.
    """

    utterance_id: str
    call: str
    annotator: str
    label: str
    proposed: str
    blind: bool
    lead_time_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What showing the proposal does to one figure.

    Attributes:
        shown, blind: The figure in each arm.
        difference: shown - blind.
        low, high: 95 % bootstrap interval of the difference, over whole calls; it holds 0 when
            nothing is shown to be swayed.
    """

    shown: float
    blind: float
    difference: float
    low: float
    high: float


def measure_anchoring(
    heard: Sequence[Heard],
    *,
    draws: int = 1_000,
    seed: int = 0,
) -> dict[str, Effect]:
    """Effect of being shown the proposal.

    Returns:
        "agrees with the proposal" (share of answers), "seconds a clip" (median), "alpha between
        annotators"; a figure that one of the arms does not have is left out.
    """
    figures: dict[str, _Arms] = {}
    for name, measure in MEASURES.items():
        arms = _measure_arms(heard, measure)
        if arms is not None:
            figures[name] = arms

    differences: defaultdict[str, list[float]] = defaultdict(list)
    for answers in _resample_calls(heard, draws=draws, seed=seed):
        for name in figures:
            arms = _measure_arms(answers, MEASURES[name])
            if arms is not None:
                differences[name].append(arms.difference)
    return {name: _effect(arms, differences[name]) for name, arms in figures.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arms:
    """One figure in both arms."""

    shown: float
    blind: float

    @property
    def difference(self) -> float:
        return self.shown - self.blind


def _effect(arms: _Arms, differences: Sequence[float]) -> Effect:
    low = high = arms.difference
    if differences:
        low, high = np.quantile(differences, [0.025, 0.975])
    return Effect(
        shown=arms.shown,
        blind=arms.blind,
        difference=arms.difference,
        low=float(low),
        high=float(high),
    )


def _resample_calls(
    heard: Sequence[Heard],
    *,
    draws: int,
    seed: int,
) -> Iterator[list[Heard]]:
    """Bootstrap samples of whole calls; a call drawn twice counts as two."""
    by_call: defaultdict[str, list[Heard]] = defaultdict(list)
    for answer in heard:
        by_call[answer.call].append(answer)
    calls = [by_call[call] for call in sorted(by_call)]
    if not calls:
        return

    rng = np.random.default_rng(seed)
    for _ in range(draws):
        numbers = rng.integers(len(calls), size=len(calls)).tolist()
        answers: list[Heard] = []
        for place, number in enumerate(numbers):
            answers += [_as_another_clip(answer, place) for answer in calls[number]]
        yield answers


def _as_another_clip(answer: Heard, place: int) -> Heard:
    return replace(answer, utterance_id=f"{place}/{answer.utterance_id}")


Measure = Callable[[Sequence[Heard]], float | None]
"""A figure of some answers; None when they do not have it."""


def _measure_arms(heard: Sequence[Heard], measure: Measure) -> _Arms | None:
    shown = measure([answer for answer in heard if not answer.blind])
    blind = measure([answer for answer in heard if answer.blind])
    if shown is None or blind is None:
        return None
    return _Arms(shown=shown, blind=blind)


def _agreement(heard: Sequence[Heard]) -> float | None:
    if not heard:
        return None
    return sum(answer.label == answer.proposed for answer in heard) / len(heard)


def _seconds(heard: Sequence[Heard]) -> float | None:
    times_ms = [answer.lead_time_ms for answer in heard]
    seconds = [time_ms / 1000 for time_ms in times_ms if time_ms is not None]
    return median(seconds) if seconds else None


def _alpha(heard: Sequence[Heard]) -> float | None:
    votes = []
    for answer in heard:
        vote = Vote(
            utterance_id=answer.utterance_id,
            annotator=answer.annotator,
            labels=(answer.label,),
        )
        votes.append(vote)
    return krippendorff_alpha(votes)


MEASURES: Mapping[str, Measure] = {
    "agrees with the proposal": _agreement,
    "seconds a clip": _seconds,
    "alpha between annotators": _alpha,
}
