import numpy as np
import pytest

from voxdata.segment import overlap_ms
from voxdata.testing import compose_call, make_example, make_recording, speech_like, tone

PARTIES = [
    [speech_like(900, seed=1), speech_like(700, seed=2)],
    [tone(800)],
]


def test_compose_call_puts_each_clip_where_its_turn_says():
    call = compose_call(PARTIES, pause_ms=300, lead_ms=100)
    turns = [(t.speaker, t.channel, t.segment.start_ms, t.segment.end_ms) for t in call.turns]
    assert turns == [
        ("S0", 0, 100, 1_000),
        ("S1", 1, 1_300, 2_100),
        ("S0", 0, 2_400, 3_100),
    ]
    assert call.samples.shape == (3_200 * 16, 2)
    for turn, (party, index) in zip(call.turns, call.clips, strict=True):
        samples = call.samples[turn.segment.start_ms * 16 : turn.segment.end_ms * 16, turn.channel]
        assert np.array_equal(samples, PARTIES[party][index])


def test_compose_call_overlaps_neighbouring_turns():
    first, second, third = (turn.segment for turn in compose_call(PARTIES, overlap_ms=200).turns)
    assert overlap_ms(first, second) == 200
    assert overlap_ms(second, third) == 200


def test_compose_call_mixes_to_mono_without_overload():
    loud = [
        [tone(500, level=1.0)],
        [tone(500, level=1.0)],
    ]
    call = compose_call(loud, overlap_ms=250, stereo=False)
    assert call.samples.shape[1] == 1
    assert {turn.channel for turn in call.turns} == {0}
    assert np.abs(call.samples).max() == pytest.approx(1.0)


def test_compose_call_refuses_a_call_without_clips():
    with pytest.raises(ValueError, match="at least one clip"):
        compose_call([[], []])


def test_factories_give_equal_values_for_equal_arguments():
    assert make_example(3, text="x") == make_example(3, text="x") != make_example(4, text="x")
    assert make_recording(num_samples=8_000, sample_rate_hz=8_000).duration_ms == 1_000
