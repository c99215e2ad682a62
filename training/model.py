"""The head: pooled features of all encoder layers in, one score per label out."""

from __future__ import annotations

import torch
from torch import nn

from training.config import TrainingConfig


class Head(nn.Module):
    """Standardise, combine the layers, classify.

    Never the last layer alone: emotion lives in the middle ones.

    Args:
        num_layers: Encoder layers including the embedding.
        dim: Features per layer.
        num_labels: Outputs.
        config: Decides `layers`, `hidden_units` and `dropout`.
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
        width = num_layers * dim
        if config.layers == "weighted":
            self.layer_scores = nn.Parameter(torch.zeros(num_layers))
            width = dim
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = None
        if config.hidden_units:
            self.hidden = nn.Linear(width, config.hidden_units)
            width = config.hidden_units
        self.out = nn.Linear(width, num_labels)
        nn.init.zeros_(self.out.bias)
        if not config.hidden_units:
            nn.init.zeros_(self.out.weight)

    def fit_standardiser(self, features: torch.Tensor) -> None:
        """Set mean and scale from training features, (num_clips, num_layers, dim)."""
        self.mean.copy_(features.mean(dim=0))
        deviation = features.std(dim=0, correction=0)
        varies = deviation > 1e-6
        self.scale.copy_(deviation.where(varies, torch.ones_like(deviation)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, num_layers, dim) float32 -> (batch, num_labels) logits."""
        hidden = (features - self.mean) / self.scale
        if self.layer_scores is not None:
            hidden = torch.einsum("bld,l->bd", hidden, self.layer_scores.softmax(dim=0))
        hidden = self.dropout(hidden.flatten(1))
        if self.hidden is not None:
            hidden = torch.relu(self.hidden(hidden))
            hidden = self.dropout(hidden)
        out: torch.Tensor = self.out(hidden)
        return out
