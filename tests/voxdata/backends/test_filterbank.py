from __future__ import annotations

import numpy as np
import pytest

from voxdata.backends.filterbank import FRAME_SAMPLES, NUM_BANDS, filterbank


def noise(num_samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(num_samples).astype(np.float32) * np.float32(
        0.1
    )


def test_filterbank_gives_a_frame_every_10_ms() -> None:
    assert filterbank(noise(FRAME_SAMPLES)).shape == (1, NUM_BANDS)
    assert filterbank(noise(160_000)).shape == (998, NUM_BANDS)


def test_filterbank_of_a_stretch_is_that_stretch_of_the_filterbank() -> None:
    samples = noise(32_000)
    # A matrix product rounds its last digit by how many rows it has, on some processors.
    np.testing.assert_allclose(
        filterbank(samples)[50:148],
        filterbank(samples[8000:24_000]),
        rtol=0,
        atol=2e-6,
    )


def test_filterbank_of_silence_is_finite() -> None:
    assert np.isfinite(filterbank(np.zeros(1600, np.float32))).all()


@pytest.mark.slow
def test_filterbank_equals_kaldi() -> None:
    torch = pytest.importorskip("torch")
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    samples = np.concatenate([noise(20_000), np.zeros(4000, np.float32)])
    expected = kaldi.fbank(
        torch.from_numpy(samples)[None],
        num_mel_bins=80,
        sample_frequency=16_000,
        dither=0.0,
    ).numpy()
    assert np.abs(filterbank(samples) - expected).max() < 1e-3
