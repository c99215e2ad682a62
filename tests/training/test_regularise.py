"""Noise, mixing, softer targets, and heads of several seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoint import AudioPart, Checkpoint, load_checkpoint, save_checkpoint
from training.config import FitConfig, HeadConfig, TrainingConfig
from training.loop import Fit, fit_head, predict
from training.models.average import HeadAverage
from training.models.head import Head
from training.regularise import disturb, mix_up, smooth

Blobs = tuple[np.ndarray, np.ndarray]
ALL_ON = FitConfig(
    max_epochs=30,
    patience=30,
    batch_size=10,
    learning_rate=0.01,
    mixup=0.4,
    label_smoothing=0.1,
    feature_noise=0.3,
)


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((6, 2, 3), generator=generator)
    return inputs, torch.eye(6)[:, :4] + 0.25 * torch.tensor([0, 0, 0, 0, 1, 1])[:, None]


def _fit(blobs: Blobs, config: TrainingConfig) -> Fit:
    x, y = blobs
    return fit_head(
        x[:30],
        y[:30],
        validation_features=x[30:],
        validation_targets=y[30:],
        config=config,
    )


def test_disturb_touches_nothing_and_draws_nothing_by_default() -> None:
    inputs, targets = _batch()
    before = torch.get_rng_state()
    same, same_targets = disturb(inputs, targets, FitConfig())
    assert same is inputs
    assert same_targets is targets
    assert torch.equal(torch.get_rng_state(), before)


def test_disturb_keeps_the_sums_of_the_targets() -> None:
    torch.manual_seed(0)
    inputs, targets = _batch()
    disturbed, softened = disturb(inputs, targets, ALL_ON)
    assert disturbed.shape == inputs.shape
    assert not torch.equal(softened, targets)
    assert torch.allclose(softened.sum(dim=1), torch.ones(6))
    assert bool((softened > 0).all())


def test_disturb_adds_noise_of_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    silent = torch.zeros(200, 3, 50)
    disturbed, _ = disturb(silent, torch.ones(200, 1), FitConfig(feature_noise=0.3))
    assert float(disturbed.std()) == pytest.approx(0.3, rel=0.02)


def test_mix_up_mixes_clips_and_targets_by_the_same_share() -> None:
    torch.manual_seed(0)
    targets = torch.eye(8)
    inputs = targets[:, None, :].repeat(1, 2, 1)
    mixed, mixed_targets = mix_up(inputs, targets, alpha=1.0)
    assert torch.equal(mixed[:, 0], mixed_targets)
    assert torch.equal(mixed[:, 1], mixed_targets)
    assert int((mixed_targets > 0).sum()) > 8


def test_smooth_spreads_the_share_evenly() -> None:
    softened = smooth(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), share=0.2)
    assert torch.allclose(softened, torch.tensor([[0.85, 0.05, 0.05, 0.05]]))


@pytest.mark.parametrize("seeds", [1, 3])
def test_fit_head_lowers_the_loss_by_half_when_disturbed(
    blobs: Blobs, config: TrainingConfig, seeds: int
) -> None:
    head = HeadConfig(hidden_units=8, dropout=0.0, seeds=seeds)
    plain = replace(ALL_ON, mixup=0.0, label_smoothing=0.0)
    for fit, fall in ((plain, 0.5), (ALL_ON, 0.8)):
        curves = _fit(blobs, replace(config, head=head, fit=fit)).curves
        assert curves[-1].train_loss < fall * curves[0].train_loss


def test_fit_head_gives_the_same_weights_of_all_seeds_again(
    blobs: Blobs, config: TrainingConfig
) -> None:
    several = replace(config, head=HeadConfig(hidden_units=8, seeds=2), fit=ALL_ON)
    first = _fit(blobs, several).head.state_dict()
    again = _fit(blobs, several).head.state_dict()
    other = _fit(blobs, replace(several, seed=1)).head.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["seeds.0.out.weight"], first["seeds.1.out.weight"])
    assert not torch.equal(first["seeds.0.out.weight"], other["seeds.0.out.weight"])


def test_fit_head_makes_a_plain_head_of_one_seed(blobs: Blobs, config: TrainingConfig) -> None:
    assert type(_fit(blobs, config).head) is Head


def test_predict_averages_the_probabilities_of_the_seeds(
    blobs: Blobs, config: TrainingConfig
) -> None:
    several = replace(config, head=HeadConfig(hidden_units=8, seeds=3))
    head = _fit(blobs, several).head
    answers = predict(head, blobs[0])
    alone = [predict(member, blobs[0]) for member in head.members]
    assert len(alone) == 3
    assert np.allclose(answers, np.mean(alone, axis=0), atol=1e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)


def test_checkpoint_of_several_seeds_answers_as_it_did(
    blobs: Blobs, config: TrainingConfig, tmp_path: Path
) -> None:
    several = replace(config, head=HeadConfig(hidden_units=8, seeds=3), fit=ALL_ON)
    head = _fit(blobs, several).head
    part = AudioPart(
        head=head,
        encoder_revision="r",
        padding_policy="p",
        feature_dtype="float16",
        shape=(3, 8),
    )
    saved = Checkpoint(config=several, labels=("a", "b"), version_id="v", versions={}, audio=part)
    model = save_checkpoint(tmp_path, saved)
    read, same_model = load_checkpoint(tmp_path)
    assert same_model == model
    assert read.audio is not None
    assert isinstance(read.audio.head, HeadAverage)
    assert np.array_equal(predict(read.audio.head, blobs[0]), predict(head, blobs[0]))
