"""Heads of several seeds that answer as one: their probabilities are averaged."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from training.config import TrainingConfig
from training.models.head import Head


class HeadAverage(nn.Module):
    """Heads of one shape, each with weights of its own, behind the interface of a `Head`.

    Args:
        heads: At least one.
    """

    def __init__(self, heads: list[Head]) -> None:
        super().__init__()
        self._heads = heads
        self.seeds = nn.ModuleList(heads)

    @property
    def members(self) -> list[Head]:
        """The heads that answer together."""
        return self._heads

    def fit_standardiser(self, blocks: Iterable[torch.Tensor]) -> None:
        """Set mean and scale of every head from training features; see `Head`."""
        first, *others = self._heads
        first.fit_standardiser(blocks)
        for head in others:
            head.mean.copy_(first.mean)
            head.scale.copy_(first.scale)

    def standardise(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_layers, dim) -> (batch, num_taken, dim), the same for every head."""
        return self._heads[0].standardise(features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_layers, dim) float32 -> (batch, num_labels), the log of the mean
        probabilities.
        """
        hidden = self.standardise(features)
        answers = [head.classify(hidden).log_softmax(dim=1) for head in self._heads]
        total = torch.stack(answers).logsumexp(dim=0)
        return total - math.log(len(self._heads))


def make_head(
    *, num_layers: int, dim: int, num_labels: int, config: TrainingConfig
) -> Head | HeadAverage:
    """An untrained head, or as many as `config.head.seeds` asks for; the arguments of `Head`.

    Raises:
        TrainingError: `config` asks for a layer that is not there.
    """
    heads: list[Head] = []
    for _ in range(config.head.seeds):
        head = Head(num_layers=num_layers, dim=dim, num_labels=num_labels, config=config)
        heads.append(head)
    return heads[0] if len(heads) == 1 else HeadAverage(heads)
