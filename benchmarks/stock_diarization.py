"""pyannote.audio's own `SpeakerDiarization`, as a user would build it from the weights that voxdata
uses: the peer to be equal to.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
import torchaudio.compliance.kaldi as kaldi  # type: ignore[import-untyped]

from voxdata.backends.diarization.campplus import DIMENSION, load_network
from voxdata.backends.diarization.pyannote import encode_annotation
from voxdata.backends.diarization.telemetry import import_pyannote
from voxdata.backends.weights import locate
from voxdata.ports import MODEL_RATE_HZ, Diarization, Samples

import_pyannote()

from pyannote.audio import Model, Pipeline  # noqa: E402
from pyannote.audio.core.plda import PLDA  # noqa: E402
from pyannote.audio.models.blocks.pooling import StatsPool  # noqa: E402
from pyannote.audio.pipelines import SpeakerDiarization  # noqa: E402


class CamPlusPlus(Model):
    """CAM++ as an ordinary pyannote.audio embedding model: whole waveforms in, statistics pooled by
    `weights`.
    """

    def __init__(
        self,
        sample_rate: int = MODEL_RATE_HZ,
        num_channels: int = 1,
        task: None = None,
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            num_channels=num_channels,
            task=task,
        )
        self.save_hyperparameters("sample_rate", "num_channels")
        network: Any = load_network()
        layers = dict(network.xvector.named_children())
        self.head, self.dense = network.head, layers["dense"]
        self.trunk = torch.nn.Sequential(
            *(layer for name, layer in layers.items() if name not in ("stats", "dense"))
        )
        self.pool = StatsPool()

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return DIMENSION

    def forward(
        self,
        waveforms: torch.Tensor,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(batch, 1, num_samples), (batch, num_weights) -> (batch, 192)."""
        rows = [
            kaldi.fbank(
                waveform,
                num_mel_bins=80,
                sample_frequency=MODEL_RATE_HZ,
                dither=0.0,
            )
            for waveform in waveforms
        ]
        features = torch.stack([row - row.mean(dim=0, keepdim=True) for row in rows])
        embedded: torch.Tensor = self.dense(
            self.pool(self.trunk(self.head(features.permute(0, 2, 1))), weights)
        )
        return embedded


def build_stock(
    *, threshold: float, min_cluster_size: int, segmentation_step: float, batch_size: int = 32
) -> Pipeline:
    """The pipeline, on one thread of the CPU."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = SpeakerDiarization(
            segmentation=Model.from_pretrained(locate("segmentation-3.0")),
            segmentation_step=segmentation_step,
            segmentation_batch_size=batch_size,
            embedding=CamPlusPlus().eval(),
            embedding_batch_size=batch_size,
            embedding_exclude_overlap=True,
            # Agglomerative clustering never asks it, yet the constructor would fetch one from the
            # hub.
            plda=PLDA.__new__(PLDA),
            clustering="AgglomerativeClustering",
        )
    pipeline.instantiate(
        {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {
                "method": "average",
                "threshold": threshold,
                "min_cluster_size": min_cluster_size,
            },
        }
    )
    return pipeline


def diarize_stock(
    pipeline: Pipeline,
    samples: Samples,
    *,
    max_speakers: int | None = None,
) -> Diarization:
    """Its answer in voxdata's words."""
    file = {
        "waveform": torch.from_numpy(np.ascontiguousarray(samples))[None],
        "sample_rate": MODEL_RATE_HZ,
        "uri": "recording",
    }
    output: Any = pipeline(file, max_speakers=max_speakers)
    return encode_annotation(
        output.speaker_diarization,
        output.speaker_embeddings,
        end_ms=len(samples) * 1000 // MODEL_RATE_HZ,
    )
