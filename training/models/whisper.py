"""Whisper's encoder, with as many positions as the clip has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import gelu
from torch.nn.utils.rnn import pad_sequence
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from training.compute import ON_CPU, Compute
from training.models.backbone import Backbone, mask_frames
from voxdata.ports import MODEL_RATE_HZ

HOP_SAMPLES = 160
FFT_SAMPLES = 400


class WhisperBackbone(Backbone):
    """Positions are cut to the clip; attention and convolutions see nothing behind it.

    transformers' own `forward` takes 30 s and has no mask, so its layers are called here.
    """

    frame_rate_hz = 50.0
    filters: torch.Tensor
    window: torch.Tensor

    def __init__(self, name: str, model: WhisperEncoder, *, compute: Compute = ON_CPU) -> None:
        network: Any = model
        super().__init__(name, network, compute=compute)
        bins = mel_filter_bank(
            201,
            model.config.num_mel_bins,
            0.0,
            8000.0,
            MODEL_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        filters = torch.from_numpy(bins.T.astype(np.float32))
        self.register_buffer("filters", filters.to(self._device), persistent=False)
        window = torch.hann_window(FFT_SAMPLES, device=self._device)
        self.register_buffer("window", window, persistent=False)

    def count_frames(self, lengths: torch.Tensor) -> torch.Tensor:
        """See `Backbone.count_frames`: one for two spectra."""
        num_spectra = lengths // HOP_SAMPLES
        return (num_spectra + 1) // 2

    def run_layers(
        self, waveforms: torch.Tensor, lengths: torch.Tensor, frame_lengths: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """See `Backbone.run_layers`."""
        # The spectra at a clip's end look behind it, so each is made from its own samples.
        clips = zip(waveforms, lengths.tolist(), strict=True)
        spectra = [self.log_mel(waveform[:length]).T for waveform, length in clips]
        batch = pad_sequence(spectra, batch_first=True).transpose(1, 2)
        padded = bool((lengths != lengths[0]).any())
        with self.mixed_precision():
            return self._run_layers(batch, lengths // HOP_SAMPLES if padded else None)

    def log_mel(self, waveform: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram of exactly these samples.

        Args:
            waveform: (num_samples,) float32.

        Returns:
            (num_mel_bins, num_samples // 160) float32.
        """
        frames = torch.stft(
            waveform,
            n_fft=FFT_SAMPLES,
            hop_length=HOP_SAMPLES,
            window=self.window,
            return_complex=True,
        )
        power = frames[:, :-1].abs().square()
        log_mel = (self.filters @ power).clamp(min=1e-10).log10()
        floor = log_mel.max() - 8.0
        return (log_mel.maximum(floor) + 4.0) / 4.0

    def _run_layers(
        self, batch: torch.Tensor, num_spectra: torch.Tensor | None
    ) -> list[torch.Tensor]:
        """Every layer's output.

        Args:
            batch: (batch, num_mel_bins, num_spectra).
            num_spectra: (batch,) of each clip; None where all have as many, and nothing is masked.
        """
        network: Any = self.model
        batch = gelu(network.conv1(batch))
        if num_spectra is not None:
            # The next convolution looks one spectrum behind a clip's end: a clip alone has zero
            # there.
            inside = mask_frames(num_spectra, batch.shape[2])
            batch = batch * inside[:, None]
        batch = gelu(network.conv2(batch))
        hidden = batch.transpose(1, 2)
        hidden = hidden + network.embed_positions.weight[: hidden.shape[1]]
        mask = None
        if num_spectra is not None:
            inside = mask_frames((num_spectra + 1) // 2, hidden.shape[1])
            mask = _hide_keys(inside, hidden.dtype)
        states = [hidden]
        for layer in network.layers:
            out = layer(states[-1], mask)
            states.append(out[0] if isinstance(out, tuple) else out)
        states[-1] = network.layer_norm(states[-1])
        return states


def _hide_keys(inside: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(batch, num_frames) bool -> (batch, 1, num_frames, num_frames), to be added to the scores of
    attention.
    """
    lowest = torch.finfo(dtype).min
    batch, num_frames = inside.shape
    hidden = torch.zeros(batch, num_frames, dtype=dtype, device=inside.device)
    hidden = hidden.masked_fill(~inside, lowest)
    return hidden[:, None, None].expand(-1, 1, num_frames, -1)
