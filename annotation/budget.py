"""Budgets in annotator minutes: what a clip costs to label, and which clips fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.acquire import Choice
from voxdata.errors import ConfigError

Floats = npt.NDArray[np.float64]

PRIOR = (6000.0, 1.5, 125.0, 1.5)
"""What a clip costs before anybody has labelled any: 6 s to look, decide and press keys; one and a
half times its duration (heard once, and every second one again); 125 ms a word, half of silent
reading at 240 words a minute, for they are read while they are heard; and once and a half more for
the part in which somebody else speaks too."""

PRIOR_WEIGHT = 10.0
"""How many clips of the past outweigh the prior: with far fewer it decides, with a hundred it
hardly matters."""

MIN_SCALE_MS = 500.0
UNITS_MS = {"h": 3_600_000, "min": 60_000, "s": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """How long one person took over one clip.

    Attributes:
        lead_time_ms: From opening to submitting; breaks included, as Label Studio has it.
        num_words: Of the transcript shown.
        overlap_ratio: Part of the duration in which somebody else speaks too, 0..1.
    """

    lead_time_ms: int
    duration_ms: int
    num_words: int = 0
    overlap_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTimeModel:
    """A clip's cost: a fixed part, and parts that grow with what there is to hear and read.

    Attributes:
        per_duration: Milliseconds a millisecond of clip.
        per_overlap: Further milliseconds a millisecond of overlapped speech.
        num_rows: Past lead times it was fitted to; 0 for the prior alone.
    """

    fixed_ms: float
    per_duration: float
    per_word_ms: float
    per_overlap: float
    num_rows: int

    def predict(self, duration_ms: int, *, num_words: int = 0, overlap_ratio: float = 0.0) -> int:
        """Milliseconds one annotator will need, at least 1."""
        overlap_ms = duration_ms * overlap_ratio
        cost = (
            self.fixed_ms
            + self.per_duration * duration_ms
            + self.per_word_ms * num_words
            + self.per_overlap * overlap_ms
        )
        return max(1, round(cost))


def fit_lead_times(rows: Sequence[LeadTime]) -> LeadTimeModel:
    """Fit what clips cost from what they did cost; with few rows the answer stays near PRIOR.

    Each residual counts linearly once it is large, so that a lunch break pulls no more than any
    other slow clip, and no part can be negative.

    Args:
        rows: Accepted annotations; leave skips out.

    Raises:
        ConfigError: A negative lead time or duration.

    Source: soft L1 least squares of scipy.optimize, with the prior as further residuals (maximum a
    posteriori).
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    for row in rows:
        if row.lead_time_ms < 0 or row.duration_ms < 0:
            raise ConfigError(
                f"a lead time of {row.lead_time_ms} ms on a clip of {row.duration_ms} ms cannot be; leave it out"
            )
    prior = np.array(PRIOR)
    if not rows:
        return LeadTimeModel(
            fixed_ms=PRIOR[0],
            per_duration=PRIOR[1],
            per_word_ms=PRIOR[2],
            per_overlap=PRIOR[3],
            num_rows=0,
        )
    design = np.array(
        [[1.0, r.duration_ms, r.num_words, r.duration_ms * r.overlap_ratio] for r in rows]
    )
    taken = np.array([r.lead_time_ms for r in rows], dtype=float)

    def fit(start: Floats, scale_ms: float) -> Floats:
        def residuals(shares: Floats) -> Floats:
            return np.concatenate(
                [
                    (taken - design @ (shares * prior)) / scale_ms,
                    np.sqrt(PRIOR_WEIGHT) * (shares - 1),
                ]
            )

        return np.asarray(least_squares(residuals, start, bounds=(0, np.inf), loss="soft_l1").x)

    shares: Floats = np.ones(len(prior))
    for _ in range(3):  # the scale of the residuals and the fit settle each other
        scale_ms = max(
            MIN_SCALE_MS, 1.4826 * float(np.median(np.abs(taken - design @ (shares * prior))))
        )
        shares = fit(np.maximum(shares, 1e-6), scale_ms)
    fixed, duration, words, overlap = (shares * prior).tolist()
    return LeadTimeModel(
        fixed_ms=fixed,
        per_duration=duration,
        per_word_ms=words,
        per_overlap=overlap,
        num_rows=len(rows),
    )


def predict_cost(choice: Choice, model: LeadTimeModel) -> int:
    """Milliseconds one annotator will need for a choice."""
    clip = choice.candidate
    return model.predict(
        clip.duration_ms, num_words=clip.num_words, overlap_ratio=clip.overlap_ratio
    )


def utility(choice: Choice, model: LeadTimeModel) -> float:
    """What a choice is worth a predicted second: its score over its cost."""
    return choice.score / (predict_cost(choice, model) / 1000)


def fit_to_budget(
    choices: Sequence[Choice],
    model: LeadTimeModel,
    budget_ms: int,
    *,
    annotators: int = 1,
    votes_wanted: int = 1,
) -> list[Choice]:
    """The choices that fit, the strategy's by worth a second.

    The control arm keeps its part of the budget and its own order: were its clips chosen for being
    cheap, it would be no control.

    Args:
        choices: Of `choose_next`; ask it for more than will fit.
        budget_ms: Of each annotator.
        votes_wanted: People who hear each clip.

    Returns:
        In the order of `choices`.

    Raises:
        ConfigError: No budget, no annotators, more votes than annotators, or a budget that not even
            one clip fits in.
    """
    if budget_ms <= 0 or annotators < 1 or votes_wanted < 1:
        raise ConfigError(
            f"a budget of {budget_ms} ms, {annotators} annotators and {votes_wanted} votes a clip buys nothing; raise it"
        )
    if votes_wanted > annotators:
        raise ConfigError(
            f"{votes_wanted} votes a clip need as many annotators, and there are {annotators}; ask for fewer votes"
        )
    total_ms = budget_ms * annotators
    costs = {c.utterance_id: predict_cost(c, model) * votes_wanted for c in choices}
    control = [c for c in choices if c.arm == "random"]
    active = sorted(
        (c for c in choices if c.arm == "active"), key=lambda c: utility(c, model), reverse=True
    )
    left_ms = total_ms
    share_ms = total_ms * len(control) / len(choices) if choices else 0.0
    kept: set[str] = set()
    spent_ms = 0
    for choice in control:
        cost = costs[choice.utterance_id]
        if spent_ms >= share_ms or cost > left_ms:
            break  # not the next cheaper one: that would be choosing
        kept.add(choice.utterance_id)
        spent_ms, left_ms = spent_ms + cost, left_ms - cost
    for choice in active:
        if costs[choice.utterance_id] <= left_ms:
            kept.add(choice.utterance_id)
            left_ms -= costs[choice.utterance_id]
    if choices and not kept:
        raise ConfigError(
            f"a budget of {total_ms / 1000:.0f} s fits no clip: the cheapest needs {min(costs.values()) / 1000:.0f} s; raise the budget"
        )
    return [c for c in choices if c.utterance_id in kept]


def parse_duration(text: str) -> int:
    """Read a length of time.

    Returns:
        Milliseconds, more than 0.

    Raises:
        ConfigError: It is not numbers with units h, min and s, largest first, each once.

    >>> parse_duration("1h30min"), parse_duration("45 min"), parse_duration("1.5h")
    (5400000, 2700000, 5400000)
    """
    number = r"(\d+(?:\.\d+)?)"
    found = re.fullmatch(
        rf"(?:{number}\s*+h)?+\s*+(?:{number}\s*+min)?+\s*+(?:{number}\s*+s)?+",
        text.strip().lower(),
        re.ASCII,
    )
    parts = found.groups() if found else ()
    total = round(
        sum(
            float(part) * unit for part, unit in zip(parts, UNITS_MS.values(), strict=False) if part
        )
    )
    if total <= 0:
        raise ConfigError(f"{text!r} is no length of time; write it like 45min, 2h, 1h30min or 90s")
    return total
