from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2FeatureExtractor,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from training.encoder import UNTRAINED, load_encoder
from training.models.backbone import MARGIN_SAMPLES, Backbone, pad_batch
from training.models.whisper import WhisperBackbone
from voxdata.errors import TrainingError
from voxdata.ports import Samples
from voxdata.testing.synthetic import noise


@pytest.mark.parametrize("name", UNTRAINED)
def test_hidden_states_have_all_layers_and_the_length_of_the_clip(name: str) -> None:
    encoder = load_encoder(name)
    states = encoder.hidden_states(noise(2_000))
    assert len(states) == 3
    shapes = {s.shape for s in states}
    assert shapes == {(states[0].shape[0], 16)}
    seconds = 2 + 2 * MARGIN_SAMPLES / 16_000
    assert abs(states[0].shape[0] - seconds * encoder.frame_rate_hz) <= 1
    assert load_encoder(name).revision == encoder.revision


def test_extract_does_not_depend_on_clips_before_it() -> None:
    encoder = load_encoder("tiny-random")
    clip = noise(700, seed=1)
    (alone,) = encoder.extract([clip])
    encoder.extract([noise(3_000, seed=2)])
    assert np.array_equal(encoder.extract([clip])[0], alone)


def test_hidden_states_of_short_and_long_clips() -> None:
    encoder = load_encoder("tiny-random")
    margins = 2 * MARGIN_SAMPLES / 16_000 * encoder.frame_rate_hz
    states = encoder.hidden_states(noise(0))
    assert states[0].shape == (margins, 16)
    states = encoder.hidden_states(noise(70_000))
    assert states[0].shape[0] == pytest.approx(3_500 + margins, abs=3)


def test_log_mel_equals_the_feature_extractor() -> None:
    samples = noise(30_000, seed=3)
    encoder = load_encoder("tiny-random")
    assert isinstance(encoder, WhisperBackbone)
    ours = encoder.log_mel(torch.from_numpy(samples))
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
    (pooled,) = load_encoder(name).extract([noise(1_000)])
    assert pooled.shape == shape
    assert np.isfinite(pooled).all()


def test_load_encoder_names_an_unknown_encoder() -> None:
    with pytest.raises(TrainingError, match="/no/such/folder"):
        load_encoder("/no/such/folder")


def check_batch_invariance(encoder: Backbone, *, num_batches: int, limit: float) -> None:
    """Hidden states of clips alone, and in random batches of two to eight, are as good as equal."""
    generator = np.random.default_rng(0)
    lengths_ms = generator.integers(100, 1_500, 10).tolist()
    clips = [noise(length, seed=length) for length in lengths_ms]
    alone = [run_batch(encoder, [clip])[0] for clip in clips]
    for _ in range(num_batches):
        size = int(generator.integers(2, 9))
        chosen = generator.permutation(len(clips))[:size].tolist()
        together = run_batch(encoder, [clips[number] for number in chosen])
        for number, states in zip(chosen, together, strict=True):
            assert states.shape == alone[number].shape
            assert (states - alone[number]).abs().max() <= limit


@torch.no_grad()
def run_batch(encoder: Backbone, clips: list[Samples]) -> list[torch.Tensor]:
    """(num_layers + 1, num_frames, dim) of each clip."""
    waveforms, lengths = pad_batch(clips)
    dtype = next(encoder.parameters()).dtype
    states, frame_lengths = encoder(waveforms.to(dtype), lengths)
    numbered = enumerate(frame_lengths.tolist())
    return [states[:, row, :num_frames] for row, num_frames in numbered]


@pytest.mark.parametrize("name", UNTRAINED)
def test_forward_gives_the_same_alone_and_in_batches(name: str) -> None:
    check_batch_invariance(load_encoder(name), num_batches=20, limit=1e-5)


@pytest.mark.slow
def test_forward_gives_the_same_in_batches_with_packaged_weights_but_for_rounding() -> None:
    """In double precision, where rounding is too small to hide a leak from the padding."""
    encoder = load_encoder("whisper-tiny.en").double()
    check_batch_invariance(encoder, num_batches=4, limit=1e-9)


@pytest.mark.parametrize("name", UNTRAINED)
def test_extract_on_the_cpu_does_not_depend_on_other_clips_in_the_last_bit(name: str) -> None:
    encoder = load_encoder(name)
    clips = [noise(length, seed=length) for length in (300, 31_000, 700)]
    alone = [encoder.extract([clip])[0] for clip in clips]
    for features, expected in zip(encoder.extract(clips), alone, strict=True):
        assert np.array_equal(features, expected)


FINAL_NORM = ("model.encoder.layer_norm.weight", "model.encoder.layer_norm.bias")


@pytest.mark.parametrize("name", UNTRAINED)
def test_forward_ignores_what_lies_behind_a_clip(name: str) -> None:
    encoder = load_encoder(name)
    waveforms, lengths = pad_batch([noise(300, seed=1), noise(500, seed=2)])
    spoilt = waveforms.clone()
    spoilt[0, lengths[0] :] = 0.7
    with torch.no_grad():
        states, frame_lengths = encoder(waveforms, lengths)
        other, _ = encoder(spoilt, lengths)
    assert states.shape == (3, 2, int(frame_lengths.max()), 16)
    assert frame_lengths[0] < frame_lengths[1]
    first = states[:, 0, : frame_lengths[0]]
    assert torch.equal(first, other[:, 0, : frame_lengths[0]])


@pytest.mark.parametrize("name", UNTRAINED)
def test_forward_lets_the_weights_be_trained(name: str) -> None:
    encoder = load_encoder(name).train()
    waveforms, lengths = pad_batch([noise(300, seed=1), noise(500, seed=2)])
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01)
    losses: list[float] = []
    for _ in range(4):
        torch.manual_seed(0)
        optimizer.zero_grad()
        states, _ = encoder(waveforms, lengths)
        loss = (states[-1] - 1).square().mean()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    trained = {key for key, weights in encoder.named_parameters() if weights.requires_grad}
    moved = {key for key, weights in encoder.named_parameters() if weights.grad is not None}
    # Nothing is masked here, and the last layer's states are those before the norm behind it.
    idle = {"model.masked_spec_embed", *FINAL_NORM}
    assert trained - moved <= idle
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["wavlm", "whisper"])
def test_load_encoder_reads_a_folder(tmp_path: Path, kind: str) -> None:
    own = load_encoder("tiny-random-wavlm" if kind == "wavlm" else "tiny-random")
    if kind == "wavlm":
        assert isinstance(own.model, WavLMModel)
        own.model.save_pretrained(tmp_path)
        Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    else:
        whisper = WhisperModel(_with_decoder(own.model.config))
        whisper.encoder.load_state_dict(own.model.state_dict())
        whisper.save_pretrained(tmp_path)
    read = load_encoder(str(tmp_path))
    assert read.revision == own.revision
    clip = noise(700, seed=3)
    assert np.array_equal(read.extract([clip])[0], own.extract([clip])[0])


def _with_decoder(config: WhisperConfig) -> WhisperConfig:
    values = config.to_dict()
    values |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    values |= {"vocab_size": 64, "max_target_positions": 16}
    values |= {f"{token}_token_id": 1 for token in ("pad", "bos", "eos", "decoder_start")}
    return WhisperConfig(**values)
