"""Spread a choice over what the clips sound like: selections by embedding.

Each returns row numbers, best first. All are deterministic for a seed, never return a row twice,
and return at most one row per candidate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

MAX_DIMENSIONS = 128
"""Wider embeddings are compacted first: on cached speech features 128 components choose as well as
all 7,168."""

CLUSTER_POOL = 5
"""`select_diverse` clusters this many times more clips than it chooses."""


def compact_embeddings(
    features: Floats, *, num_dimensions: int = MAX_DIMENSIONS, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Standardise every feature, then keep the leading principal components.

    Pooled encoder states need it: a few of their dimensions are orders of magnitude larger than the
    rest and would decide every distance.

    Args:
        features: (num_clips, num_features), at least one clip.

    Returns:
        (num_clips, min(num_dimensions, num_clips, num_features)) float32.
    """
    from sklearn.decomposition import PCA  # type: ignore[import-untyped]

    values = np.asarray(features, dtype=np.float32)
    spread = values.std(axis=0)
    divisor = np.where(spread > 1e-6, spread, 1)
    standardised = (values - values.mean(axis=0)) / divisor

    num_components = min(num_dimensions, *values.shape)
    analysis = PCA(num_components, random_state=seed)
    components = analysis.fit_transform(standardised)
    return np.asarray(components, dtype=np.float32)


def select_typical(embeddings: Floats, heard: Floats, *, count: int, seed: int) -> list[int]:
    """TypiClust: the most typical clip of each cluster that nobody has heard anything of.

    Args:
        embeddings: (num_clips, dim), what may be chosen.
        heard: (num_heard, dim), what was labelled before.

    Source: G. Hacohen, A. Dekel, D. Weinshall, Active Learning on a Budget (ICML 2022), as in
    scikit-activeml.
    """
    from skactiveml.pool import TypiClust  # type: ignore[import-untyped]

    return _query_library(TypiClust(random_state=seed), embeddings, heard, count=count)


def select_core_set(embeddings: Floats, heard: Floats, *, count: int, seed: int) -> list[int]:
    """Greedy k-center: each next clip is the one farthest from all heard or chosen so far.

    Args:
        embeddings: (num_clips, dim), what may be chosen.
        heard: (num_heard, dim), what was labelled before.

    Source: O. Sener, S. Savarese, Active Learning for Convolutional Neural Networks: A Core-Set
    Approach (ICLR 2018), as in scikit-activeml.
    """
    from skactiveml.pool import CoreSet

    return _query_library(CoreSet(random_state=seed), embeddings, heard, count=count)


def select_badge(embeddings: Floats, probabilities: Floats, *, count: int, seed: int) -> list[int]:
    """BADGE: k-means++ on the gradients a linear head would have, so that both doubt and variety
    count.

    Args:
        embeddings: (num_clips, dim).
        probabilities: (num_clips, num_labels).

    Source: J. Ash et al., Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds
    (ICLR 2020), as in scikit-activeml.
    """
    from skactiveml.base import SkactivemlClassifier  # type: ignore[import-untyped]
    from skactiveml.pool import Badge

    class Given(SkactivemlClassifier):  # type: ignore[misc]
        """Answers with the probabilities the labelling model gave."""

        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            return self

        def predict_proba(self, X: Any) -> Any:
            return probabilities

    size = min(count, len(embeddings))
    if size == 0:
        return []
    values = np.asarray(embeddings, dtype=np.float64)
    unlabelled = np.full(len(embeddings), np.nan)
    num_labels = probabilities.shape[1]
    model = Given(classes=list(range(num_labels)))
    strategy = Badge(random_state=seed)
    chosen = strategy.query(
        values,
        unlabelled,
        model,
        fit_clf=False,
        batch_size=size,
    )
    return _without_repeats(chosen)


def select_diverse(embeddings: Floats, doubt: Floats, *, count: int, seed: int) -> list[int]:
    """The most doubtful clip of each of `count` clusters among the most doubtful clips.

    Args:
        embeddings: (num_clips, dim); only their directions count.
        doubt: (num_clips,), 0 for a clip whose label is certain.

    Source: after G. Citovsky et al., Batch Active Learning at Scale (NeurIPS 2021): margin first,
    clusters second; here by k-means weighted with the doubt, which needs no threshold on distances.
    """
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]

    order = np.argsort(-doubt, kind="stable")
    pool = order[: CLUSTER_POOL * count]
    if len(pool) <= count or count < 2:
        return [int(row) for row in order[:count]]

    directions = _directions(embeddings[pool])
    num_distinct = len(np.unique(directions, axis=0))
    model = KMeans(
        min(count, num_distinct),
        n_init=1,
        random_state=seed,
    )
    model.fit(directions, sample_weight=doubt[pool] + 1e-6)

    # The pool is sorted by doubt, so the first of a cluster is its most doubtful.
    _, first_of_cluster = np.unique(model.labels_, return_index=True)
    chosen = [int(row) for row in pool[first_of_cluster]]
    chosen.sort(key=lambda row: -doubt[row])
    return _without_repeats([*chosen, *order[:count]])[:count]


def _query_library(strategy: Any, embeddings: Floats, heard: Floats, *, count: int) -> list[int]:
    """Ask a scikit-activeml strategy that knows labelled from unlabelled rows only.

    Equal rows count once: the library's clusters would come out empty and its query fail.
    """
    if len(embeddings) == 0 or count < 1:
        return []
    num_heard = len(heard)
    heard_rows = np.asarray(heard).reshape(num_heard, embeddings.shape[1])
    directions = _directions(np.concatenate([heard_rows, embeddings]))

    _, first_rows = np.unique(
        directions.round(6),
        axis=0,
        return_index=True,
    )
    rows = np.sort(first_rows)
    waiting = np.flatnonzero(rows >= num_heard)
    size = min(count, len(waiting))
    if size == 0:
        return []

    labels = np.where(rows < num_heard, 0.0, np.nan)
    chosen = strategy.query(
        directions[rows],
        labels,
        candidates=waiting,
        batch_size=size,
    )
    return _without_repeats(rows[chosen] - num_heard)


def _directions(embeddings: Floats) -> npt.NDArray[np.float64]:
    """The rows scaled to length 1; a row of zeros stays as it is."""
    values = np.asarray(embeddings, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    divisors = np.where(lengths > 0, lengths, 1)
    return np.asarray(values / divisors)


def _without_repeats(rows: Iterable[int]) -> list[int]:
    distinct = dict.fromkeys(map(int, rows))
    return list(distinct)
