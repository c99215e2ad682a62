"""Torch's part of `training.compute`."""

from __future__ import annotations

import torch

from training.compute import Compute
from voxdata.errors import ConfigError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def open_device(compute: Compute) -> torch.device:
    """The device that is asked for, with as many threads as are asked for.

    Raises:
        ConfigError: This machine has no such device.
    """
    device = torch.device(compute.device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise _missing(compute, "torch sees no Apple GPU here")
    if device.type == "cuda":
        num_gpus = torch.cuda.device_count()
        if (device.index or 0) >= num_gpus:
            raise _missing(compute, f"torch sees {num_gpus} CUDA GPUs here, counted from 0")
    if compute.threads:
        torch.set_num_threads(compute.threads)
    return device


def _missing(compute: Compute, why: str) -> ConfigError:
    return ConfigError(
        f"device {compute.device!r} is not there: {why}; name another, such as "
        '"cpu", as `device` in [training] of voxdata.toml, or after --device'
    )


def mixed_precision(compute: Compute) -> torch.autocast:
    """Multiply in the precision that is asked for, while in this context."""
    device = torch.device(compute.device)
    return torch.autocast(
        device.type,
        dtype=_TYPES.get(compute.precision),
        enabled=compute.precision in _TYPES,
    )
