"""Splits that share no voice and no recording, keep every label's share, and never move an old
example.

A group is what a split may not divide: a connected component of voices, recordings, calls and
near-duplicates. Groups that were placed before stay; new ones go where the shares of all examples
and of every label come closest to the wanted ratios. The measure is chi-square-like: for each
label, the sum over splits of (share - ratio)² / ratio, labels seen less than ten times weighing
less. A language is counted like a label, so that splits are stratified by it too.

Two voices once in different splits may turn out to share a recording, or to be one person. Their
group then touches two splits and no assignment can be right for both pasts: `find_conflicts`
reports it, and `fix_groups` places it where a model already trained cannot be tested on what it has
seen (train before validation before test).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from voxdata.dataset import Split
from voxdata.identity import digest

MISSING_PENALTY = 1.0
EMPTY_PENALTY = 1_000.0
RELIABLE_COUNT = 10.0
"""Occurrences from which on a label counts in full."""

MAX_RESTARTED = 1_000
MAX_SWAPPED = 4_000
MAX_STEPS = 600
NUM_CANDIDATES = 8
RESTARTS = 30

Floats = npt.NDArray[np.float64]


def group_voices(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join voices that share something, directly or through others.

    Args:
        pairs: (what may not be divided, such as a recording, a call or a set of copies; voice), in
            any order, repeats allowed.

    Returns:
        Voice -> group id, a digest of the group's first voice in alphabetical order.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    voices = set()
    for shared, voice in pairs:
        voices.add(voice)
        parent[root(("shared", shared))] = root(("voice", voice))
    members: dict[tuple[str, str], list[str]] = defaultdict(list)
    for voice in sorted(voices):
        members[root(("voice", voice))].append(voice)
    return {voice: digest("group", group[0]) for group in members.values() for voice in group}


def find_conflicts(
    groups: Mapping[str, str], assigned: Mapping[str, Split]
) -> dict[str, dict[Split, tuple[str, ...]]]:
    """Groups whose voices were placed in different splits before.

    Args:
        groups: Voice -> group.
        assigned: Voice -> the split it was put into first.

    Returns:
        Group -> split -> its voices there; only groups that touch two splits or more.
    """
    touched: dict[str, dict[Split, list[str]]] = defaultdict(lambda: defaultdict(list))
    for voice, group in sorted(groups.items()):
        if voice in assigned:
            touched[group][assigned[voice]].append(voice)
    return {
        group: {split: tuple(there) for split, there in by.items()}
        for group, by in sorted(touched.items())
        if len(by) > 1
    }


def fix_groups(groups: Mapping[str, str], assigned: Mapping[str, Split]) -> dict[str, Split]:
    """Where groups with voices placed before must stay.

    Args:
        groups: Voice -> group.
        assigned: Voice -> the split it was put into first.

    Returns:
        Group -> split, for groups with a voice placed before. One in conflict goes to the first of
        train, validation, test it touches.
    """
    order = list(Split)
    fixed: dict[str, Split] = {}
    for voice, group in sorted(groups.items()):
        if voice in assigned:
            fixed[group] = min(fixed.get(group, assigned[voice]), assigned[voice], key=order.index)
    return fixed


def assign_splits(
    groups: Mapping[str, Counter[str]],
    *,
    fixed: Mapping[str, Split],
    ratios: Mapping[Split, float],
    seed: int,
) -> dict[str, Split]:
    """Give every group a split.

    Args:
        groups: Group -> how often each label occurs in it, such as {"intent=question": 3}.
        fixed: Group -> the split it stays in; groups that are not in `groups` are ignored.
        ratios: Wanted share of each split; they need not add up to 1. A split left out or at 0 gets
            no new group.
        seed: Decides among equals.

    Returns:
        Group -> split for all of `groups`, whatever their order. With at least as many groups as
        wanted splits none is empty, unless fixed groups leave too few free.

    Raises:
        ValueError: A ratio is negative, or none is positive.
    """
    if any(ratio < 0 for ratio in ratios.values()) or not any(ratios.values()):
        raise ValueError(f"split ratios must be positive or 0, and not all 0: {dict(ratios)}")
    splits = [split for split in Split if ratios.get(split, 0) > 0]
    placed = {group: fixed[group] for group in sorted(groups) if group in fixed}
    new = sorted(
        (group for group in groups if group not in fixed),
        key=lambda group: (digest(seed, group), group),
    )
    if not new:
        return placed
    labels = sorted({label for counts in groups.values() for label in counts})
    wanted = np.array([ratios[split] for split in splits]) / sum(ratios[split] for split in splits)
    start = np.zeros((len(splits), len(labels) + 1))
    for group, split in placed.items():
        if split in splits:
            start[splits.index(split)] += _vector(groups[group], labels)
    vectors = np.array([_vector(groups[group], labels) for group in new])
    chosen = _place(vectors, start, wanted, seed=seed)
    return placed | {group: splits[at] for group, at in zip(new, chosen, strict=True)}


def _vector(counts: Counter[str], labels: list[str]) -> Floats:
    """(num_labels + 1,): how often each label occurs, and the size of the group (at least 1) last."""
    return np.array(
        [*(counts[label] for label in labels), max(counts.total(), 1)], dtype=np.float64
    )


def _place(vectors: Floats, start: Floats, wanted: Floats, *, seed: int) -> list[int]:
    """Greedy in the order given, then local search.

    For small corpora also from several other orders, keeping the best.
    """
    measure = _Measure(vectors, start, wanted)
    best = measure.search(measure.greedy(range(len(vectors))))
    for restart in range(RESTARTS if len(vectors) <= MAX_RESTARTED else 1):
        keys = [
            hashlib.sha256(f"{seed}/{restart}/{i}".encode()).digest() for i in range(len(vectors))
        ]
        size_first = restart == 0
        order = sorted(
            range(len(vectors)), key=lambda i: (-vectors[i, -1] if size_first else 0.0, keys[i])
        )
        found = measure.search(measure.greedy(order))
        if measure.cost(found) < measure.cost(best) - 1e-9:
            best = found
    return [int(at) for at in best]


class _Measure:
    """How far an assignment of the new groups is from the wanted shares.

    Args:
        vectors: (num_new, num_columns) occurrences in each new group; the last column is the size.
        start: (num_splits, num_columns) what fixed groups hold.
        wanted: (num_splits,) adding up to 1.
    """

    def __init__(self, vectors: Floats, start: Floats, wanted: Floats) -> None:
        self.vectors, self.start = vectors, start
        self.totals = start.sum(axis=0) + vectors.sum(axis=0)
        self.scale = np.maximum(self.totals, 1.0)
        self.wanted = wanted[:, None]
        groups_with = (vectors > 0).sum(axis=0) + (start > 0).sum(axis=0)
        columns = vectors.shape[1]
        # A rare label cannot be divided well and weighs less; the size weighs as much as all labels
        # together.
        self.weight = np.minimum(self.totals / RELIABLE_COUNT, 1.0)
        self.weight[-1] = max(float(self.weight[:-1].sum()), 1.0) if columns > 1 else 1.0
        self.missing = np.where(groups_with >= len(wanted), MISSING_PENALTY, 0.0)
        self.missing[-1] = EMPTY_PENALTY
        self.shares = vectors / self.scale
        self.weighted = self.shares * self.weight
        self.squares = (self.weighted * self.shares).sum(axis=1)

    def held(self, assigned: npt.NDArray[np.intp]) -> Floats:
        """(num_splits, num_columns) under an assignment."""
        held = self.start.copy()
        np.add.at(held, assigned, self.vectors)
        return held

    def of(self, held: Floats) -> Floats:
        """Cost of what splits hold: (..., num_splits, num_columns) -> (...)."""
        off = (held / self.scale - self.wanted) ** 2 / self.wanted * self.weight
        return np.asarray((off + (held < 0.5) * self.missing).sum(axis=(-1, -2)))

    def cost(self, assigned: npt.NDArray[np.intp]) -> float:
        """Cost of an assignment."""
        return float(self.of(self.held(assigned)))

    def greedy(self, order: Iterable[int]) -> npt.NDArray[np.intp]:
        """One group after the other to where it costs least."""
        held, num_splits = self.start.copy(), len(self.wanted)
        assigned = np.zeros(len(self.vectors), dtype=np.intp)
        for i in order:
            trial = np.repeat(held[None], num_splits, axis=0)
            trial[np.arange(num_splits), np.arange(num_splits)] += self.vectors[i]
            at = int(np.argmin(np.round(self.of(trial), 12)))
            assigned[i] = at
            held[at] += self.vectors[i]
        return assigned

    def search(self, assigned: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Move a group, or swap two, as long as that lowers the cost.

        What a step changes is known without trying it: the cost is a sum of squares, so a move
        costs a product with the present error. The likeliest steps are then tried, since labels
        that go missing are not in that sum.
        """
        assigned = assigned.copy()
        held = self.held(assigned)
        now = float(self.of(held))
        for _ in range(MAX_STEPS):
            changes = self._changes(assigned, held)
            step = self._try(self._best_moves(changes), assigned, held, now)
            if step is None and len(assigned) <= MAX_SWAPPED:
                step = self._try(self._best_swaps(changes, assigned), assigned, held, now)
            if step is None:
                break
            moves, held, now = step
            for i, to in moves:
                assigned[i] = to
        return assigned

    def _changes(self, assigned: npt.NDArray[np.intp], held: Floats) -> Floats:
        """(num_new, num_splits): by how much moving each group to each split changes the cost.

        Where it is, nothing.
        """
        ratios = self.wanted[:, 0]
        products = self.weighted @ (held / self.scale - self.wanted).T
        arriving = (2 * products + self.squares[:, None]) / ratios - self._gains(held)
        rows = np.arange(len(assigned))
        leaving = (self.squares - 2 * products[rows, assigned]) / ratios[assigned] + self._losses(
            assigned, held
        )
        changes: Floats = arriving + leaving[:, None]
        changes[rows, assigned] = 0.0
        return changes

    def _gains(self, held: Floats) -> Floats:
        """(num_new, num_splits): penalty that ends when a group brings a split what it lacks."""
        return np.asarray(((self.vectors > 0) * self.missing) @ (held < 0.5).T.astype(np.float64))

    def _losses(self, assigned: npt.NDArray[np.intp], held: Floats) -> Floats:
        """(num_new,): penalty that begins when a group takes the last of something with it."""
        losses = np.zeros(len(assigned))
        for split in range(len(held)):
            rows = np.flatnonzero(assigned == split)
            scarce = np.flatnonzero(
                (self.missing > 0)
                & (held[split] >= 0.5)
                & (held[split] <= self.vectors.max(axis=0) + 0.5)
            )
            if len(rows) and len(scarce):
                losses[rows] = (
                    held[split, scarce] - self.vectors[np.ix_(rows, scarce)] < 0.5
                ) @ self.missing[scarce]
        return losses

    def _best_moves(self, changes: Floats) -> list[list[tuple[int, int]]]:
        found = _smallest(np.round(changes, 12))
        return [
            [(int(at) // changes.shape[1], int(at) % changes.shape[1])]
            for at in found
            if changes.flat[at] < -1e-9
        ]

    def _best_swaps(
        self, changes: Floats, assigned: npt.NDArray[np.intp]
    ) -> list[list[tuple[int, int]]]:
        found: list[tuple[float, list[tuple[int, int]]]] = []
        for a in range(len(self.wanted)):
            for b in range(a + 1, len(self.wanted)):
                here, there = np.flatnonzero(assigned == a), np.flatnonzero(assigned == b)
                if not len(here) or not len(there):
                    continue
                both = (
                    2
                    * (1 / self.wanted[a, 0] + 1 / self.wanted[b, 0])
                    * (self.weighted[here] @ self.shares[there].T)
                )
                table = np.round(changes[here, b][:, None] + changes[there, a][None] - both, 12)
                for at in _smallest(table):
                    i, j = divmod(int(at), len(there))
                    if table[i, j] < -1e-9:
                        found.append((float(table[i, j]), [(int(here[i]), b), (int(there[j]), a)]))
        return [moves for _, moves in sorted(found)[:NUM_CANDIDATES]]

    def _try(
        self,
        steps: Iterable[list[tuple[int, int]]],
        assigned: npt.NDArray[np.intp],
        held: Floats,
        now: float,
    ) -> tuple[list[tuple[int, int]], Floats, float] | None:
        """The first of some steps that lowers the cost, with what splits hold then and its cost."""
        for moves in steps:
            trial = held.copy()
            for i, to in moves:
                trial[assigned[i]] -= self.vectors[i]
                trial[to] += self.vectors[i]
            cost = float(self.of(trial))
            if cost < now - 1e-9:
                return moves, trial, cost
        return None


def _smallest(table: Floats) -> list[int]:
    """Places of the smallest values of a table, flattened; among equals the first places."""
    flat = table.ravel()
    count = min(NUM_CANDIDATES, flat.size)
    bound = np.partition(flat, count - 1)[count - 1]
    places = np.flatnonzero(flat <= bound)
    return [int(at) for at in places[np.argsort(flat[places], kind="stable")][:count]]
