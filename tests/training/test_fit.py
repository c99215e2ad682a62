from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import RECIPES, TrainingConfig, load_recipe, read_config, write_config
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


@pytest.mark.parametrize("layers", ["concat", "weighted"])
@pytest.mark.parametrize("hidden_units", [0, 8])
def test_fit_head_lowers_the_loss_by_half(
    blobs: Blobs, config: TrainingConfig, layers: str, hidden_units: int
) -> None:
    fit = _fit(
        blobs,
        replace(
            config,
            layers=layers,
            hidden_units=hidden_units,
            max_epochs=30,
            patience=30,
            dropout=0.0,
        ),
    )
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
        dropout=0.0,
        batch_size=30,
        max_epochs=2,
        warmup_share=0.0,
    )
    rounded = [round(row.train_loss, 4) for row in _fit(blobs, pinned).curves]
    assert rounded == [0.6931, PINNED]


PINNED = 0.5879


def test_read_config_round_trip_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for recipe in RECIPES.glob("*.toml"):
        assert load_recipe(recipe.stem) == read_config(recipe)
    config = load_recipe('情感 "x"\\', overrides={"seed": 3})
    write_config(path, config)
    assert read_config(path) == config
    path.write_text('scheme = "a"\nlerning_rate = 1.0\n', encoding="utf-8")
    with pytest.raises(TrainingError, match="unknown key lerning_rate"):
        read_config(path)
    with pytest.raises(TrainingError, match="dropout"):
        load_recipe("emotion", overrides={"dropout": "much"})
