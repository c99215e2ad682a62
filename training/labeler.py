"""A trained model as a labeler of the pre-labelling stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.checkpoint import load_checkpoint
from training.compute import ON_CPU, Compute
from training.encoder import load_encoder
from training.feature_files import PADDING_POLICY
from training.feature_store import DTYPE, round_features
from training.loop import predict
from training.models.backbone import Backbone
from training.models.pool import Features
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef
from voxdata.label import Distribution
from voxdata.ports import Clip


class TrainedLabeler:
    """The Labeler port on a checkpoint. The encoder is loaded with the first clip.

    Args:
        checkpoint_dir: What `python -m training` wrote to `output/checkpoint`.
        cache_dir: Where hub downloads of the encoder go.
        compute: Where the encoder runs; the head runs on the CPU.

    Raises:
        TrainingError: The checkpoint is missing, damaged, or made under another padding policy.
    """

    def __init__(
        self, checkpoint_dir: Path, *, cache_dir: Path | None = None, compute: Compute = ON_CPU
    ) -> None:
        self._checkpoint, self._model = load_checkpoint(checkpoint_dir)
        if self._checkpoint.padding_policy != PADDING_POLICY:
            policy = self._checkpoint.padding_policy
            raise TrainingError(
                f"{checkpoint_dir}: made under padding policy {policy}, "
                f"this release uses {PADDING_POLICY}; train again"
            )
        self._cache_dir = cache_dir
        self._compute = compute
        self._encoder: Backbone | None = None

    @property
    def model(self) -> ModelRef:
        """What is running; never weak."""
        return self._model

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels it knows, in the order of the scheme it was trained on."""
        return self._checkpoint.labels

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """One distribution per clip, each from that clip alone.

        Raises:
            TrainingError: The encoder's weights are not those the head was trained on.
            ConfigError: This machine has no such device.
        """
        if not clips:
            return []
        encoder = self._load()
        pooling = self._checkpoint.config.audio.pooling
        rows: list[Features] = []
        for clip in clips:
            rows += encoder.extract([clip.samples], pooling=pooling)
        features = np.stack(rows)
        if self._checkpoint.feature_dtype == DTYPE:
            features = round_features(features)
        answers = predict(self._checkpoint.head, features)
        return [dict(zip(self.labels, row, strict=True)) for row in answers.tolist()]

    def _load(self) -> Backbone:
        if self._encoder is None:
            name = self._checkpoint.config.encoder
            encoder = load_encoder(name, compute=self._compute, cache_dir=self._cache_dir)
            if encoder.revision != self._checkpoint.encoder_revision:
                raise TrainingError(
                    f"encoder {name!r} has other weights than the head was trained on; "
                    "install that version or train again"
                )
            self._encoder = encoder
        return self._encoder
