"""DNSMOS hears what spoils speech, in one window after another."""

from __future__ import annotations

import numpy as np
import pytest

from flows.demo.samples import sample_paths
from voxdata.backends import load_backend
from voxdata.backends.dnsmos import EVERY_MS, DnsMos
from voxdata.segment import Segment
from voxdata.sound import ArraySound, Samples
from voxdata.testing.recordings import read_recording

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mos() -> DnsMos:
    return DnsMos()


@pytest.fixture(scope="module")
def conversation() -> Samples:
    return read_recording(sample_paths()[0])[1][:, 0]


def score(mos: DnsMos, samples: Samples) -> float:
    ((_, value),) = mos.predict(
        ArraySound(samples),
        speech=[Segment(start_ms=0, end_ms=len(samples) // 16)],
    )
    return value


def test_predict_hears_noise(mos: DnsMos, conversation: Samples) -> None:
    clip = conversation[: 9 * 16_000]
    noise = np.random.default_rng(0).normal(0, 1, len(clip)).astype(np.float32)
    level = float(np.sqrt(np.mean(clip**2)))
    clean, some, much = (score(mos, clip + share * level * noise) for share in (0.0, 0.1, 1.0))
    assert 5 >= clean > some > much >= 1
    assert score(mos, noise) < 2
    assert score(mos, np.zeros(16_000, np.float32)) < 2


def test_predict_scores_a_stretch_from_its_first_speech_and_none_without(
    mos: DnsMos, conversation: Samples
) -> None:
    samples = np.zeros(75 * 16_000, np.float32)
    samples[5 * 16_000 : 15 * 16_000] = samples[62 * 16_000 : 72 * 16_000] = conversation[
        : 10 * 16_000
    ]
    speech = [
        Segment(start_ms=5_000, end_ms=15_000),
        Segment(start_ms=62_000, end_ms=72_000),
    ]
    scores = mos.predict(ArraySound(samples), speech=speech)
    assert [(s.start_ms, s.end_ms) for s, _ in scores] == [(0, EVERY_MS), (2 * EVERY_MS, 75_000)]
    assert scores[0][1] == scores[1][1]
    predicted = mos.predict(ArraySound(samples), speech=[])
    assert predicted == []


def test_predict_gives_the_same_alone_and_beside_others(mos: DnsMos, conversation: Samples) -> None:
    whole = mos.predict(
        ArraySound(conversation),
        speech=[Segment(start_ms=0, end_ms=len(conversation) // 16)],
    )
    assert whole == DnsMos().predict(
        ArraySound(conversation),
        speech=[Segment(start_ms=0, end_ms=len(conversation) // 16)],
    )
    assert all(1 <= value <= 5 for _, value in whole)


@pytest.mark.parametrize("num_samples", [1, 15, 160, 16_000])
def test_predict_survives_short_sounds(
    mos: DnsMos, conversation: Samples, num_samples: int
) -> None:
    speech = [Segment(start_ms=0, end_ms=max(1, num_samples // 16))]
    scores = mos.predict(ArraySound(conversation[:num_samples]), speech=speech)
    assert all(1 <= value <= 5 for _, value in scores)


def test_load_backend_knows_dnsmos_by_name() -> None:
    mos = load_backend("mos_predictor", "dnsmos")
    assert isinstance(mos, DnsMos)
    assert mos.model.params == {"every_ms": EVERY_MS}
