"""Splits that share no voice and no recording, keep every label's share, and never move an old
example.

A group is what a split may not divide: a connected component of voices, recordings, calls and
near-duplicates. Groups that were placed before stay; new ones go where the shares of all examples
and of every label come closest to the wanted ratios. The measure is chi-square-like: for each
label, the sum over splits of (share - ratio)² / ratio, labels seen less than ten times weighing
less. A language is counted like a label, so that splits are stratified by it too.

Two voices once in different splits may turn out to share a recording, or to be one person. Their
group then touches two splits and no assignment can be right for both pasts: `place_groups` reports
it, and places it where a model already trained cannot be tested on what it has seen (train before
validation before test).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from voxdata.dataset import Split
from voxdata.identity import digest

if TYPE_CHECKING:
    import polars as pl

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
Places = npt.NDArray[np.intp]
"""(num_new,): the number of the split that each new group is in."""


def group_voices(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join voices that share something, directly or through others.

    Args:
        pairs: (what may not be divided, such as a recording, a call or a set of copies; voice), in
            any order, repeats allowed.

    Returns:
        Voice -> group id, a digest of the group's first voice in alphabetical order.
    """
    import polars as pl

    schema = {"shared": pl.String, "voice": pl.String}
    ties = pl.DataFrame(
        list(pairs),
        schema=schema,
        orient="row",
    )
    groups = group_ties(ties)
    return dict(groups.iter_rows())


def group_ties(ties: pl.DataFrame) -> pl.DataFrame:
    """The same for a frame with the columns shared and voice, of any number of rows.

    Returns:
        The columns voice, sorted, and group.
    """
    import polars as pl
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    # The nodes of the graph are first the voices, then what they share.
    voices = ties.select("voice").unique().sort("voice")
    if voices.is_empty():
        return pl.DataFrame(schema={"voice": pl.String, "group": pl.String})
    voices = voices.with_row_index("place")
    num_voices = len(voices)
    shared = ties.select("shared").unique()
    shared = shared.with_row_index("shared_place", offset=num_voices)
    num_nodes = num_voices + len(shared)

    edges = ties.join(voices, on="voice").join(shared, on="shared")
    starts = edges["place"].to_numpy()
    stops = edges["shared_place"].to_numpy()
    ones = np.ones(len(edges), dtype=np.int8)
    graph = coo_array((ones, (starts, stops)), shape=(num_nodes, num_nodes))
    _, component = connected_components(graph, directed=False)

    of_voices = pl.Series(component[:num_voices])
    voices = voices.select("voice", component=of_voices)
    first_voice = pl.col("voice").min().alias("first")
    first = voices.group_by("component").agg(first_voice)
    group_ids = [digest("group", name) for name in first["first"]]
    groups = pl.Series(group_ids, dtype=pl.String)
    named = first.select("component", group=groups)
    grouped = voices.join(named, on="component", maintain_order="left")
    return grouped.select("voice", "group")


def place_groups(groups: pl.DataFrame, fixed: pl.DataFrame) -> pl.DataFrame:
    """Where groups must stay since a voice of them was placed before.

    Args:
        groups: Columns voice and group.
        fixed: Columns name, of voices, each once, and split: where it was put first.

    Returns:
        Columns group; split, for one in conflict the first of train, validation and test that it
        touches; and torn, whether its voices were placed in different splits. Groups without a
        voice that was placed are left out. Sorted by group.
    """
    import polars as pl

    names = dict(enumerate(split.value for split in Split))
    order = {name: place for place, name in names.items()}
    place = pl.col("split").replace_strict(order, return_dtype=pl.Int8)
    touched = groups.join(fixed, left_on="voice", right_on="name")
    touched = touched.with_columns(place=place)
    bounds = touched.group_by("group").agg(
        first=pl.col("place").min(),
        last=pl.col("place").max(),
    )
    first = pl.col("first")
    return bounds.select(
        "group",
        split=first.replace_strict(names, return_dtype=pl.String),
        torn=first != pl.col("last"),
    ).sort("group")


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
    wanted_ratios = ratios.values()
    if any(ratio < 0 for ratio in wanted_ratios) or not any(wanted_ratios):
        raise ValueError(f"split ratios must be positive or 0, and not all 0: {dict(ratios)}")
    placed = {group: fixed[group] for group in sorted(groups) if group in fixed}
    new_groups = [group for group in groups if group not in fixed]
    new_groups.sort(key=lambda group: (digest(seed, group), group))
    if not new_groups:
        return placed

    all_labels = set[str]().union(*groups.values())
    labels = sorted(all_labels)
    splits = [split for split in Split if ratios.get(split, 0) > 0]
    split_ratios = [ratios[split] for split in splits]
    wanted = np.array(split_ratios) / sum(split_ratios)

    num_columns = len(labels) + 1
    start = np.zeros((len(splits), num_columns))
    for group, split in placed.items():
        if split in splits:
            row = splits.index(split)
            start[row] += _vector(groups[group], labels)

    rows = [_vector(groups[group], labels) for group in new_groups]
    vectors = np.array(rows)
    places = _place(
        vectors,
        start,
        wanted,
        seed=seed,
    )
    chosen = [splits[place] for place in places]
    added = dict(zip(new_groups, chosen, strict=True))
    return placed | added


def _vector(counts: Counter[str], labels: list[str]) -> Floats:
    """(num_labels + 1,): how often each label occurs; last the size of the group, at least 1."""
    occurrences = [counts[label] for label in labels]
    size = max(counts.total(), 1)
    return np.array([*occurrences, size], dtype=np.float64)


def _place(
    vectors: Floats,
    start: Floats,
    wanted: Floats,
    *,
    seed: int,
) -> list[int]:
    """The split of each new group: greedy in the order given, then local search.

    For small corpora also from several other orders, keeping the best.
    """
    measure = _Measure(vectors, start, wanted)
    given_order = range(len(vectors))
    best = measure.search(measure.greedy(given_order))
    restarts = RESTARTS if len(vectors) <= MAX_RESTARTED else 1
    for restart in range(restarts):
        order = _shuffled(len(vectors), f"{seed}/{restart}")
        if restart == 0:
            order.sort(key=lambda i: -vectors[i, -1])
        assigned = measure.search(measure.greedy(order))
        if measure.cost(assigned) < measure.cost(best) - 1e-9:
            best = assigned
    return [int(place) for place in best]


def _shuffled(count: int, salt: str) -> list[int]:
    """The numbers below `count`, in the order of their digests."""
    digests = [hashlib.sha256(f"{salt}/{i}".encode()).digest() for i in range(count)]
    return sorted(range(count), key=digests.__getitem__)


class _Move(NamedTuple):
    """A group, by its row, and the split it goes to, by its number."""

    group: int
    split: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Moves that lower the cost.

    Attributes:
        held: (num_splits, num_columns) what splits hold after them.
        cost: The cost after them.
    """

    moves: list[_Move]
    held: Floats
    cost: float


class _Measure:
    """How far an assignment of the new groups is from the wanted shares.

    Args:
        vectors: (num_new, num_columns) occurrences in each new group; the last column is the size.
        start: (num_splits, num_columns) what fixed groups hold.
        wanted: (num_splits,) adding up to 1.
    """

    def __init__(self, vectors: Floats, start: Floats, wanted: Floats) -> None:
        self.vectors = vectors
        self.start = start
        self.totals = start.sum(axis=0) + vectors.sum(axis=0)
        self.scale = np.maximum(self.totals, 1.0)
        self.wanted = wanted[:, None]

        # A rare label cannot be divided well and weighs less; the size weighs as much as all labels
        # together.
        self.weight = np.minimum(self.totals / RELIABLE_COUNT, 1.0)
        weight_of_labels = float(self.weight[:-1].sum())
        self.weight[-1] = max(weight_of_labels, 1.0)

        new_groups_with = (vectors > 0).sum(axis=0)
        fixed_groups_with = (start > 0).sum(axis=0)
        is_common = new_groups_with + fixed_groups_with >= len(wanted)
        self.missing = np.where(is_common, MISSING_PENALTY, 0.0)
        self.missing[-1] = EMPTY_PENALTY

        self.shares = vectors / self.scale
        self.weighted = self.shares * self.weight
        products = self.weighted * self.shares
        self.squares = products.sum(axis=1)

    def held(self, assigned: Places) -> Floats:
        """(num_splits, num_columns) under an assignment."""
        held = self.start.copy()
        np.add.at(held, assigned, self.vectors)
        return held

    def of(self, held: Floats) -> Floats:
        """Cost of what splits hold: (..., num_splits, num_columns) -> (...)."""
        error = held / self.scale - self.wanted
        off = error**2 / self.wanted * self.weight
        penalty = (held < 0.5) * self.missing
        cost = (off + penalty).sum(axis=(-1, -2))
        return np.asarray(cost)

    def cost(self, assigned: Places) -> float:
        """Cost of an assignment."""
        held = self.held(assigned)
        return float(self.of(held))

    def greedy(self, order: Iterable[int]) -> Places:
        """One group after the other to where it costs least."""
        held = self.start.copy()
        num_splits = len(self.wanted)
        diagonal = np.arange(num_splits)
        assigned = np.zeros(len(self.vectors), dtype=np.intp)
        for i in order:
            # In trial k the group is added to split k.
            trials = np.repeat(held[None], num_splits, axis=0)
            trials[diagonal, diagonal] += self.vectors[i]
            costs = np.round(self.of(trials), 12)
            cheapest = int(np.argmin(costs))
            assigned[i] = cheapest
            held[cheapest] += self.vectors[i]
        return assigned

    def search(self, assigned: Places) -> Places:
        """Move a group, or swap two, as long as that lowers the cost.

        What a step changes is known without trying it: the cost is a sum of squares, so a move
        costs a product with the present error. The likeliest steps are then tried, since labels
        that go missing are not in that sum.
        """
        assigned = assigned.copy()
        held = self.held(assigned)
        cost = float(self.of(held))
        for _ in range(MAX_STEPS):
            changes = self._changes(assigned, held)
            moves = self._best_moves(changes)
            step = self._try(moves, assigned, held, cost)
            if step is None and len(assigned) <= MAX_SWAPPED:
                swaps = self._best_swaps(changes, assigned)
                step = self._try(swaps, assigned, held, cost)
            if step is None:
                break
            for move in step.moves:
                assigned[move.group] = move.split
            held = step.held
            cost = step.cost
        return assigned

    def _changes(self, assigned: Places, held: Floats) -> Floats:
        """(num_new, num_splits): by how much moving each group to each split changes the cost.

        Where it is, nothing.
        """
        ratios = self.wanted[:, 0]
        rows = np.arange(len(assigned))
        error = held / self.scale - self.wanted
        products = self.weighted @ error.T

        arriving = (2 * products + self.squares[:, None]) / ratios
        arriving -= self._gains(held)
        own_products = products[rows, assigned]
        leaving = (self.squares - 2 * own_products) / ratios[assigned]
        leaving += self._losses(assigned, held)

        changes: Floats = arriving + leaving[:, None]
        changes[rows, assigned] = 0.0
        return changes

    def _gains(self, held: Floats) -> Floats:
        """(num_new, num_splits): penalty that ends when a group brings a split what it lacks."""
        brought = (self.vectors > 0) * self.missing
        lacking = (held < 0.5).T.astype(np.float64)
        return np.asarray(brought @ lacking)

    def _losses(self, assigned: Places, held: Floats) -> Floats:
        """(num_new,): penalty that begins when a group takes the last of something with it."""
        losses = np.zeros(len(assigned))
        most_in_a_group = self.vectors.max(axis=0)
        for split in range(len(held)):
            rows = np.flatnonzero(assigned == split)
            present = held[split] >= 0.5
            takeable = held[split] <= most_in_a_group + 0.5
            is_wanted = self.missing > 0
            scarce = np.flatnonzero(is_wanted & present & takeable)
            if len(rows) and len(scarce):
                taken = self.vectors[np.ix_(rows, scarce)]
                emptied = held[split, scarce] - taken < 0.5
                losses[rows] = emptied @ self.missing[scarce]
        return losses

    def _best_moves(self, changes: Floats) -> list[list[_Move]]:
        """Moves that lower the cost most, each a step by itself."""
        num_splits = changes.shape[1]
        steps: list[list[_Move]] = []
        for place in _smallest(np.round(changes, 12)):
            if changes.flat[place] < -1e-9:
                group, split = divmod(place, num_splits)
                steps.append([_Move(group, split)])
        return steps

    def _best_swaps(
        self,
        changes: Floats,
        assigned: Places,
    ) -> list[list[_Move]]:
        """Exchanges of two groups that lower the cost most."""
        swaps: list[tuple[float, list[_Move]]] = []
        for a, b in combinations(range(len(self.wanted)), 2):
            in_a = np.flatnonzero(assigned == a)
            in_b = np.flatnonzero(assigned == b)
            if not len(in_a) or not len(in_b):
                continue
            # (len(in_a), len(in_b)): the change by both moves, and what they do to each other.
            ratio_a = self.wanted[a, 0]
            ratio_b = self.wanted[b, 0]
            slope = 2 * (1 / ratio_a + 1 / ratio_b)
            products = self.weighted[in_a] @ self.shares[in_b].T
            both = slope * products
            to_b = changes[in_a, b]
            to_a = changes[in_b, a]
            moved = to_b[:, None] + to_a[None]
            table = np.round(moved - both, 12)
            for place in _smallest(table):
                i, j = divmod(place, len(in_b))
                change = float(table[i, j])
                if change < -1e-9:
                    first = _Move(int(in_a[i]), b)
                    second = _Move(int(in_b[j]), a)
                    swaps.append((change, [first, second]))
        return [moves for _, moves in sorted(swaps)[:NUM_CANDIDATES]]

    def _try(
        self,
        steps: Iterable[list[_Move]],
        assigned: Places,
        held: Floats,
        cost: float,
    ) -> _Step | None:
        """The first of some steps that lowers the cost."""
        for moves in steps:
            trial = held.copy()
            for move in moves:
                vector = self.vectors[move.group]
                trial[assigned[move.group]] -= vector
                trial[move.split] += vector
            trial_cost = float(self.of(trial))
            if trial_cost < cost - 1e-9:
                return _Step(
                    moves=moves,
                    held=trial,
                    cost=trial_cost,
                )
        return None


def _smallest(table: Floats) -> list[int]:
    """Places of the smallest values of a table, flattened; among equals the first places."""
    flat = table.ravel()
    count = min(NUM_CANDIDATES, flat.size)
    partitioned = np.partition(flat, count - 1)
    bound = partitioned[count - 1]
    places = np.flatnonzero(flat <= bound)
    order = np.argsort(flat[places], kind="stable")
    smallest: list[int] = places[order][:count].tolist()
    return smallest
