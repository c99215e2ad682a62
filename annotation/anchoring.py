"""Anchoring: how much being shown a proposal sways people, measured on clips from which it was
withheld at random."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    heard: Sequence[Heard], *, draws: int = 1_000, seed: int = 0
) -> dict[str, Effect]:
    """Effect of being shown the proposal.

    Returns:
        "agrees with the proposal" (share of answers), "seconds a clip" (median), "alpha between
        annotators"; a figure that one of the arms does not have is left out.
    """
    measures: dict[str, Callable[[Sequence[Heard]], float | None]] = {
        "agrees with the proposal": _agreement,
        "seconds a clip": _seconds,
        "alpha between annotators": _alpha,
    }
    by_call: defaultdict[str, list[Heard]] = defaultdict(list)
    for answer in heard:
        by_call[answer.call].append(answer)
    calls = [by_call[call] for call in sorted(by_call)]
    rng = np.random.default_rng(seed)
    samples = [rng.integers(len(calls), size=len(calls)) for _ in range(draws)] if calls else []
    found = {}
    for name, measure in measures.items():
        whole = _both(heard, measure)
        if whole is None:
            continue
        drawn = []
        for sample in samples:
            again = [
                Heard(
                    utterance_id=f"{place}/{a.utterance_id}",
                    call=a.call,
                    annotator=a.annotator,
                    label=a.label,
                    proposed=a.proposed,
                    blind=a.blind,
                    lead_time_ms=a.lead_time_ms,
                )
                for place, number in enumerate(sample)
                for a in calls[int(number)]
            ]
            pair = _both(again, measure)
            if pair is not None:
                drawn.append(pair[0] - pair[1])
        low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (whole[0] - whole[1],) * 2
        found[name] = Effect(
            shown=whole[0],
            blind=whole[1],
            difference=whole[0] - whole[1],
            low=float(low),
            high=float(high),
        )
    return found


def _both(
    heard: Sequence[Heard], measure: Callable[[Sequence[Heard]], float | None]
) -> tuple[float, float] | None:
    shown, blind = (measure([a for a in heard if a.blind is arm]) for arm in (False, True))
    return None if shown is None or blind is None else (shown, blind)


def _agreement(heard: Sequence[Heard]) -> float | None:
    return sum(a.label == a.proposed for a in heard) / len(heard) if heard else None


def _seconds(heard: Sequence[Heard]) -> float | None:
    times = [a.lead_time_ms / 1000 for a in heard if a.lead_time_ms is not None]
    return median(times) if times else None


def _alpha(heard: Sequence[Heard]) -> float | None:
    return krippendorff_alpha(
        [Vote(utterance_id=a.utterance_id, annotator=a.annotator, labels=(a.label,)) for a in heard]
    )
