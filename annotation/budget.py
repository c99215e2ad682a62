"""Budgets in annotator minutes: what a clip costs to label, and which clips fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.acquire import Choice
from voxdata.errors import ConfigError

Floats = npt.NDArray[np.float64]

PRIOR = (6000.0, 1.5, 125.0, 1.5)
"""What a clip costs before anybody has labelled any: 6 s to look, decide and press keys; one and a
half times its duration (heard once, and every second one again); 125 ms per word, half of silent
reading at 240 words a minute, for they are read while they are heard; and once and a half more for
the part in which somebody else speaks too."""

PRIOR_WEIGHT = 10.0
"""How many clips of the past outweigh the prior: with far fewer it decides, with a hundred it
hardly matters."""

MIN_SCALE_MS = 500.0
UNITS_MS = {"h": 3_600_000, "min": 60_000, "s": 1000}

_NUMBER = r"(\d+(?:\.\d+)?)"
_LENGTH_OF_TIME = re.compile(
    rf"(?:{_NUMBER}\s*+h)?+\s*+(?:{_NUMBER}\s*+min)?+\s*+(?:{_NUMBER}\s*+s)?+",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """How long one person took over one clip.

    Attributes:
        lead_time_ms: From opening to submitting; breaks included, as Label Studio has it.
        num_words: The number of words of the transcript shown.
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
        per_duration: Milliseconds per millisecond of clip.
        per_overlap: Further milliseconds per millisecond of overlapped speech.
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
        cost_ms = (
            self.fixed_ms
            + self.per_duration * duration_ms
            + self.per_word_ms * num_words
            + self.per_overlap * overlap_ms
        )
        return max(1, round(cost_ms))


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
    for row in rows:
        if row.lead_time_ms < 0 or row.duration_ms < 0:
            raise ConfigError(
                f"a lead time of {row.lead_time_ms} ms on a clip of {row.duration_ms} ms "
                "cannot be; leave it out"
            )
    if not rows:
        return _as_model(PRIOR, num_rows=0)
    design = np.array([_describe(row) for row in rows])
    taken_ms = np.array([row.lead_time_ms for row in rows], dtype=float)
    shares = _fit_shares(design, taken_ms)
    costs = shares * np.array(PRIOR)
    return _as_model(costs.tolist(), num_rows=len(rows))


def _as_model(costs: Sequence[float], *, num_rows: int) -> LeadTimeModel:
    fixed, duration, words, overlap = costs
    return LeadTimeModel(
        fixed_ms=fixed,
        per_duration=duration,
        per_word_ms=words,
        per_overlap=overlap,
        num_rows=num_rows,
    )


def _describe(row: LeadTime) -> list[float]:
    """How much of each part of PRIOR a clip has."""
    overlap_ms = row.duration_ms * row.overlap_ratio
    return [1.0, row.duration_ms, row.num_words, overlap_ms]


def _fit_shares(design: Floats, taken_ms: Floats) -> Floats:
    """What each part costs over what PRIOR has for it: (num_parts,).

    Args:
        design: (num_rows, num_parts), how much of each part a clip has.
        taken_ms: (num_rows,) lead times.
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    shares: Floats = np.ones(len(PRIOR))
    for _ in range(3):  # the scale of the residuals and the fit settle each other
        missed_ms = _misses(shares, design, taken_ms)
        scale_ms = max(MIN_SCALE_MS, 1.4826 * float(np.median(np.abs(missed_ms))))
        fit = least_squares(
            _residuals,
            np.maximum(shares, 1e-6),
            bounds=(0, np.inf),
            loss="soft_l1",
            args=(design, taken_ms, scale_ms),
        )
        shares = np.asarray(fit.x)
    return shares


def _misses(shares: Floats, design: Floats, taken_ms: Floats) -> Floats:
    costs = shares * np.array(PRIOR)
    missed_ms: Floats = taken_ms - design @ costs
    return missed_ms


def _residuals(shares: Floats, design: Floats, taken_ms: Floats, scale_ms: float) -> Floats:
    missed = _misses(shares, design, taken_ms) / scale_ms
    pulled_to_prior = np.sqrt(PRIOR_WEIGHT) * (shares - 1)
    return np.concatenate([missed, pulled_to_prior])


def predict_cost(choice: Choice, model: LeadTimeModel) -> int:
    """Milliseconds one annotator will need for a choice."""
    clip = choice.candidate
    return model.predict(
        clip.duration_ms, num_words=clip.num_words, overlap_ratio=clip.overlap_ratio
    )


def utility(choice: Choice, model: LeadTimeModel) -> float:
    """What a choice is worth per predicted second: its score over its cost."""
    cost_s = predict_cost(choice, model) / 1000
    return choice.score / cost_s


def fit_to_budget(
    choices: Sequence[Choice],
    model: LeadTimeModel,
    budget_ms: int,
    *,
    annotators: int = 1,
    votes_wanted: int = 1,
) -> list[Choice]:
    """The choices that fit, the strategy's by worth per second.

    The control arm keeps its part of the budget and its own order: were its clips chosen for being
    cheap, it would be no control.

    Args:
        choices: The choices of `choose_next`; ask it for more than will fit.
        budget_ms: The time of each annotator.
        votes_wanted: People who hear each clip.

    Returns:
        In the order of `choices`.

    Raises:
        ConfigError: No budget, no annotators, more votes than annotators, or a budget that not even
            one clip fits in.
    """
    if budget_ms <= 0 or annotators < 1 or votes_wanted < 1:
        raise ConfigError(
            f"a budget of {budget_ms} ms, {annotators} annotators and {votes_wanted} votes a clip "
            "buys nothing; raise it"
        )
    if votes_wanted > annotators:
        raise ConfigError(
            f"{votes_wanted} votes a clip need as many annotators, and there are {annotators}; "
            "ask for fewer votes"
        )
    total_ms = budget_ms * annotators
    costs_ms = {c.utterance_id: predict_cost(c, model) * votes_wanted for c in choices}
    kept = _buy_control(choices, costs_ms, total_ms)
    left_ms = total_ms - sum(costs_ms[utterance_id] for utterance_id in kept)

    active = [choice for choice in choices if choice.arm == "active"]
    active.sort(
        key=lambda choice: utility(choice, model),
        reverse=True,
    )
    for choice in active:
        cost_ms = costs_ms[choice.utterance_id]
        if cost_ms <= left_ms:
            kept.append(choice.utterance_id)
            left_ms -= cost_ms

    if choices and not kept:
        cheapest_ms = min(costs_ms.values())
        raise ConfigError(
            f"a budget of {total_ms / 1000:.0f} s fits no clip: "
            f"the cheapest needs {cheapest_ms / 1000:.0f} s; raise the budget"
        )
    kept_ids = set(kept)
    return [choice for choice in choices if choice.utterance_id in kept_ids]


def _buy_control(
    choices: Sequence[Choice],
    costs_ms: Mapping[str, int],
    total_ms: int,
) -> list[str]:
    """Ids of the first clips of the control arm, up to its part of the budget."""
    control = [choice for choice in choices if choice.arm == "random"]
    bought: list[str] = []
    spent_ms = 0
    for choice in control:
        share_ms = total_ms * len(control) / len(choices)
        cost_ms = costs_ms[choice.utterance_id]
        if spent_ms >= share_ms or cost_ms > total_ms - spent_ms:
            break  # not the next cheaper one: that would be choosing
        bought.append(choice.utterance_id)
        spent_ms += cost_ms
    return bought


def parse_duration(text: str) -> int:
    """Read a length of time.

    Returns:
        Milliseconds, more than 0.

    Raises:
        ConfigError: It is not numbers with units h, min and s, largest first, each once.

    >>> parse_duration("1h30min"), parse_duration("45 min"), parse_duration("1.5h")
    (5400000, 2700000, 5400000)
    """
    match = _LENGTH_OF_TIME.fullmatch(text.strip().lower())
    parts = match.groups() if match else ()
    amounts = zip(parts, UNITS_MS.values(), strict=False)
    total_ms = round(sum(float(part) * unit_ms for part, unit_ms in amounts if part))
    if total_ms <= 0:
        raise ConfigError(f"{text!r} is no length of time; write it like 45min, 2h, 1h30min or 90s")
    return total_ms
