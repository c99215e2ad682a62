import math
from dataclasses import astuple

import numpy as np
import pytest

from voxdata.quality import FLOOR_DB, measure_quality
from voxdata.testing import noise, silence, speech_like, tone


@pytest.mark.parametrize("num_samples", [0, 1, 2, 399, 400, 511, 513, 1_000])
@pytest.mark.parametrize("value", [0.0, 0.5, -1.0, 1e-20])
def test_measure_quality_gives_finite_figures_for_any_length(num_samples, value):
    quality = measure_quality(np.full(num_samples, value, np.float32), source_rate_hz=16_000)
    assert all(math.isfinite(figure) for figure in astuple(quality) if figure is not None)
    assert quality.level_db >= FLOOR_DB
    assert quality.clipping_ratio == 0


def test_measure_quality_gives_the_level_of_a_tone():
    level_db = measure_quality(tone(1_000, level=0.5), source_rate_hz=16_000).level_db
    assert level_db == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)


def test_measure_quality_puts_silence_at_the_floor():
    quality = measure_quality(silence(1_000), source_rate_hz=16_000)
    assert (quality.level_db, quality.snr_db, quality.bandwidth_hz) == (FLOOR_DB, 0, 0)


def test_measure_quality_finds_less_snr_in_more_noise():
    speech = speech_like(5_000)
    figures = [measure_quality(speech + noise(5_000, level=level), source_rate_hz=16_000).snr_db for level in (0.0003, 0.003, 0.03)]
    assert figures == sorted(figures, reverse=True)
    assert figures[0] - figures[2] > 20


def test_measure_quality_finds_clipping_only_where_samples_stick():
    loud = tone(2_000, frequency_hz=150) * np.linspace(0.2, 1, 32_000, dtype=np.float32)
    clipped = np.clip(loud, -0.3, 0.3)
    assert measure_quality(clipped, source_rate_hz=16_000).clipping_ratio > 0.1
    assert measure_quality(loud, source_rate_hz=16_000).clipping_ratio < 0.02


def test_measure_quality_finds_the_true_bandwidth_behind_a_high_rate():
    narrow = sum(tone(1_000, frequency_hz=frequency, level=0.05) for frequency in range(200, 3_500, 300))
    assert 3_100 <= measure_quality(narrow, source_rate_hz=16_000).bandwidth_hz <= 3_700
    assert measure_quality(noise(1_000), source_rate_hz=16_000).bandwidth_hz > 7_500
    assert measure_quality(noise(1_000), source_rate_hz=8_000).bandwidth_hz == 4_000
