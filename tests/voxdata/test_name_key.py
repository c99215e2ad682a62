import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.name_key import find_near_names, loose_key, name_key, unify_names


@given(st.text())
def test_name_key_is_the_same_in_every_canonical_form(name: str) -> None:
    assert name_key(unicodedata.normalize("NFD", name)) == name_key(
        unicodedata.normalize("NFC", name)
    )


@pytest.mark.parametrize("other", ["7", "agent 7", "Agent 7"])
def test_name_key_keeps_names_apart_that_look_different(other: str) -> None:
    assert name_key(other) != name_key("Agent 007")


@pytest.mark.parametrize(
    ("one", "other"),
    [("007", "7"), ("Agent 1", "agent_1"), ("７", "7"), ("٧", "7"), ("A-01", "a1")],
)
def test_loose_key_brings_names_together(one: str, other: str) -> None:
    assert loose_key(one) == loose_key(other)


def test_loose_key_keeps_different_numbers_apart() -> None:
    assert len({loose_key(name) for name in ("1", "10", "100", "0")}) == 4


def test_unify_names_takes_the_first_spelling() -> None:
    assert unify_names(["a\u200b", "a", "b"]) == {"a\u200b": "a\u200b", "a": "a\u200b", "b": "b"}


def test_find_near_names_passes_over_names_of_one_split() -> None:
    splits = {"007": {"train"}, "7": {"test"}, "Ann": {"train"}, "ann": {"train"}}
    assert find_near_names(splits) == [("007", "7")]
