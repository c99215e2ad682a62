"""Clip features: the pooled layers of an encoder, from the cache where possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from training.feature_files import feature_name
from training.feature_store import (
    CLIPS_PER_SHARD,
    FeatureStore,
    Indices,
    Place,
    Rows,
    StoredRows,
    round_features,
)
from training.models.backbone import Backbone
from training.models.pool import MEAN_AND_DEVIATION, Features
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.errors import AudioError, TrainingError
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.progress import read_progress

Progress = Callable[[str], None]
PROGRESS_EVERY = 100
"""Clips between two lines of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """The features of some examples, in their order.

    Attributes:
        rows: Read by index; not all at once in memory when they are many.
        computed_seconds: Audio that went through the encoder now.
        num_cached: Clips that were in the cache.
    """

    rows: Rows
    computed_seconds: float
    num_cached: int

    @property
    def values(self) -> Features:
        """All of them, (num_examples, num_layers + 1, num_features) float32."""
        everything: Indices = np.arange(self.rows.shape[0])
        return self.rows[everything]


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
        examples: At least one.
        guard: Lets a recording be read when its file is what was stored.
        pooling: One of `training.config.schema.POOLINGS`.

    Raises:
        TrainingError: An example's audio is missing, damaged or another recording's.
        MachineError: The cache cannot be written, or the audio cannot be read though it is there.
    """
    store = FeatureStore(cache_dir, encoder, pooling=pooling)
    places = store.find()
    names = [feature_name(example.utterance_id) for example in examples]
    absent: dict[str, Example] = {}
    for name, example in zip(names, examples, strict=True):
        if name not in places:
            absent[name] = example
    encoding = _Encoding(
        encoder,
        audio_root=audio_root,
        guard=guard,
        pooling=pooling,
        num_cached=len(examples) - len(absent),
        progress=progress,
    )
    for part in _split(absent, CLIPS_PER_SHARD):
        encoding.run(part, store, num_examples=len(examples))
    if absent:
        places = store.find()
    else:
        encoding.tell(num_examples=len(examples))
    return FeatureSet(
        rows=StoredRows([_find_place(places, name) for name in names]),
        computed_seconds=encoding.seconds,
        num_cached=encoding.num_cached,
    )


def find_uncached(
    encoder: Backbone,
    cache_dir: Path,
    utterance_ids: Sequence[str],
    *,
    pooling: str = MEAN_AND_DEVIATION,
) -> set[str]:
    """Those of some utterances whose features are not cached."""
    places = FeatureStore(cache_dir, encoder, pooling=pooling).find()
    return {key for key in utterance_ids if feature_name(key) not in places}


def _split(examples: Mapping[str, Example], size: int) -> Iterator[dict[str, Example]]:
    rest = iter(examples.items())
    while part := dict(islice(rest, size)):
        yield part


def _find_place(places: Mapping[str, Place], name: str) -> Place:
    if name not in places:
        raise TrainingError(
            "cached features went while they were in use, as when somebody is forgotten; "
            "train again"
        )
    return places[name]


class _Encoding:
    """Encodes clips, and says how far it has come.

    Attributes:
        seconds: Audio encoded so far.
        num_cached: Clips that need not be encoded.
    """

    def __init__(
        self,
        encoder: Backbone,
        *,
        audio_root: Path,
        guard: AudioGuard,
        pooling: str,
        num_cached: int,
        progress: Progress | None,
    ) -> None:
        self.seconds = 0.0
        self.num_cached = num_cached
        self._num_done = num_cached
        self._encoder = encoder
        self._audio_root = audio_root
        self._guard = guard
        self._pooling = pooling
        self._progress = progress

    def run(
        self, examples: Mapping[str, Example], store: FeatureStore, *, num_examples: int
    ) -> None:
        """Encode the clips of a shard, and write it: what was encoded before an error, too."""
        rows: dict[str, Features] = {}
        try:
            for name, example in examples.items():
                samples = read_samples(example, self._audio_root, self._guard)
                (features,) = self._encoder.extract([samples], pooling=self._pooling)
                rows[name] = round_features(features)
                self.seconds += len(samples) / MODEL_RATE_HZ
                self._num_done += 1
                if self._num_done % PROGRESS_EVERY == 0 or self._num_done == num_examples:
                    self.tell(num_examples=num_examples)
        finally:
            if rows:
                store.write(rows)

    def tell(self, *, num_examples: int) -> None:
        """Say how far it has come."""
        if self._progress:
            line = (
                f"features: {self._num_done}/{num_examples} clips, "
                f"{self.seconds:.0f} s of audio encoded, {self.num_cached} from the cache"
            )
            self._progress(read_progress(line))


def read_samples(example: Example, audio_root: Path, guard: AudioGuard) -> Samples:
    """The samples of an example, at 16 kHz.

    Raises:
        TrainingError: They cannot be had.
    """
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
