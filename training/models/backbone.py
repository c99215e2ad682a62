"""The contract of speech encoders: waveforms in, the hidden states of every layer out.

What is padding is told by lengths and never reaches a clip: its hidden states are those that it has
alone, up to the rounding of other matrix sizes.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from training.compute import ON_CPU, Compute
from training.device import mixed_precision, open_device
from training.models.pool import MEAN_AND_DEVIATION, Features, pool_frames
from voxdata.ports import MODEL_RATE_HZ, Samples

MARGIN_SAMPLES = MODEL_RATE_HZ // 4
"""Silence put before and after every clip, the same for all.

A word cut to its edges is nothing these encoders heard in training. On spoken digits it is worth
about four points of accuracy (python -m benchmarks.digits).
"""

MAX_WINDOW_SAMPLES = 30 * MODEL_RATE_HZ


class Backbone(nn.Module, ABC):
    """A speech encoder; frozen or trained, as whoever uses it says.

    It comes in evaluation mode, and drops no layer in training mode either.

    Args:
        name: What `training.encoder.load_encoder` was asked for.
        model: The network of transformers.
        compute: Where it runs.

    Attributes:
        revision: SHA-256 over the weights as they were loaded.
        frame_rate_hz: Hidden states per second.
        arithmetic: The class of its device and its precision; see `Compute.arithmetic`.

    Raises:
        ConfigError: This machine has no such device.
    """

    frame_rate_hz: float

    def __init__(self, name: str, model: nn.Module, *, compute: Compute = ON_CPU) -> None:
        super().__init__()
        self.name = name
        self.revision = weights_revision(model)
        self.arithmetic = compute.arithmetic
        self.model = model
        self._compute = compute
        self._device = open_device(compute)
        self.to(self._device).eval()

    def forward(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All layers of a batch.

        Gradients flow through it.

        Args:
            waveforms: (batch, num_samples) float32 at MODEL_RATE_HZ, at most MAX_WINDOW_SAMPLES, on
                the encoder's device; what lies behind a clip's length has no influence.
            lengths: (batch,) int64, samples of each clip.

        Returns:
            (num_layers + 1, batch, num_frames, dim) float32 hidden states, the input embedding
            first, and (batch,) int64, the frames of each clip. Behind these the states mean
            nothing.
        """
        frame_lengths = self.count_frames(lengths)
        states = self.run_layers(waveforms, lengths, frame_lengths)
        # Half precision ends here; double stays.
        dtype = torch.promote_types(states[0].dtype, torch.float32)
        return torch.stack([state.to(dtype) for state in states]), frame_lengths

    @abstractmethod
    def count_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        """(batch,) samples -> (batch,) frames."""

    @abstractmethod
    def run_layers(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, frame_lengths: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """num_layers + 1 tensors, (batch, num_frames, dim); the arguments are those of `forward`
        and what `count_frames` made of them.
        """

    @torch.inference_mode()
    def hidden_states(self, samples: Samples) -> list[torch.Tensor]:
        """Every layer's output for one clip between its margins, the input embedding first.

        Args:
            samples: (num_samples,) float32 at MODEL_RATE_HZ, any length; clips over 30 s run in
                equal windows.

        Returns:
            num_layers + 1 tensors, (num_frames, dim) float32 on the encoder's device.
        """
        windows: list[list[torch.Tensor]] = []
        for window in split_windows(samples):
            windows += self._run([window])
        return _join_windows(windows)

    @torch.inference_mode()
    def extract(
        self, clips: Sequence[Samples], *, pooling: str = MEAN_AND_DEVIATION
    ) -> list[Features]:
        """The pooled hidden states of some clips; no gradients.

        On a GPU they run as one batch. On the CPU they run one by one, which costs the same there,
        so that features do not depend, not even in their last bit, on the clips beside them.

        Args:
            clips: As for `hidden_states`.
            pooling: One of `training.config.schema.POOLINGS`.

        Returns:
            For each clip what `pool_frames` makes of it.
        """
        parts = [split_windows(samples) for samples in clips]
        together = list(chain.from_iterable(parts))
        batches = [together] if self._device.type != "cpu" else [[one] for one in together]
        states = chain.from_iterable(map(self._run, batches))
        pooled: list[Features] = []
        for windows in parts:
            own = [next(states) for _ in windows]
            pooled.append(pool_frames(_join_windows(own), pooling=pooling))
        return pooled

    def _run(self, windows: Sequence[Samples]) -> list[list[torch.Tensor]]:
        """Each window's layers, without what lies behind its frames."""
        waveforms, lengths = pad_batch(windows)
        states, frame_lengths = self(waveforms.to(self._device), lengths.to(self._device))
        layers: list[list[torch.Tensor]] = []
        for row, num_frames in enumerate(frame_lengths.tolist()):
            layers.append(list(states[:, row, :num_frames]))
        return layers

    def mixed_precision(self) -> torch.autocast:
        """Multiply in the precision of its compute, while in this context."""
        return mixed_precision(self._compute)


def pad_batch(clips: Sequence[Samples]) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips as `Backbone.forward` takes them.

    Returns:
        (batch, num_samples) float32 with zeros behind each clip, and (batch,) int64 lengths.
    """
    rows = [torch.from_numpy(np.ascontiguousarray(clip, dtype=np.float32)) for clip in clips]
    lengths = torch.tensor([len(row) for row in rows])
    return pad_sequence(rows, batch_first=True), lengths


def split_windows(samples: Samples) -> list[Samples]:
    """The clip between its margins, as equal windows of at most 30 s."""
    padded = np.pad(samples, MARGIN_SAMPLES).astype(np.float32, copy=False)
    num_windows = -(-len(padded) // MAX_WINDOW_SAMPLES)
    return list(np.array_split(padded, num_windows))


def _join_windows(windows: Iterable[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The layers of the whole clip from the layers of each of its windows."""
    return [torch.cat(layer) for layer in zip(*windows, strict=True)]


def mask_frames(frame_lengths: torch.Tensor, num_frames: int) -> torch.Tensor:
    """(batch, num_frames) bool: True within each clip.

    >>> mask_frames(torch.tensor([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    positions = torch.arange(num_frames, device=frame_lengths.device)
    return positions < frame_lengths[:, None]


def weights_revision(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights."""
    hasher = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        # A number alone cannot be seen as bytes.
        seen_as = torch.uint8 if tensor.dim() else tensor.dtype
        values = tensor.detach().cpu().contiguous().view(seen_as)
        hasher.update(values.numpy().tobytes())
    return hasher.hexdigest()
