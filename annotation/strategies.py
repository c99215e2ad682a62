"""Orders in which candidates may be heard: by chance, by doubt, by variety, or by both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

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
"""`hybrid` spreads over the embeddings until this many clips per label were heard, then follows the
model's doubt."""


class Select(Protocol):
    """Chooses `count` rows of embeddings beside those that were heard before."""

    def __call__(self, embeddings: Floats, heard: Floats, /, *, count: int, seed: int) -> list[int]:
        """Rows of `embeddings`, in the order of choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A candidate's place by one strategy, and why it has it."""

    candidate: Candidate
    reason: str

    @property
    def utterance_id(self) -> str:
        """The candidate's."""
        return self.candidate.utterance_id


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
    if not candidates:
        return []
    task = _Task(
        waiting=_shuffle(candidates, seed=seed),
        heard=heard,
        count=count,
        seed=seed,
    )
    return STRATEGIES[strategy](task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What a strategy brings into order.

    Attributes:
        waiting: At least one candidate, in the random order of the seed.
        heard: What was heard before, in any order.
        count: How many are to be chosen.
    """

    waiting: Sequence[Candidate]
    heard: Sequence[Candidate]
    count: int
    seed: int

    def most_doubtful(self) -> Sequence[Candidate]:
        """At most MAX_POOL of those waiting, the most doubtful first."""
        return sorted(self.waiting, key=doubt, reverse=True)[:MAX_POOL]


def _shuffle(candidates: Sequence[Candidate], *, seed: int) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: draw(candidate.utterance_id, seed=seed))


def _by_chance(task: _Task) -> list[Ranked]:
    return [Ranked(candidate=candidate, reason="random") for candidate in task.waiting]


def _by_margin(task: _Task) -> list[Ranked]:
    _need_predictions(task.waiting, "margin")
    return _follow([], task.waiting, doubt, name="margin")


def _by_entropy(task: _Task) -> list[Ranked]:
    _need_predictions(task.waiting, "entropy")
    return _follow([], task.waiting, entropy, name="entropy")


def _by_coverage(task: _Task) -> list[Ranked]:
    return _by_place(task, select_core_set, name="coverage")


def _by_type(task: _Task) -> list[Ranked]:
    return _by_place(task, select_typical, name="typiclust")


def _by_place(task: _Task, select: Select, *, name: str) -> list[Ranked]:
    """What a selection chooses by where embeddings lie; the rest follows by doubt."""
    pool = task.waiting[:MAX_POOL]
    space = _embed(pool, task.heard, name=name, seed=task.seed)
    rows = select(space.waiting, space.heard, count=task.count, seed=task.seed)
    chosen = [pool[row] for row in rows]
    return _follow(chosen, task.waiting, doubt, name=name)


def _by_badge(task: _Task) -> list[Ranked]:
    """The schemes take turns: the first clip of each, then the second of each, and so on."""
    _need_predictions(task.waiting, "badge")
    pool = task.most_doubtful()
    space = _embed(
        pool,
        (),
        name="badge",
        seed=task.seed,
    )
    selections = []
    for scheme in _predicted_schemes(pool):
        probabilities = _probabilities(pool, scheme)
        rows = select_badge(
            space.waiting,
            probabilities,
            count=task.count,
            seed=task.seed,
        )
        selections.append(rows)

    turns = chain.from_iterable(zip(*selections, strict=True))
    distinct = list(dict.fromkeys(turns))
    chosen = [pool[row] for row in distinct[: task.count]]
    return _follow(chosen, task.waiting, doubt, name="badge")


def _by_both(task: _Task) -> list[Ranked]:
    """Spread first, doubt within clusters later; when the input for one is missing, the other."""
    predicted = any(candidate.predicted for candidate in task.waiting)
    embedded = all(candidate.embedding is not None for candidate in task.waiting)
    enough_heard = COLD_START_PER_LABEL * _most_labels(task.waiting)
    if embedded and (not predicted or len(task.heard) < enough_heard):
        embedded_heard = [clip for clip in task.heard if clip.embedding is not None]
        return _by_type(replace(task, heard=embedded_heard))
    if not predicted:
        return _by_chance(task)
    if not embedded:
        return _by_margin(task)

    pool = task.most_doubtful()
    space = _embed(
        pool,
        (),
        name="hybrid",
        seed=task.seed,
    )
    doubts = np.array([doubt(candidate) for candidate in pool])
    rows = select_diverse(
        space.waiting,
        doubts,
        count=task.count,
        seed=task.seed,
    )
    return _follow(
        [pool[row] for row in rows],
        task.waiting,
        doubt,
        name="hybrid",
    )


Strategy = Callable[[_Task], list[Ranked]]
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
    chosen: Sequence[Candidate],
    waiting: Sequence[Candidate],
    value: Callable[[Candidate], float],
    *,
    name: str,
) -> list[Ranked]:
    """The chosen, then all others by value; ties stay in hash order."""
    chosen_ids = {candidate.utterance_id for candidate in chosen}
    others = [candidate for candidate in waiting if candidate.utterance_id not in chosen_ids]
    others.sort(key=value, reverse=True)

    measure = "entropy" if name == "entropy" else "doubt"
    ranked = []
    for candidate in [*chosen, *others]:
        if candidate.guessed:
            why = f"{measure} {value(candidate):.2f}"
        elif candidate.predicted:
            why = "the model abstains"
        else:
            why = "no prediction"
        ranked.append(
            Ranked(
                candidate=candidate,
                reason=f"{name}: {why}",
            )
        )
    return ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """Vectors of one space, of at most MAX_DIMENSIONS.

    Attributes:
        waiting: (num_candidates, dim).
        heard: (num_heard, dim), at most MAX_HEARD.
    """

    waiting: Floats
    heard: Floats


def _embed(
    pool: Sequence[Candidate],
    heard: Sequence[Candidate],
    *,
    name: str,
    seed: int,
) -> _Space:
    """Put candidates and what was heard into one space.

    Raises:
        ConfigError: An embedding is missing, or they are of different encoders.
    """
    heard_pool = _shuffle(heard, seed=seed)[:MAX_HEARD]
    vectors = []
    for candidate in [*heard_pool, *pool]:
        if candidate.embedding is None:
            raise ConfigError(
                f"strategy {name!r} needs an embedding of utterance {candidate.utterance_id}; "
                "compute it or use 'margin'"
            )
        vectors.append(candidate.embedding)
    shapes = {vector.shape for vector in vectors}
    if len(shapes) > 1:
        raise ConfigError(
            f"strategy {name!r} got embeddings of different encoders: shapes {sorted(shapes)}"
        )

    stacked = np.stack(vectors).astype(np.float64)
    if stacked.shape[1] > MAX_DIMENSIONS:
        stacked = compact_embeddings(stacked, seed=seed).astype(np.float64)
    num_heard = len(heard_pool)
    return _Space(waiting=stacked[num_heard:], heard=stacked[:num_heard])


def _predicted_schemes(pool: Sequence[Candidate]) -> list[str]:
    """Schemes of which a model has said anything, in alphabetical order."""
    schemes: set[str] = set()
    for candidate in pool:
        for scheme, distribution in candidate.distributions.items():
            if distribution:
                schemes.add(scheme)
    return sorted(schemes)


def _most_labels(candidates: Sequence[Candidate]) -> int:
    """How many labels the longest prediction names; 0 when there is none."""
    most = 0
    for candidate in candidates:
        for distribution in candidate.distributions.values():
            most = max(most, len(distribution))
    return most


def _probabilities(pool: Sequence[Candidate], scheme: str) -> Floats:
    """(num_clips, num_labels); even where a candidate has no prediction."""
    named: set[str] = set()
    for candidate in pool:
        named.update(candidate.distributions.get(scheme) or ())
    labels = sorted(named)

    even = dict.fromkeys(labels, 1 / len(labels))
    rows = []
    for candidate in pool:
        distribution = candidate.distributions.get(scheme) or even
        rows.append([distribution.get(label, 0.0) for label in labels])
    return np.array(rows)


def _need_predictions(waiting: Sequence[Candidate], name: str) -> None:
    if not any(candidate.predicted for candidate in waiting):
        raise ConfigError(
            f"strategy {name!r} needs predictions and there are none; "
            "pre-label first, or use 'hybrid' or 'typiclust'"
        )
