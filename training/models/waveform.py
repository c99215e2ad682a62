"""wav2vec2 and its relatives: HuBERT, WavLM, data2vec and others that read waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from training.compute import ON_CPU, Compute
from training.models.backbone import Backbone, mask_frames
from voxdata.ports import MODEL_RATE_HZ


class WaveformBackbone(Backbone):
    """Clips of one length run together; of several lengths too, where the network is able to.

    A network whose first convolution normalises over time (`feat_extract_norm = "group"`, as in
    wav2vec2-base and hubert-base) would count the padding in, and knows no mask there: its clips
    run in groups of one length.

    Args:
        normalise: Whether each clip gets mean 0 and variance 1 first.
    """

    def __init__(
        self, name: str, model: Any, *, normalise: bool, compute: Compute = ON_CPU
    ) -> None:
        super().__init__(name, model, compute=compute)
        config = model.config
        # In training mode too, nothing is random but dropout, and every layer gives its output.
        config.layerdrop = 0.0
        config.apply_spec_augment = False
        self.frame_rate_hz = MODEL_RATE_HZ / float(np.prod(config.conv_stride))
        self._normalise = normalise
        # WavLM hands torch masks of two types, which torch is to refuse.
        self._can_mask = config.feat_extract_norm != "group" and config.model_type != "wavlm"

    def count_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        """See `Backbone.count_frames`: what the convolutions leave, which pad nothing."""
        network: Any = self.model
        config = network.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            lengths = (lengths - kernel) // stride + 1
        return lengths

    def run_layers(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, frame_lengths: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """See `Backbone.run_layers`."""
        if self._normalise:
            waveforms = _normalise(waveforms, lengths)
        different = sorted(set(lengths.tolist()))
        if len(different) == 1:
            return self._run_layers(waveforms[:, : different[0]], None)
        if self._can_mask:
            inside = mask_frames(lengths, waveforms.shape[1])
            return self._run_layers(waveforms * inside, inside.long())
        num_frames = int(frame_lengths.max())
        groups: list[tuple[torch.Tensor, Sequence[torch.Tensor]]] = []
        for length in different:
            rows = torch.nonzero(lengths == length)[:, 0]
            groups.append((rows, self._run_layers(waveforms[rows, :length], None)))
        return _join_groups(groups, num_frames=num_frames)

    def _run_layers(
        self, waveforms: torch.Tensor, mask: torch.Tensor | None
    ) -> Sequence[torch.Tensor]:
        with self.mixed_precision():
            out = self.model(waveforms, attention_mask=mask, output_hidden_states=True)
        states: Sequence[torch.Tensor] = out.hidden_states
        return states


def _normalise(waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Each clip with mean 0 and variance 1 over its own samples, and zeros behind them."""
    normal = torch.zeros_like(waveforms)
    for row, (waveform, length) in enumerate(zip(waveforms, lengths.tolist(), strict=True)):
        clip = waveform[:length]
        centred = clip - clip.mean()
        deviation = (clip.var(correction=0) + 1e-7).sqrt()
        normal[row, :length] = centred / deviation
    return normal


def _join_groups(
    groups: Sequence[tuple[torch.Tensor, Sequence[torch.Tensor]]], *, num_frames: int
) -> list[torch.Tensor]:
    """Put groups of clips back into the order of their batch.

    Args:
        groups: For each the rows of its clips, and its layers, (batch, its frames, dim).

    Returns:
        The layers, (batch, num_frames, dim), with zeros behind each clip.
    """
    order = torch.cat([rows for rows, _ in groups]).argsort()
    layers: list[torch.Tensor] = []
    for of_groups in zip(*[states for _, states in groups], strict=True):
        padded = [_pad_frames(state, num_frames) for state in of_groups]
        layers.append(torch.cat(padded)[order])
    return layers


def _pad_frames(state: torch.Tensor, num_frames: int) -> torch.Tensor:
    missing = num_frames - state.shape[1]
    return torch.nn.functional.pad(state, (0, 0, 0, missing))
