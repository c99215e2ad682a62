"""Clip features: mean and standard deviation over time of every encoder layer, cached by content."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.encoder import Encoder
from training.feature_files import PADDING_POLICY, feature_file
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.durable import write_file
from voxdata.errors import AudioError, TrainingError
from voxdata.identity import digest
from voxdata.ports import Samples

Features = npt.NDArray[np.float32]
"""(..., num_layers + 1, 2 * dim) float32: per layer the mean over time, then the standard deviation."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """The features of some examples, in their order.

    Attributes:
        values: (num_examples, num_layers + 1, 2 * dim) float32.
        computed_seconds: Audio that went through the encoder now.
        num_cached: Clips that were in the cache.
    """

    values: Features
    computed_seconds: float
    num_cached: int


def pool_clip(encoder: Encoder, samples: Samples) -> Features:
    """Features of one clip, (num_layers + 1, 2 * dim) float32."""
    states = encoder.hidden_states(samples)
    rows = [
        np.concatenate([s.mean(dim=0).cpu().numpy(), s.std(dim=0, correction=0).cpu().numpy()])
        for s in states
    ]
    return np.stack(rows).astype(np.float32)


def load_features(
    encoder: Encoder,
    examples: Sequence[Example],
    *,
    audio_root: Path,
    cache_dir: Path,
    guard: AudioGuard,
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
    computed_seconds, num_cached = 0.0, 0
    for number, example in enumerate(examples, start=1):
        path = cached_file(encoder, cache_dir, example.utterance_id)
        row = _read(path)
        if row is None:
            try:
                audio = audio_root / example.audio_file
                expected = guard.admit(audio, example.recording_id)
                samples = read_clip(
                    audio, channel=example.channel, segment=example.segment, expected=expected
                )
            except AudioError as error:
                raise TrainingError(f"example {example.utterance_id}: {error}") from error
            row = pool_clip(encoder, samples)
            _write(path, row)
            computed_seconds += len(samples) / 16_000
        else:
            num_cached += 1
        rows.append(row)
        if progress and (number % 100 == 0 or number == len(examples)):
            progress(
                f"features: {number}/{len(examples)} clips, {computed_seconds:.0f} s of audio encoded, {num_cached} from the cache"
            )
    return FeatureSet(
        values=np.stack(rows), computed_seconds=computed_seconds, num_cached=num_cached
    )


def cached_file(encoder: Encoder, cache_dir: Path, utterance_id: str) -> Path:
    """Where the features of an utterance are cached."""
    return (
        cache_dir
        / digest(encoder.name, encoder.revision, PADDING_POLICY)
        / feature_file(utterance_id)
    )


def _read(path: Path) -> Features | None:
    """What is cached; None when it is not there or was damaged by something else (it is then computed again)."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored["pooled"], dtype=np.float32)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        return None


def _write(path: Path, row: Features) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, pooled=row)
    write_file(path, buffer.getvalue())
