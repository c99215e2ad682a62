import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.errors import MixedRecordingsError
from voxdata.segment import union
from voxdata.testing import make_turn
from voxdata.turn import merge_turns, sort_turns

turns = st.lists(
    st.builds(
        lambda start, length, speaker, channel: make_turn(
            start, start + length, speaker=speaker, channel=channel
        ),
        st.integers(0, 3_000),
        st.integers(1, 500),
        st.sampled_from(["S0", "S1"]),
        st.integers(0, 1),
    ),
    max_size=15,
)


@given(turns, st.integers(0, 600))
def test_merge_turns_equals_the_union_of_each_speakers_segments(found, max_gap_ms):
    merged = merge_turns(found, max_gap_ms=max_gap_ms)
    for key in {(turn.channel, turn.speaker) for turn in found}:
        own = [turn.segment for turn in found if (turn.channel, turn.speaker) == key]
        segments = [turn.segment for turn in merged if (turn.channel, turn.speaker) == key]
        assert segments == union(own, max_gap_ms=max_gap_ms)
    assert {(t.channel, t.speaker) for t in merged} == {(t.channel, t.speaker) for t in found}


@given(turns, st.randoms(use_true_random=False))
def test_merge_turns_does_not_depend_on_order(found, shuffler: random.Random):
    shuffled = list(found)
    shuffler.shuffle(shuffled)
    assert merge_turns(shuffled) == merge_turns(found) == sort_turns(merge_turns(found))


def test_merge_turns_keeps_overlapping_speakers_apart():
    turns = [make_turn(0, 1_000), make_turn(500, 700, speaker="S1")]
    assert merge_turns(turns) == turns


def test_merge_turns_refuses_several_recordings():
    with pytest.raises(MixedRecordingsError, match="group them"):
        merge_turns([make_turn(), make_turn(recording_id="other")])
