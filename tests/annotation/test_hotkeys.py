"""Keys of the labelling screen."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.hotkeys import ROWS, TAKEN, assign_hotkeys, with_shift
from voxdata.errors import AnnotationError

COUNTS = st.lists(st.integers(2, 14), max_size=5).map(
    lambda counts: {f"row{i}": count for i, count in enumerate(counts)}
)


@given(
    rows=COUNTS,
    extras=st.integers(0, 8),
    doubled=st.sets(st.integers(0, 4)),
)
def test_assign_hotkeys_gives_every_label_a_key_of_its_own(
    rows: dict[str, int],
    extras: int,
    doubled: set[int],
) -> None:
    second = [name for name in rows if int(name[3:]) in doubled]
    try:
        hotkeys = assign_hotkeys(rows, {"extra": extras}, doubled=second)
    except AnnotationError:
        num_second = sum(rows[name] for name in second)
        num_first = sum(rows.values())
        assert num_first + extras + num_second > len("".join(ROWS))
        return
    keys = list(itertools.chain.from_iterable(hotkeys[name] for name in hotkeys)) + [
        with_shift(key) for key in itertools.chain.from_iterable(hotkeys[name] for name in second)
    ]
    lengths = {name: len(keys) for name, keys in hotkeys.items()}
    assert lengths == {**rows, "extra": extras}
    assert len(keys) == len(set(keys))
    assert not TAKEN & set(keys)
    assert all(key.removeprefix("shift+") in "".join(ROWS) for key in keys)


def test_assign_hotkeys_starts_each_row_on_a_row_of_the_keyboard() -> None:
    hotkeys = assign_hotkeys({"intent": 4, "emotion": 3}, {"flags": 2})
    assert hotkeys == {
        "intent": tuple("1234"),
        "emotion": tuple("qwe"),
        "flags": tuple("zx"),
    }


def test_assign_hotkeys_passes_over_a_row_that_is_too_short() -> None:
    hotkeys = assign_hotkeys({"a": 3, "b": 10, "c": 9}, {})
    assert hotkeys["c"] == tuple("qwertyiop")


def test_assign_hotkeys_uses_shift_when_the_keyboard_is_full() -> None:
    hotkeys = assign_hotkeys({"a": 10, "b": 9, "c": 9, "d": 7}, {"flags": 2})
    assert hotkeys["flags"] == ("shift+z", "shift+x")


def test_assign_hotkeys_raises_when_there_are_more_labels_than_keys() -> None:
    with pytest.raises(AnnotationError, match="'big'"):
        assign_hotkeys({"big": 71}, {})
