import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.segment import Segment, overlap_ms, union

segments = st.tuples(st.integers(0, 300), st.integers(1, 60)).map(
    lambda p: Segment(start_ms=p[0], end_ms=p[0] + p[1])
)


def covered(found) -> set[int]:
    return set(
        itertools.chain.from_iterable(range(segment.start_ms, segment.end_ms) for segment in found)
    )


@pytest.mark.parametrize(
    ("start_ms", "end_ms"),
    [(-1, 5), (5, 5), (6, 5)],
)
def test_segment_refuses_impossible_bounds(start_ms, end_ms):
    with pytest.raises(ValueError, match=str(start_ms)):
        Segment(start_ms=start_ms, end_ms=end_ms)


@given(segments, segments)
def test_overlap_ms_counts_shared_milliseconds(a, b):
    shared_ms = len(covered([a]) & covered([b]))
    assert overlap_ms(a, b) == shared_ms == overlap_ms(b, a)


@given(st.lists(segments, max_size=12))
def test_union_covers_the_same_time_with_disjoint_segments(found):
    joined = union(found)
    assert covered(joined) == covered(found)
    assert joined == sorted(joined)
    assert all(a.end_ms < b.start_ms for a, b in itertools.pairwise(joined))


@given(
    st.lists(segments, max_size=12),
    st.integers(0, 80),
)
def test_union_bridges_gaps_up_to_the_limit_and_no_others(found, max_gap_ms):
    joined = union(found, max_gap_ms=max_gap_ms)
    assert covered(found) <= covered(joined)
    assert all(b.start_ms - a.end_ms > max_gap_ms for a, b in itertools.pairwise(joined))
    assert union(joined, max_gap_ms=max_gap_ms) == joined
