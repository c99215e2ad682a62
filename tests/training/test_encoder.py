from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from training.encoder import MARGIN_SAMPLES, load_encoder
from training.features import pool_clip
from voxdata.errors import TrainingError
from voxdata.testing.synthetic import noise


@pytest.mark.parametrize("name", ["tiny-random", "tiny-random-wav2vec2"])
def test_hidden_states_have_all_layers_and_the_length_of_the_clip(name: str) -> None:
    encoder = load_encoder(name)
    states = encoder.hidden_states(noise(2_000))
    assert len(states) == 3
    shapes = {s.shape for s in states}
    assert shapes == {(states[0].shape[0], 16)}
    seconds = 2 + 2 * MARGIN_SAMPLES / 16_000
    assert abs(states[0].shape[0] - seconds * encoder.frame_rate_hz) <= 1
    assert load_encoder(name).revision == encoder.revision


def test_pool_clip_does_not_depend_on_clips_before_it() -> None:
    encoder = load_encoder("tiny-random")
    clip = noise(700, seed=1)
    alone = pool_clip(encoder, clip)
    pool_clip(encoder, noise(3_000, seed=2))
    assert np.array_equal(pool_clip(encoder, clip), alone)


def test_hidden_states_of_short_and_long_clips() -> None:
    encoder = load_encoder("tiny-random")
    margins = 2 * MARGIN_SAMPLES / 16_000 * encoder.frame_rate_hz
    states = encoder.hidden_states(noise(0))
    assert states[0].shape == (margins, 16)
    states = encoder.hidden_states(noise(70_000))
    assert states[0].shape[0] == pytest.approx(3_500 + margins, abs=3)


def test_log_mel_equals_the_feature_extractor() -> None:
    samples = noise(30_000, seed=3)
    ours = load_encoder("tiny-random").log_mel(samples)
    theirs = WhisperFeatureExtractor()(samples, sampling_rate=16_000, return_tensors="pt")[
        "input_features"
    ][0]
    assert torch.allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [("whisper-tiny.en", (5, 768)), ("whisper-base", (7, 1024))],
)
def test_load_encoder_reads_the_packaged_weights(name: str, shape: tuple[int, int]) -> None:
    pooled = pool_clip(load_encoder(name), noise(1_000))
    assert pooled.shape == shape
    assert np.isfinite(pooled).all()


def test_load_encoder_names_an_unknown_encoder() -> None:
    with pytest.raises(TrainingError, match="/no/such/folder"):
        load_encoder("/no/such/folder")
