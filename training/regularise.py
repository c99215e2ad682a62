"""What keeps a head from learning its few clips by heart: noise, mixing, softer targets."""

from __future__ import annotations

import torch

from training.config import FitConfig


def disturb(
    inputs: torch.Tensor, targets: torch.Tensor, config: FitConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Disturb a batch as configured; what is off draws no random number.

    Args:
        inputs: (batch, num_layers, dim), standardised.
        targets: (batch, num_labels); rows add up to 1.

    Returns:
        Both, in the same shapes; rows of the targets still add up to 1.
    """
    if config.feature_noise:
        inputs = inputs + config.feature_noise * torch.randn_like(inputs)
    if config.mixup:
        inputs, targets = mix_up(inputs, targets, alpha=config.mixup)
    if config.label_smoothing:
        targets = smooth(targets, share=config.label_smoothing)
    return inputs, targets


def mix_up(
    inputs: torch.Tensor, targets: torch.Tensor, *, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix every clip with another of its batch, and their targets by the same share.

    Args:
        inputs: (batch, num_layers, dim).
        targets: (batch, num_labels).
        alpha: Each share is drawn from Beta(alpha, alpha); near 0, most clips stay as they are.
    """
    partners = torch.randperm(len(inputs))
    beta = torch.distributions.Beta(alpha, alpha)
    shares = beta.sample((len(inputs), 1)).to(inputs)
    mixed = torch.lerp(inputs[partners], inputs, shares[:, :, None])
    return mixed, torch.lerp(targets[partners], targets, shares)


def smooth(targets: torch.Tensor, *, share: float) -> torch.Tensor:
    """Spread a share of every target, (batch, num_labels), evenly over all labels."""
    num_labels = targets.shape[1]
    return (1 - share) * targets + share / num_labels
