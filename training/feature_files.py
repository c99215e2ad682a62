"""Where the features of clips are cached; to look for the files needs no model framework."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from voxdata.identity import digest

PADDING_POLICY = "margin-250ms-1"
"""Part of every cache key: raise it whenever the road from samples to features changes."""


def feature_file(utterance_id: str) -> str:
    """The name of the file with an utterance's features, whichever encoder made them."""
    return f"{digest(utterance_id, PADDING_POLICY)}.npz"


def cached_features(cache_dir: Path, utterance_ids: Iterable[str]) -> list[Path]:
    """Files in the cache with features of some utterances, whichever encoder made them."""
    names = set(map(feature_file, utterance_ids))
    return sorted(path for path in cache_dir.glob("**/*.npz") if path.name in names)
