import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.fingerprint import MAX_ERROR, MIN_CODES, compare, longest_match


def codes(seed: int, size: int = 200):
    return np.random.default_rng(seed).integers(
        0,
        1 << 32,
        size=size,
        dtype=np.uint32,
    )


def flip(values, share: float, seed: int = 9):
    """Change that share of the bits."""
    rng = np.random.default_rng(seed)
    bits = rng.random((len(values), 32)) < share
    return values ^ (bits * (np.uint32(1) << np.arange(32, dtype=np.uint32))).sum(axis=1).astype(
        np.uint32
    )


def test_compare_finds_a_trimmed_copy_with_changed_bits():
    original = codes(1)
    score, size = compare(
        original,
        flip(original[10:180], 0.1),
        [-10],
    )
    assert 0.88 < score < 0.92
    assert size == pytest.approx(170, abs=2)


@pytest.mark.parametrize(
    "shifts",
    [[0], [5, -5], [1000], []],
)
def test_compare_finds_nothing_in_different_sounds(shifts):
    score = compare(codes(1), codes(2), shifts)
    assert score is None


def test_compare_tries_the_next_shift():
    original = codes(1)
    score = compare(original, original[50:], [7, -50])
    assert score == (1.0, 150)


def test_compare_measures_only_the_stretch_that_is_shared():
    music = codes(5, 60)
    a = np.concatenate(
        [
            codes(1, 100),
            music,
            codes(2, 40),
        ]
    )
    b = np.concatenate([music, codes(3, 120)])
    score, size = compare(a, b, [-100])
    assert score > 0.99
    assert size == pytest.approx(60, abs=3)


def test_compare_passes_over_a_short_agreement():
    few = MIN_CODES - 1
    a = codes(1)
    b = codes(2)
    b[:few] = a[:few]
    b[few:] = ~a[few:]
    assert compare(a, b, [0]) is None


def test_compare_passes_over_silence_that_both_hold():
    a = codes(1)
    b = codes(2)
    silence = np.repeat(codes(3, 5), 6)
    score = compare(
        np.concatenate([silence, a]),
        np.concatenate([silence, b]),
        [0],
    )
    assert score is None
    score = compare(
        np.concatenate([silence, a]),
        np.concatenate([silence, a]),
        [0],
    )
    assert score == (1.0, 230)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_longest_match_has_the_largest_sum(errors):
    values = np.array(errors)
    sums = {}
    for start in range(len(values)):
        for end in range(start + 1, len(values) + 1):
            sums[(start, end - start)] = float((MAX_ERROR - values[start:end]).sum())
    best = longest_match(values)
    if best is None:
        assert max(sums.values()) <= 1e-9
    else:
        assert sums[best] == pytest.approx(max(sums.values()))
