import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.fingerprint import MAX_ERROR, MIN_SHARED_MS, compare, longest_match

CODE_MS = 123.8


def codes(seed: int, size: int = 200):
    return np.random.default_rng(seed).integers(0, 1 << 32, size=size, dtype=np.uint32)


def flip(values, share: float, seed: int = 9):
    """Change that share of the bits."""
    rng = np.random.default_rng(seed)
    bits = rng.random((len(values), 32)) < share
    return values ^ (bits * (np.uint32(1) << np.arange(32, dtype=np.uint32))).sum(axis=1).astype(np.uint32)


def test_compare_finds_a_trimmed_copy_with_changed_bits():
    original = codes(1)
    score, shared_ms = compare(original, flip(original[10:180], 0.1), [-10], code_ms=CODE_MS)
    assert 0.88 < score < 0.92
    assert shared_ms == pytest.approx(170 * CODE_MS, abs=CODE_MS)


@pytest.mark.parametrize("shifts", [[0], [5, -5], [1000], []])
def test_compare_finds_nothing_in_different_sounds(shifts):
    assert compare(codes(1), codes(2), shifts, code_ms=CODE_MS) is None


def test_compare_tries_the_next_shift():
    original = codes(1)
    assert compare(original, original[50:], [7, -50], code_ms=CODE_MS) == (1.0, round(150 * CODE_MS))


def test_compare_measures_only_the_stretch_that_is_shared():
    music = codes(5, 60)
    a, b = np.concatenate([codes(1, 100), music, codes(2, 40)]), np.concatenate([music, codes(3, 120)])
    score, shared_ms = compare(a, b, [-100], code_ms=CODE_MS)
    assert score > 0.99
    assert shared_ms == pytest.approx(60 * CODE_MS, abs=3 * CODE_MS)


def test_compare_passes_over_a_short_agreement():
    few = int(MIN_SHARED_MS / CODE_MS) - 2
    a, b = codes(1), codes(2)
    b[:few] = a[:few]
    b[few:] = ~a[few:]
    assert compare(a, b, [0], code_ms=CODE_MS) is None


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_longest_match_has_the_largest_sum(errors):
    values = np.array(errors)
    sums = {
        (start, end - start): float((MAX_ERROR - values[start:end]).sum())
        for start in range(len(values))
        for end in range(start + 1, len(values) + 1)
    }
    best = longest_match(values)
    if best is None:
        assert max(sums.values()) <= 1e-9
    else:
        assert sums[best] == pytest.approx(max(sums.values()))
