"""Personal data is muted in another channel where it is heard there, and left where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from voxdata.crosstalk import find_lag_ms, measure_leaks
from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from voxdata.sound import ArraySound, Samples
from voxdata.testing import make_utterance, noise, silence, speech_like

SAID = speech_like(3_000, seed=1)
OWN = speech_like(3_000, seed=2)


def delayed(samples: Samples, lag_ms: int, level_db: float) -> Samples:
    moved = np.zeros_like(samples)
    at = lag_ms * 16
    moved[at:] = samples[: len(samples) - at]
    return (moved * 10 ** (level_db / 20)).astype(np.float32)


@pytest.mark.parametrize("lag_ms", [0, 40, 250])
@pytest.mark.parametrize(
    ("level_db", "own"),
    [
        (-10, OWN),
        (-10, silence(3_000)),
        (-40, silence(3_000)),
        (-40, noise(3_000, level=0.001, seed=3)),
    ],
)
def test_find_lag_ms_hears_a_leak(lag_ms: int, level_db: float, own: Samples) -> None:
    heard = find_lag_ms(SAID, delayed(SAID, lag_ms, level_db) + own)
    assert heard is not None
    assert abs(heard - lag_ms) <= 1


@pytest.mark.parametrize(
    "other",
    [
        OWN,
        silence(3_000),
        noise(3_000, level=0.001, seed=4),
        speech_like(3_000, seed=5),
    ],
)
def test_find_lag_ms_hears_nothing_in_what_somebody_else_says(other: Samples) -> None:
    assert find_lag_ms(SAID, other) is None


def test_measure_leaks_says_when_it_is_heard_elsewhere() -> None:
    sound = ArraySound(SAID)
    leaking = ArraySound(delayed(SAID, 250, -30))
    apart = ArraySound(OWN)
    utterance = make_utterance(0, 3_000)
    span = PrivateSpan(
        kind="phone",
        start=0,
        end=3,
        segment=Segment(start_ms=1_000, end_ms=2_000),
        score=1.0,
    )
    found = measure_leaks(
        {utterance.utterance_id: [span]},
        [utterance],
        [sound, leaking, apart],
    )
    leaks = found[utterance.utterance_id][0].leaks
    assert leaks[2] is None
    assert leaks[1] is not None
    assert leaks[1].start_ms == 1_000
    assert abs(leaks[1].end_ms - 2_250) <= 1
