"""Cached features: written in shards, read by index from mapped files, in half precision."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from training.feature_files import (
    PADDING_POLICY,
    SHARD_SUFFIX,
    encode_names,
    find_shards,
    read_names,
)
from training.models.backbone import Backbone
from training.models.pool import Features
from voxdata.durable import write_file
from voxdata.errors import TrainingError
from voxdata.identity import digest

DTYPE = "float16"
CLIPS_PER_SHARD = 256
"""A few MB: little is encoded again when one is deleted, and a million clips are 4 000 files."""

OPEN_SHARDS = 128
_CHECKSUM = "sha256"
IN_MEMORY_BYTES = 2**28
"""Rows of less than this are read once and stay in memory."""

Indices = npt.NDArray[np.int64]


class Rows(Protocol):
    """Features of some clips, read by index; a numpy array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(num_clips, num_layers + 1, num_features)."""

    def __getitem__(self, indices: Indices, /) -> Features:
        """(len(indices), num_layers + 1, num_features) float32."""


def round_features(features: Features) -> Features:
    """Features as a cache gives them back: float32 with the digits of half precision.

    Raises:
        TrainingError: One is beyond what half precision can say.
    """
    largest = np.abs(features).max(initial=0.0)
    if not largest <= np.finfo(DTYPE).max:
        raise TrainingError(
            f"an encoder's features reach {largest}, larger than half precision can hold; "
            "use another encoder"
        )
    return features.astype(DTYPE).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the features of a clip are."""

    shard: Path
    row: int


class FeatureStore:
    """The cache of one way to make features.

    Args:
        cache_dir: Of all ways.
        encoder: Known by its weights, and by where it computes; its name means nothing.
        pooling: One of `training.config.schema.POOLINGS`.
    """

    def __init__(self, cache_dir: Path, encoder: Backbone, *, pooling: str) -> None:
        way = (encoder.revision, encoder.arithmetic, pooling, DTYPE, PADDING_POLICY)
        self._folder = cache_dir / digest(*way)

    def find(self) -> dict[str, Place]:
        """Name of a clip -> where its features are; damaged shards count as absent."""
        places: dict[str, Place] = {}
        for shard in find_shards(self._folder):
            try:
                names = read_names(shard)
            except (SafetensorError, OSError):
                continue
            for row, name in enumerate(names):
                places[name] = Place(shard=shard, row=row)
        return places

    def write(self, features: Mapping[str, Features]) -> None:
        """Write a shard, whole and on disk, or not at all.

        Args:
            features: Name of a clip -> (num_layers + 1, num_features), as `round_features` gives
                them; at least one.

        Raises:
            MachineError: It cannot be written.
        """
        rows = np.stack(list(features.values())).astype(DTYPE)
        tensors = {"features": rows, "names": encode_names(features)}
        content = safetensors.numpy.save(tensors, metadata={_CHECKSUM: _checksum(rows)})
        write_file(self._folder / f"{uuid.uuid4().hex}{SHARD_SUFFIX}", content)


class StoredRows:
    """Rows that lie in shards; see `Rows`.

    Args:
        places: Of the clips, in their order; at least one.

    Raises:
        TrainingError: A shard has gone or is damaged, here or when it is read.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        numbers: dict[Path, int] = {}
        for place in places:
            numbers.setdefault(place.shard, len(numbers))
        self._shards = list(numbers)
        self._shard_of = np.array([numbers[place.shard] for place in places], dtype=np.int32)
        self._row_of = np.array([place.row for place in places], dtype=np.int32)
        self._checked: set[Path] = set()
        self._open = lru_cache(maxsize=OPEN_SHARDS)(self._open_checked)
        clip_shape = self._open(self._shards[0]).get_shape()[1:]
        self.shape: tuple[int, ...] = (len(places), *clip_shape)
        self._kept: npt.NDArray[np.float16] | None = None
        num_bytes = 2 * int(np.prod(self.shape))
        if num_bytes < IN_MEMORY_BYTES:
            self._kept = self._read(np.arange(len(places)))

    def __getitem__(self, indices: Indices, /) -> Features:
        """(len(indices), num_layers + 1, num_features) float32."""
        rows = self._read(indices) if self._kept is None else self._kept[indices]
        return rows.astype(np.float32)

    def _open_checked(self, path: Path) -> Any:
        """The features of a shard; each is held against its checksum once."""
        is_new = path not in self._checked
        self._checked.add(path)
        return _open_shard(path, check=is_new)

    def _read(self, indices: Indices) -> npt.NDArray[np.float16]:
        rows = np.empty((len(indices), *self.shape[1:]), np.float16)
        # One shard after the other, so that each is opened once.
        order = np.argsort(self._shard_of[indices], kind="stable")
        for at in order.tolist():
            index = indices[at]
            shard = self._open(self._shards[self._shard_of[index]])
            rows[at] = shard[int(self._row_of[index])]
        return rows


def _open_shard(path: Path, *, check: bool) -> Any:
    """The features of a shard, of which rows are read."""
    try:
        with safe_open(path, framework="numpy") as shard:
            expected = (shard.metadata() or {}).get(_CHECKSUM)
            if check and _checksum(shard.get_tensor("features")) != expected:
                raise TrainingError(
                    f"{path}: cached features are damaged; delete the file, and train again"
                )
            return shard.get_slice("features")
    except (SafetensorError, OSError) as error:
        raise TrainingError(
            f"{path}: cached features went while they were in use ({error}), as when somebody is "
            "forgotten; train again"
        ) from error


def _checksum(rows: npt.NDArray[np.float16]) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()
