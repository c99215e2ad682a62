"""A trained model as a labeler of the pre-labelling stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.checkpoint import AudioPart, TextPart, load_checkpoint
from training.compute import ON_CPU, Compute
from training.feature_files import PADDING_POLICY
from training.metrics import Floats
from training.text.join import join_parts
from training.text.normal import TEXT_POLICY
from training.text.text_head import Heard, TextReader
from training.text.vectors import sentence_model
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef
from voxdata.label import Distribution
from voxdata.ports import Clip

if TYPE_CHECKING:
    from training.models.backbone import Backbone
    from training.models.pool import Features


class TrainedLabeler:
    """The Labeler port on a checkpoint. The encoder is loaded with the first clip, and never by a
    model that only reads.

    Args:
        checkpoint_dir: What `python -m training` wrote to `output/checkpoint`.
        cache_dir: Where hub downloads of the encoder go.
        compute: Where the encoder runs; the head runs on the CPU.

    Raises:
        TrainingError: The checkpoint is missing or damaged, or made under another padding policy,
            text policy or sentence model.
    """

    def __init__(
        self, checkpoint_dir: Path, *, cache_dir: Path | None = None, compute: Compute = ON_CPU
    ) -> None:
        self._checkpoint, self._model = load_checkpoint(checkpoint_dir)
        if self._checkpoint.audio is not None:
            _check_audio(self._checkpoint.audio, checkpoint_dir)
        if self._checkpoint.text is not None:
            _check_text(self._checkpoint.text, checkpoint_dir)
        self._cache_dir = cache_dir
        self._compute = compute
        self._encoder: Backbone | None = None
        self._reader: TextReader | None = None

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

        A model that only reads abstains where the text has no letter or digit.

        Raises:
            TrainingError: The encoder's weights are not those the head was trained on.
            ConfigError: This machine has no such device.
        """
        if not clips:
            return []
        checkpoint = self._checkpoint
        heard = None if checkpoint.audio is None else self._listen(checkpoint.audio, clips)
        read = None if checkpoint.text is None else self._read(checkpoint.text, clips)
        answers = join_parts(checkpoint.join, heard, read)
        return [dict(zip(self.labels, row, strict=True)) for row in answers.tolist()]

    def _listen(self, part: AudioPart, clips: Sequence[Clip]) -> Floats:
        from training.feature_store import DTYPE, round_features
        from training.loop import predict

        encoder = self._load(part)
        pooling = self._checkpoint.config.audio.pooling
        rows: list[Features] = []
        for clip in clips:
            rows += encoder.extract([clip.samples], pooling=pooling)
        features = np.stack(rows)
        if part.feature_dtype == DTYPE:
            features = round_features(features)
        return predict(part.head, features)

    def _load(self, part: AudioPart) -> Backbone:
        from training.encoder import load_encoder

        if self._encoder is None:
            name = self._checkpoint.config.encoder
            encoder = load_encoder(name, compute=self._compute, cache_dir=self._cache_dir)
            if encoder.revision != part.encoder_revision:
                raise TrainingError(
                    f"encoder {name!r} has other weights than the head was trained on; "
                    "install that version or train again"
                )
            self._encoder = encoder
        return self._encoder

    def _read(self, part: TextPart, clips: Sequence[Clip]) -> Floats:
        if self._reader is None:
            self._reader = TextReader(part.head)
        heard = Heard(
            texts=[clip.text for clip in clips],
            languages=[clip.language for clip in clips],
        )
        return self._reader.answer(heard)


def _check_audio(part: AudioPart, checkpoint_dir: Path) -> None:
    if part.padding_policy != PADDING_POLICY:
        raise TrainingError(
            f"{checkpoint_dir}: made under padding policy {part.padding_policy}, "
            f"this release uses {PADDING_POLICY}; train again"
        )


def _check_text(part: TextPart, checkpoint_dir: Path) -> None:
    if part.policy != TEXT_POLICY:
        raise TrainingError(
            f"{checkpoint_dir}: made under text policy {part.policy}, "
            f"this release uses {TEXT_POLICY}; train again"
        )
    if part.sentence_model != sentence_model(part.head.config):
        raise TrainingError(
            f"{checkpoint_dir}: made with another sentence model than this release has; train again"
        )
