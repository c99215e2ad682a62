import math
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import pytest

from voxdata.identity import ModelRef
from voxdata.quality import (
    FLOOR_DB,
    measure_quality,
    measure_utterances,
    overlap_ratio,
    speaking_rate,
)
from voxdata.segment import Segment
from voxdata.sound import ArraySound, Sound
from voxdata.testing import make_turn, make_utterance, make_word, noise, silence, speech_like, tone


@pytest.mark.parametrize(
    "num_samples",
    [0, 1, 2, 399, 400, 511, 513, 1_000],
)
@pytest.mark.parametrize("value", [0.0, 0.5, -1.0, 1e-20])
def test_measure_quality_gives_finite_figures_for_any_length(num_samples, value):
    samples = np.full(num_samples, value, np.float32)
    quality = measure_quality(samples, source_rate_hz=16_000)
    assert all(math.isfinite(figure) for figure in astuple(quality) if figure is not None)
    assert quality.level_db >= FLOOR_DB
    assert quality.clipping_ratio == 0


def test_measure_quality_gives_the_level_of_a_tone():
    level_db = measure_quality(tone(1_000, level=0.5), source_rate_hz=16_000).level_db
    assert level_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)


def test_measure_quality_puts_silence_at_the_floor():
    quality = measure_quality(silence(1_000), source_rate_hz=16_000)
    assert quality.level_db == FLOOR_DB
    assert quality.snr_db == 0
    assert quality.bandwidth_hz == 0


def test_measure_quality_finds_less_snr_in_more_noise():
    speech = speech_like(5_000)
    figures = [
        measure_quality(speech + noise(5_000, level=level), source_rate_hz=16_000).snr_db
        for level in (0.0003, 0.003, 0.03)
    ]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] - figures[2] > 20


def test_measure_quality_finds_clipping_only_where_samples_stick():
    loud = tone(2_000, frequency_hz=150) * np.linspace(0.2, 1, 32_000, dtype=np.float32)
    clipped = np.clip(loud, -0.3, 0.3)
    assert measure_quality(clipped, source_rate_hz=16_000).clipping_ratio > 0.1
    assert measure_quality(loud, source_rate_hz=16_000).clipping_ratio < 0.02


def test_measure_quality_finds_the_true_bandwidth_behind_a_high_rate():
    narrow = sum(
        tone(1_000, frequency_hz=frequency, level=0.05) for frequency in range(200, 3_500, 300)
    )
    assert 3_100 <= measure_quality(narrow, source_rate_hz=16_000).bandwidth_hz <= 3_700
    quality = measure_quality(noise(1_000), source_rate_hz=16_000)
    assert quality.bandwidth_hz > 7_500
    quality = measure_quality(noise(1_000), source_rate_hz=8_000)
    assert quality.bandwidth_hz == 4_000


def test_overlap_ratio_counts_others_of_the_recording_once() -> None:
    u = make_utterance(1_000, 3_000)
    turns = [
        make_turn(0, 5_000),
        make_turn(2_000, 2_600, speaker="S1"),
        make_turn(2_400, 2_800, speaker="S2"),
        make_turn(2_900, 4_000, channel=1),
    ]
    assert overlap_ratio(u, turns) == 0.45
    assert overlap_ratio(u, turns[:1]) == 0.0


@pytest.mark.parametrize(
    ("text", "words", "rate"),
    [
        (
            "call me now",
            [
                (" call", 0, 300),
                (" me", 400, 500),
                (" now", 900, 1_000),
            ],
            6.0,
        ),
        ("你好吗", [("你好", 0, 500), ("吗", 500, 750)], 4.0),
    ],
)
def test_speaking_rate_counts_words_or_characters_a_second_of_speech(
    text: str,
    words: list[tuple[str, int, int]],
    rate: float,
) -> None:
    assert (
        speaking_rate(make_utterance(text=text, words=tuple(make_word(*word) for word in words)))
        == rate
    )
    assert speaking_rate(make_utterance(text="")) is None


def test_measure_utterances_gives_each_its_own_channel_and_the_score_where_it_lies() -> None:
    class Halves:
        model = ModelRef(name="halves", revision="1")

        def predict(
            self, sound: Sound, *, speech: Sequence[Segment]
        ) -> list[tuple[Segment, float]]:
            middle = sound.num_samples // 32
            return (
                [
                    (Segment(start_ms=0, end_ms=middle), 2.0),
                    (Segment(start_ms=middle, end_ms=2 * middle), 4.0),
                ]
                if speech
                else []
            )

    sounds = [
        ArraySound(tone(4_000, level=0.1)),
        ArraySound(tone(4_000, level=0.01)),
    ]
    utterances = [
        make_utterance(0, 1_000),
        make_utterance(1_500, 3_900),
        make_utterance(0, 1_000, channel=1),
    ]
    turns = [make_turn(0, 3_900)]
    measured = measure_utterances(
        utterances,
        sounds,
        turns=turns,
        source_rate_hz=16_000,
        mos=Halves(),
    )
    first, second, other = (measured[u.utterance_id] for u in utterances)
    assert first.mos == 2.0
    assert second.mos == 4.0
    assert other.mos is None
    assert first.level_db - other.level_db == pytest.approx(20, abs=0.1)
    assert other.overlap_ratio == 1.0
    assert all(
        q.mos is None
        for q in measure_utterances(
            utterances, sounds, turns=turns, source_rate_hz=16_000, mos=None
        ).values()
    )
