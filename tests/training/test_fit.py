from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from training.config import AudioConfig, HeadConfig, TrainingConfig
from training.loop import Fit, fit_head
from voxdata.errors import TrainingError

Blobs = tuple[np.ndarray, np.ndarray]


def _fit(blobs: Blobs, config: TrainingConfig) -> Fit:
    x, y = blobs
    return fit_head(
        x[:30],
        y[:30],
        validation_features=x[30:],
        validation_targets=y[30:],
        config=config,
    )


@pytest.mark.parametrize("layers", ["all", "weighted", (1, 2)])
@pytest.mark.parametrize("hidden_units", [0, 8])
def test_fit_head_lowers_the_loss_by_half(
    blobs: Blobs, config: TrainingConfig, layers: str | tuple[int, ...], hidden_units: int
) -> None:
    longer = replace(
        config,
        audio=AudioConfig(layers=layers),
        head=HeadConfig(hidden_units=hidden_units, dropout=0.0),
        fit=replace(config.fit, max_epochs=30, patience=30),
    )
    fit = _fit(blobs, longer)
    assert fit.curves[-1].train_loss < 0.5 * fit.curves[0].train_loss


def test_fit_head_gives_the_same_weights_for_the_same_seed(
    blobs: Blobs, config: TrainingConfig
) -> None:
    first = _fit(blobs, config)
    again = _fit(blobs, config)
    other = _fit(blobs, replace(config, seed=1))
    assert all(
        torch.equal(v, again.head.state_dict()[k]) for k, v in first.head.state_dict().items()
    )
    assert not torch.equal(first.head.out.weight, other.head.out.weight)


def test_fit_head_pins_the_first_two_steps(blobs: Blobs, config: TrainingConfig) -> None:
    pinned = replace(
        config,
        head=HeadConfig(dropout=0.0),
        fit=replace(config.fit, batch_size=30, max_epochs=2, warmup_share=0.0),
    )
    rounded = [round(row.train_loss, 4) for row in _fit(blobs, pinned).curves]
    assert rounded == [0.6931, PINNED]


PINNED = 0.5879


def test_fit_head_hears_no_layer_that_the_recipe_leaves_out(
    blobs: Blobs, config: TrainingConfig
) -> None:
    features, targets = blobs
    changed = features.copy()
    changed[:, 2] += 7.0 * targets[:, :1]
    fits = [
        _fit(each, replace(config, audio=AudioConfig(layers=(0, 1))))
        for each in (blobs, (changed, targets))
    ]
    assert torch.equal(fits[0].head.out.weight, fits[1].head.out.weight)
    assert fits[0].head.out.weight.shape == (2, 16)
    heard = _fit((changed, targets), replace(config, audio=AudioConfig(layers=(0, 2))))
    assert not torch.equal(heard.head.out.weight, fits[0].head.out.weight)


def test_fit_head_names_a_layer_that_the_encoder_lacks(
    blobs: Blobs, config: TrainingConfig
) -> None:
    with pytest.raises(TrainingError, match="layer 3; encoder 'tiny-random' has 0 to 2"):
        _fit(blobs, replace(config, audio=AudioConfig(layers=(1, 3))))
