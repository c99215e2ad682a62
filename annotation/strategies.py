"""Orders in which candidates may be heard: by chance, by a model's doubt, by variety, or by
both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.candidate import Candidate, doubt, draw, entropy
from annotation.coverage import (
    MAX_DIMENSIONS,
    compact_embeddings,
    select_badge,
    select_core_set,
    select_diverse,
    select_typical,
)
from voxdata.errors import ConfigError

Floats = npt.NDArray[np.float64]

MAX_POOL = 2000
"""Strategies that compare clips with each other look at this many at most."""

MAX_HEARD = 500
"""And beside at most this many that were heard before."""

COLD_START_PER_LABEL = 2
"""`hybrid` spreads over the embeddings until this many clips a label were heard, then follows the
model's doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate's place by one strategy, and why it has it."""

    candidate: Candidate
    reason: str


def rank(
    candidates: Sequence[Candidate],
    *,
    strategy: str,
    count: int,
    heard: Sequence[Candidate] = (),
    seed: int = 0,
) -> list[Ranked]:
    """All candidates in the order of one strategy, without a control arm.

    Args:
        count: How many are to be chosen: strategies that build a batch build one of this size; the
            rest follows by doubt.

    Raises:
        ConfigError: See `choose_next`.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(
            f"there is no acquisition strategy {strategy!r}; there are {', '.join(STRATEGIES)}"
        )
    waiting = sorted(candidates, key=lambda c: draw(c.utterance_id, seed=seed))
    if not waiting:
        return []
    return STRATEGIES[strategy](waiting, heard, count, seed)


def _by_chance(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    return [Ranked(candidate=c, reason="random") for c in waiting]


def _by_margin(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    _need_predictions(waiting, "margin")
    return _follow([], waiting, doubt, name="margin")


def _by_entropy(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    _need_predictions(waiting, "entropy")
    return _follow([], waiting, entropy, name="entropy")


def _by_coverage(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    pool, vectors, before = _embed(waiting[:MAX_POOL], heard, name="coverage", seed=seed)
    rows = select_core_set(vectors, before, count=count, seed=seed)
    return _follow([pool[row] for row in rows], waiting, doubt, name="coverage")


def _by_type(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    pool, vectors, before = _embed(waiting[:MAX_POOL], heard, name="typiclust", seed=seed)
    rows = select_typical(vectors, before, count=count, seed=seed)
    return _follow([pool[row] for row in rows], waiting, doubt, name="typiclust")


def _by_badge(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    _need_predictions(waiting, "badge")
    pool, vectors, _ = _embed(
        sorted(waiting, key=doubt, reverse=True)[:MAX_POOL], (), name="badge", seed=seed
    )
    schemes = sorted(
        {scheme for c in pool for scheme, distribution in c.distributions.items() if distribution}
    )
    answers = [
        select_badge(vectors, _probabilities(pool, scheme), count=count, seed=seed)
        for scheme in schemes
    ]
    rows = list(dict.fromkeys(row for turn in zip(*answers, strict=True) for row in turn))[:count]
    return _follow([pool[row] for row in rows], waiting, doubt, name="badge")


def _by_both(
    waiting: list[Candidate], heard: Sequence[Candidate], count: int, seed: int
) -> list[Ranked]:
    """Spread first, doubt within clusters later; only the one there is input for when the other's
    is missing."""
    predicted = any(c.predicted for c in waiting)
    embedded = all(c.embedding is not None for c in waiting)
    num_labels = max((len(d) for c in waiting for d in c.distributions.values()), default=0)
    if embedded and (not predicted or len(heard) < COLD_START_PER_LABEL * num_labels):
        known = [c for c in heard if c.embedding is not None]
        return _by_type(waiting, known, count, seed)
    if not predicted:
        return _by_chance(waiting, heard, count, seed)
    if not embedded:
        return _by_margin(waiting, heard, count, seed)
    pool, vectors, _ = _embed(
        sorted(waiting, key=doubt, reverse=True)[:MAX_POOL], (), name="hybrid", seed=seed
    )
    rows = select_diverse(vectors, np.array([doubt(c) for c in pool]), count=count, seed=seed)
    return _follow([pool[row] for row in rows], waiting, doubt, name="hybrid")


Strategy = Callable[[list[Candidate], Sequence[Candidate], int, int], list[Ranked]]
STRATEGIES: Mapping[str, Strategy] = {
    "random": _by_chance,
    "entropy": _by_entropy,
    "margin": _by_margin,
    "coverage": _by_coverage,
    "typiclust": _by_type,
    "badge": _by_badge,
    "hybrid": _by_both,
}
"""Name -> strategy. `coverage` is the farthest-first core set, `hybrid` TypiClust at first and
clustered margin afterwards: what `python -m benchmarks.active_learning` found best on held-out
voices."""


def _follow(
    chosen: list[Candidate],
    waiting: list[Candidate],
    value: Callable[[Candidate], float],
    *,
    name: str,
) -> list[Ranked]:
    """The chosen, then all others by value; ties stay in hash order."""
    taken = {c.utterance_id for c in chosen}
    others = sorted((c for c in waiting if c.utterance_id not in taken), key=value, reverse=True)
    word = "entropy" if name == "entropy" else "doubt"
    ranked = []
    for c in [*chosen, *others]:
        why = (
            f"{word} {value(c):.2f}"
            if c.guessed
            else "the model abstains"
            if c.predicted
            else "no prediction"
        )
        ranked.append(Ranked(candidate=c, reason=f"{name}: {why}"))
    return ranked


def _embed(
    pool: list[Candidate], heard: Sequence[Candidate], *, name: str, seed: int
) -> tuple[list[Candidate], Floats, Floats]:
    """Candidates beside their vectors and those of what was heard, in one space of at most
    MAX_DIMENSIONS."""
    known = sorted(heard, key=lambda c: draw(c.utterance_id, seed=seed))[:MAX_HEARD]
    vectors = []
    for candidate in [*known, *pool]:
        if candidate.embedding is None:
            raise ConfigError(
                f"strategy {name!r} needs an embedding of utterance {candidate.utterance_id}; compute it or use 'margin'"
            )
        vectors.append(candidate.embedding)
    if len({vector.shape for vector in vectors}) > 1:
        raise ConfigError(
            f"strategy {name!r} got embeddings of different encoders: shapes {sorted({v.shape for v in vectors})}"
        )
    stacked = np.stack(vectors).astype(np.float64)
    if stacked.shape[1] > MAX_DIMENSIONS:
        stacked = compact_embeddings(stacked, seed=seed).astype(np.float64)
    return pool, stacked[len(known) :], stacked[: len(known)]


def _probabilities(pool: Sequence[Candidate], scheme: str) -> Floats:
    """(num_clips, num_labels); even where a candidate has no prediction."""
    labels = sorted({label for c in pool for label in c.distributions.get(scheme) or ()})
    even = dict.fromkeys(labels, 1 / len(labels))
    rows = [c.distributions.get(scheme) or even for c in pool]
    return np.array([[row.get(label, 0.0) for label in labels] for row in rows])


def _need_predictions(waiting: Sequence[Candidate], name: str) -> None:
    if not any(c.predicted for c in waiting):
        raise ConfigError(
            f"strategy {name!r} needs predictions and there are none; pre-label first, or use 'hybrid' or 'typiclust'"
        )
