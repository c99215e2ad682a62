"""From frames to one vector a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

MEAN_AND_DEVIATION = "mean+deviation"

Features = npt.NDArray[np.float32]
"""(..., num_layers + 1, num_features) float32.

Of each layer the mean over time, then, where the pooling has it, the standard deviation.
"""


def pool_frames(states: Sequence[torch.Tensor], *, pooling: str) -> Features:
    """The features of one clip.

    Args:
        states: num_layers + 1 tensors, (num_frames, dim).
        pooling: One of `training.config.schema.POOLINGS`.

    Returns:
        (num_layers + 1, 2 * dim) float32; (num_layers + 1, dim) for "mean".
    """
    rows: list[Features] = []
    for layer in states:
        statistics = [layer.mean(dim=0).cpu().numpy()]
        if pooling == MEAN_AND_DEVIATION:
            statistics.append(layer.std(dim=0, correction=0).cpu().numpy())
        rows.append(np.concatenate(statistics))
    return np.stack(rows).astype(np.float32)
