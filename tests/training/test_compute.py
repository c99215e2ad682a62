"""Where a run computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.compute import Compute
from training.device import open_device
from training.encoder import load_encoder
from voxdata.errors import ConfigError
from voxdata.testing.synthetic import noise


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"device": "gpu"}, "device 'gpu' is none that training knows"),
        ({"device": "cuda:x"}, "device 'cuda:x'"),
        ({"precision": "int8"}, "precision 'int8' is none that training knows"),
        ({"precision": "fp16"}, 'precision "fp16" needs a GPU'),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_compute_names_what_cannot_be_meant(values: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Compute(**values)


def test_open_device_names_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="'cuda:97' is not there: torch sees"):
        open_device(Compute(device="cuda:97"))
    with pytest.raises(ConfigError, match="'cuda:97' is not there"):
        load_encoder("tiny-random", compute=Compute(device="cuda:97"))


def test_open_device_sets_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        open_device(Compute(threads=before + 1))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["tiny-random", "tiny-random-wav2vec2"])
def test_load_encoder_multiplies_in_the_precision_asked_for(name: str) -> None:
    clip = noise(700)
    (exact,) = load_encoder(name).extract([clip])
    encoder = load_encoder(name, compute=Compute(precision="bf16"))
    (rough,) = encoder.extract([clip])
    assert encoder.arithmetic == "cpu/bf16"
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1
