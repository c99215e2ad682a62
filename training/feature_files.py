"""Where the features of clips are cached; to look for the files needs no model framework.

A shard is a safetensors file with the features of some clips, a row each, and their names. It is
written whole and never changed: whoever erases a clip deletes the shards that hold it, and the
other clips in them are encoded again when they are needed. The format is safetensors since it is
one file with names and rows, checked when it is opened, of which single rows are read from the
mapped file, and which can hold no code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from voxdata.identity import digest

PADDING_POLICY = "margin-250ms-1"
"""Part of every cache key: raise it whenever the road from samples to features changes."""

NAME_BYTES = 16
SHARD_SUFFIX = ".features.safetensors"


def feature_name(utterance_id: str) -> str:
    """How a cache calls an utterance, whichever encoder made its features: 32 hex digits."""
    return digest(utterance_id, PADDING_POLICY)


def feature_file(utterance_id: str) -> str:
    """The name of the file of one clip that earlier releases wrote."""
    return f"{feature_name(utterance_id)}.npz"


def find_shards(folder: Path) -> list[Path]:
    """The shards below a folder."""
    return sorted(folder.glob(f"**/*{SHARD_SUFFIX}"))


def encode_names(names: Iterable[str]) -> npt.NDArray[np.uint8]:
    """(num_clips, NAME_BYTES), as `read_names` reads them from a shard."""
    content = bytes.fromhex("".join(names))
    return np.frombuffer(content, np.uint8).reshape(-1, NAME_BYTES)


def read_names(shard: Path) -> list[str]:
    """The names of the clips in a shard, in the order of its rows.

    Raises:
        SafetensorError, OSError: It is damaged, or gone.
    """
    with safe_open(shard, framework="numpy") as content:
        names = content.get_tensor("names")
    return [row.tobytes().hex() for row in names]


def cached_features(cache_dir: Path, utterance_ids: Iterable[str]) -> list[Path]:
    """Files in the cache with features of some utterances, whichever encoder made them.

    A damaged shard is among them, since nobody knows whose features it holds.
    """
    names = set(map(feature_name, utterance_ids))
    if not names:
        return []
    single = [path for path in cache_dir.glob("**/*.npz") if path.stem in names]
    return sorted([*single, *_shards_with(cache_dir, names)])


def _shards_with(cache_dir: Path, names: set[str]) -> Iterator[Path]:
    for shard in find_shards(cache_dir):
        try:
            held = read_names(shard)
        except FileNotFoundError:
            continue  # somebody else deleted it
        except (SafetensorError, OSError):
            yield shard
            continue
        if not names.isdisjoint(held):
            yield shard
