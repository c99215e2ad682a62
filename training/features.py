"""Clip features: mean and deviation over time of every encoder layer, cached by content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.compute import ON_CPU
from training.feature_files import PADDING_POLICY, feature_file
from training.models.backbone import Backbone
from training.models.pool import MEAN_AND_DEVIATION, Features
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.durable import write_file
from voxdata.errors import AudioError, TrainingError
from voxdata.identity import digest
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.progress import read_progress

Progress = Callable[[str], None]
PROGRESS_EVERY = 100
"""Clips between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """The features of some examples, in their order.

    Attributes:
        values: (num_examples, num_layers + 1, num_features) float32.
        computed_seconds: Audio that went through the encoder now.
        num_cached: Clips that were in the cache.
    """

    values: Features
    computed_seconds: float
    num_cached: int


def load_features(
    encoder: Backbone,
    examples: Sequence[Example],
    *,
    audio_root: Path,
    cache_dir: Path,
    guard: AudioGuard,
    pooling: str = MEAN_AND_DEVIATION,
    progress: Progress | None = None,
) -> FeatureSet:
    """Features of the examples, from the cache where possible.

    Args:
        guard: Lets a recording be read when its file is what was stored.

    Raises:
        TrainingError: An example's audio is missing, damaged or another recording's.
        MachineError: The cache cannot be written, or the audio cannot be read though it is there.
    """
    rows: list[Features] = []
    computed_seconds = 0.0
    num_cached = 0
    for number, example in enumerate(examples, start=1):
        path = cached_file(encoder, cache_dir, example.utterance_id, pooling=pooling)
        row = _read(path)
        if row is None:
            samples = _read_samples(example, audio_root, guard)
            (row,) = encoder.extract([samples], pooling=pooling)
            _write(path, row)
            computed_seconds += len(samples) / MODEL_RATE_HZ
        else:
            num_cached += 1
        rows.append(row)
        if progress and (number % PROGRESS_EVERY == 0 or number == len(examples)):
            line = (
                f"features: {number}/{len(examples)} clips, "
                f"{computed_seconds:.0f} s of audio encoded, {num_cached} from the cache"
            )
            progress(read_progress(line))
    return FeatureSet(
        values=np.stack(rows),
        computed_seconds=computed_seconds,
        num_cached=num_cached,
    )


def _read_samples(example: Example, audio_root: Path, guard: AudioGuard) -> Samples:
    path = audio_root / example.audio_file
    try:
        expected = guard.admit(path, example.recording_id)
        return read_clip(
            path,
            channel=example.channel,
            segment=example.segment,
            expected=expected,
        )
    except AudioError as error:
        raise TrainingError(f"example {example.utterance_id}: {error}") from error


def cached_file(
    encoder: Backbone,
    cache_dir: Path,
    utterance_id: str,
    *,
    pooling: str = MEAN_AND_DEVIATION,
) -> Path:
    """Where the features of an utterance are cached."""
    parts = [encoder.name, encoder.revision, PADDING_POLICY]
    if pooling != MEAN_AND_DEVIATION:
        parts.append(pooling)
    if encoder.arithmetic != ON_CPU.arithmetic:
        parts.append(encoder.arithmetic)
    folder = digest(*parts)
    return cache_dir / folder / feature_file(utterance_id)


def _read(path: Path) -> Features | None:
    """What is cached; None when it is not there or is damaged, and so has to be computed again."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored["pooled"], dtype=np.float32)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None


def _write(path: Path, row: Features) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, pooled=row)
    write_file(path, buffer.getvalue())
