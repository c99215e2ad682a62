from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.dataset import Split
from voxdata.split import _Measure, assign_splits, group_voices, place_groups

RATIOS = {Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}

pairs = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("stuvwxyz")), max_size=12)
tallies = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["q", "s", "问"]), st.integers(1, 9), max_size=3).map(Counter),
    max_size=14,
)


@given(pairs, st.randoms())
def test_group_voices_divides_no_recording_and_ignores_order(
    found: list[tuple[str, str]], rng: random.Random
) -> None:
    groups = group_voices(found)
    of_recording: dict[str, set[str]] = {}
    for recording_id, voice in found:
        of_recording.setdefault(recording_id, set()).add(groups[voice])
    assert all(len(there) == 1 for there in of_recording.values())
    shuffled = rng.sample(found, len(found))
    assert group_voices(shuffled) == groups


def test_group_voices_joins_only_what_is_linked() -> None:
    groups = group_voices(
        [("r1", "a"), ("r1", "b"), ("r2", "b"), ("r2", "c"), ("r3", "d"), ("b", "e")]
    )
    assert groups["a"] == groups["b"] == groups["c"]
    assert len(set(groups.values())) == 3


@settings(deadline=None, max_examples=60)
@given(
    tallies,
    st.randoms(),
    st.integers(0, 3),
)
def test_assign_splits_ignores_order_and_leaves_no_split_empty(
    groups: dict[str, Counter[str]],
    rng: random.Random,
    seed: int,
) -> None:
    splits = assign_splits(
        groups,
        fixed={},
        ratios=RATIOS,
        seed=seed,
    )
    assert splits.keys() == groups.keys()
    if len(groups) >= 3:
        assert set(splits.values()) == set(Split)
    names = rng.sample(sorted(groups), len(groups))
    assert (
        assign_splits({name: groups[name] for name in names}, fixed={}, ratios=RATIOS, seed=seed)
        == splits
    )


@settings(deadline=None, max_examples=60)
@given(tallies, tallies)
def test_assign_splits_never_moves_what_was_placed(
    old: dict[str, Counter[str]], new: dict[str, Counter[str]]
) -> None:
    before = assign_splits(
        old,
        fixed={},
        ratios=RATIOS,
        seed=1,
    )
    after = assign_splits(
        {**new, **old},
        fixed=before,
        ratios=RATIOS,
        seed=2,
    )
    assert {group: after[group] for group in old} == before


@pytest.mark.parametrize(
    ("num_groups", "worst"),
    [(20, 0.04), (200, 0.01), (2000, 0.01)],
)
def test_assign_splits_keeps_the_share_of_every_label(num_groups: int, worst: float) -> None:
    rng = random.Random(0)
    groups = {
        f"g{i}": Counter(
            {"q": rng.randint(1, 9), "s": rng.randint(1, 9), "rare": rng.randint(0, 1)}
        )
        for i in range(num_groups)
    }
    splits = assign_splits(
        groups,
        fixed={},
        ratios=RATIOS,
        seed=0,
    )
    for label in ("q", "s", "rare"):
        total = sum(counts[label] for counts in groups.values())
        for split, ratio in RATIOS.items():
            members = [counts for group, counts in groups.items() if splits[group] is split]
            share = sum(counts[label] for counts in members) / total
            allowed = max(worst, 1.5 / total) if label == "rare" else worst
            assert abs(share - ratio) <= allowed


def worst_deviation(groups: dict[str, Counter[str]], splits: dict[str, Split]) -> float:
    total: Counter[str] = sum(groups.values(), Counter())
    worst = 0.0
    for split, ratio in RATIOS.items():
        held: Counter[str] = sum(
            (counts for group, counts in groups.items() if splits[group] is split),
            Counter(),
        )
        for label in total:
            share = held[label] / total[label]
            worst = max(worst, abs(share - ratio) / ratio)
    return worst


@pytest.mark.parametrize(
    ("num_groups", "worst"),
    [(200, 0.08), (2000, 0.01)],
)
def test_assign_splits_comes_close_for_every_label_and_language_though_voices_differ(
    num_groups: int, worst: float
) -> None:
    rng = random.Random(0)
    groups: dict[str, Counter[str]] = {}
    for i in range(num_groups):
        size = int(rng.lognormvariate(2.5, 1)) + 1
        groups[f"g{i}"] = Counter(
            rng.choices(
                [f"intent={k}" for k in range(6)],
                weights=[9, 6, 4, 3, 2, 1],
                k=size,
            )
        )
        groups[f"g{i}"][rng.choice(["language=en", "language=en", "language=zh"])] += size
    splits = assign_splits(
        groups,
        fixed={},
        ratios=RATIOS,
        seed=0,
    )
    assert worst_deviation(groups, splits) <= worst


@settings(deadline=None, max_examples=40)
@given(tallies)
def test_assign_splits_cannot_be_improved_by_moving_one_group(
    groups: dict[str, Counter[str]],
) -> None:
    if not groups:
        return
    names = sorted(groups)
    labels = sorted(set(itertools.chain.from_iterable(groups.values())))
    rows = []
    for name in names:
        counts = [groups[name][label] for label in labels]
        rows.append([*counts, max(groups[name].total(), 1)])
    vectors = np.array(rows, dtype=float)
    splits = assign_splits(
        groups,
        fixed={},
        ratios=RATIOS,
        seed=0,
    )
    measure = _Measure(
        vectors,
        np.zeros((3, len(labels) + 1)),
        np.array(list(RATIOS.values())),
    )
    assigned = np.array([list(RATIOS).index(splits[name]) for name in names])
    for i in range(len(names)):
        for to in range(3):
            moved = assigned.copy()
            moved[i] = to
            assert measure.cost(moved) >= measure.cost(assigned) - 1e-6


def test_assign_splits_spreads_a_label_over_every_split_when_it_can() -> None:
    groups = {f"a{i}": Counter({"a": 2}) for i in range(3)} | {
        f"b{i}": Counter({"b": 2}) for i in range(3)
    }
    splits = assign_splits(
        groups,
        fixed={},
        ratios={Split.TRAIN: 0.4, Split.VALIDATION: 0.3, Split.TEST: 0.3},
        seed=0,
    )
    assert {splits[f"a{i}"] for i in range(3)} == set(Split)
    assert {splits[f"b{i}"] for i in range(3)} == set(Split)


def test_assign_splits_gives_nothing_new_to_a_split_without_a_share() -> None:
    groups = {f"g{i}": Counter({"a": 1}) for i in range(9)}
    splits = assign_splits(
        groups,
        fixed={"g0": Split.TEST},
        ratios={Split.TRAIN: 2, Split.VALIDATION: 1, Split.TEST: 0},
        seed=0,
    )
    test_groups = [group for group, split in splits.items() if split is Split.TEST]
    assert test_groups == ["g0"]
    for ratios in ({Split.TRAIN: 0.0}, {Split.TRAIN: -1.0}, {}):
        with pytest.raises(ValueError, match="ratios"):
            assign_splits(
                groups,
                fixed={},
                ratios=ratios,
                seed=0,
            )


def test_place_groups_tells_groups_that_touch_two_splits() -> None:
    groups = pl.DataFrame({"voice": ["a", "b", "c", "d", "e"], "group": ["g", "g", "g", "h", "i"]})
    fixed = {"a": "test", "b": "validation", "d": "test", "gone": "train"}
    frame = pl.DataFrame({"name": list(fixed), "split": list(fixed.values())})
    assert place_groups(groups, frame).rows() == [("g", "validation", True), ("h", "test", False)]
    at_home = pl.DataFrame({"name": ["a", "b"], "split": ["test", "test"]})
    assert place_groups(groups, at_home).rows() == [("g", "test", False)]
