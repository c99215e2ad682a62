"""The head: pooled features of all encoder layers in, one score per label out."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from training.config import TrainingConfig
from voxdata.errors import TrainingError


class Head(nn.Module):
    """Standardise, combine the layers, classify.

    Never the last layer alone: emotion lives in the middle ones.

    Args:
        num_layers: Encoder layers including the embedding.
        dim: Features per layer.
        num_labels: Outputs.
        config: Decides by its audio.layers and its head.

    Raises:
        TrainingError: `config` asks for a layer that is not there.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self, *, num_layers: int, dim: int, num_labels: int, config: TrainingConfig
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_layers, dim))
        self.register_buffer("scale", torch.ones(num_layers, dim))
        self.layer_scores = None
        self._taken = _choose_layers(config, num_layers)
        width = len(self._taken) * dim
        if config.audio.layers == "weighted":
            self.layer_scores = nn.Parameter(torch.zeros(num_layers))
            width = dim
        self.dropout = nn.Dropout(config.head.dropout)
        self.hidden = None
        hidden_units = config.head.hidden_units
        if hidden_units:
            self.hidden = nn.Linear(width, hidden_units)
            width = hidden_units
        self.out = nn.Linear(width, num_labels)
        nn.init.zeros_(self.out.bias)
        if not hidden_units:
            nn.init.zeros_(self.out.weight)

    def fit_standardiser(self, blocks: Iterable[torch.Tensor]) -> None:
        """Set mean and scale from training features.

        Args:
            blocks: (num_clips, num_layers, dim) each, one after the other.
        """
        num_clips = 0
        mean = torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(mean)
        # As Chan, Golub and LeVeque join the variances of two parts.
        for block in blocks:
            values = block.double()
            own_mean = values.mean(dim=0)
            change = own_mean - mean
            joined = num_clips + len(values)
            mean += change * (len(values) / joined)
            squares += (values - own_mean).square().sum(dim=0)
            squares += change.square() * (num_clips * len(values) / joined)
            num_clips = joined
        deviation = (squares / num_clips).sqrt().float()
        self.mean.copy_(mean)
        varies = deviation > 1e-6
        self.scale.copy_(deviation.where(varies, torch.ones_like(deviation)))

    @property
    def members(self) -> list[Head]:
        """The heads that answer together: this one alone."""
        return [self]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_layers, dim) float32 -> (batch, num_labels) logits."""
        return self.classify(self.standardise(features))

    def standardise(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_layers, dim) -> (batch, num_taken, dim), each in standard deviations."""
        hidden = (features - self.mean) / self.scale
        if len(self._taken) < len(self.mean):
            hidden = hidden[:, self._taken]
        return hidden

    def classify(self, hidden: torch.Tensor) -> torch.Tensor:
        """(batch, num_taken, dim), standardised -> (batch, num_labels) logits."""
        if self.layer_scores is not None:
            hidden = torch.einsum("bld,l->bd", hidden, self.layer_scores.softmax(dim=0))
        hidden = self.dropout(hidden.flatten(1))
        if self.hidden is not None:
            hidden = torch.relu(self.hidden(hidden))
            hidden = self.dropout(hidden)
        out: torch.Tensor = self.out(hidden)
        return out


def _choose_layers(config: TrainingConfig, num_layers: int) -> list[int]:
    """The layers that a head looks at."""
    if isinstance(config.audio.layers, str):
        return list(range(num_layers))
    highest = config.audio.layers[-1]
    if highest >= num_layers:
        raise TrainingError(
            f"audio.layers asks for layer {highest}; encoder {config.encoder!r} has 0 to "
            f"{num_layers - 1}"
        )
    return list(config.audio.layers)
