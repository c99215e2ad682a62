"""Clustering of voice embeddings: pyannote's agglomerative clustering, with memory that grows with
the embeddings, not their square.

Up to MAX_PAIRWISE embeddings (one to two hours of talk) scipy does the linkage on all pairwise
distances, exactly as pyannote does. Beyond, `link_means` does the same average linkage from means:
the average cosine distance between two clusters is one minus the product of their mean unit
vectors, so no distance matrix is needed. Both give the same tree up to rounding; the second costs
more time a merge.

Source: `AgglomerativeClustering` of pyannote.audio 4.0.7; D. Müllner, Modern hierarchical,
agglomerative clustering algorithms, 2011.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

MIN_ACTIVE_SHARE = 0.2
"""Of its window that a voice must speak alone to take part in the clustering.

The others are assigned afterwards.
"""

MAX_PAIRWISE = 6000
"""Embeddings above which no matrix of distances is made: 6000 need 144 MB of it, and scipy a copy.
"""

ASSIGN_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Clustering:
    """Which voice speaks in which slot of which window.

    Attributes:
        voices: (num_windows, 3) int, -2 where nobody speaks.
        centroids: (num_voices, dimension); NaN when no embedding was good enough to take part.
    """

    voices: Ints
    centroids: Floats


def cluster_voices(
    embeddings: npt.NDArray[np.float32],
    masks: npt.NDArray[np.uint8],
    *,
    threshold: float,
    min_cluster_size: int,
    max_speakers: int | None = None,
) -> Clustering:
    """Find the voices of one recording.

    Args:
        embeddings: (num_windows, 3, dimension), NaN where there is none.
        masks: (num_windows, num_frames, 3) of 0 and 1: who speaks when in each window.
        threshold: Average cosine distance at which two clusters are no longer joined.
        min_cluster_size: Embeddings that a cluster needs to count as a voice; smaller ones join the
            nearest.
        max_speakers: Upper bound.
    """
    spoken = masks.sum(axis=1, dtype=np.int32) > 0
    alone = (masks * (masks.sum(axis=2, keepdims=True) == 1)).sum(axis=1, dtype=np.int32)
    valid = ~np.isnan(embeddings).any(axis=2)
    window, slot = np.nonzero((alone >= MIN_ACTIVE_SHARE * masks.shape[1]) & valid)
    trained = embeddings[window, slot].astype(np.float64)
    bound = max(1, min(len(trained), max_speakers or len(trained)))
    if bound < 2:
        voices = np.where(spoken, 0, -2)
        with np.errstate(invalid="ignore"):
            centroids = (
                trained.mean(axis=0, keepdims=True)
                if len(trained)
                else np.full((1, embeddings.shape[2]), np.nan)
            )
        return Clustering(voices=voices, centroids=centroids)
    clusters = _cut_tree(
        trained, threshold=threshold, min_cluster_size=min_cluster_size, max_clusters=bound
    )
    centroids = np.vstack([trained[clusters == k].mean(axis=0) for k in range(clusters.max() + 1)])
    nearest = _assign(embeddings.reshape(-1, embeddings.shape[2]), centroids).reshape(spoken.shape)
    return Clustering(voices=np.where(spoken, nearest, -2), centroids=centroids)


def _assign(embeddings: npt.NDArray[np.float32], centroids: Floats) -> Ints:
    """(num_embeddings,) the nearest centroid of each."""
    blocks = (
        embeddings[at : at + ASSIGN_ROWS].astype(np.float64)
        for at in range(0, len(embeddings), ASSIGN_ROWS)
    )
    return np.concatenate(
        [np.argmax(2 - _cosine_distances(block, centroids), axis=1) for block in blocks]
    )


def _cut_tree(
    embeddings: Floats, *, threshold: float, min_cluster_size: int, max_clusters: int
) -> Ints:
    """(num_embeddings,) cluster numbers from 0, small clusters dissolved into large ones."""
    smallest = min(min_cluster_size, max(1, round(0.1 * len(embeddings))))
    tree = link(embeddings)
    clusters = _flat(tree, threshold)
    if len(_large(clusters, smallest)) == 0 or len(_large(clusters, smallest)) > max_clusters:
        wanted = 1 if len(_large(clusters, smallest)) == 0 else max_clusters
        clusters = _cut_nearest(tree, threshold, smallest, wanted)
    large = _large(clusters, smallest)
    if len(large) == 0:
        return np.zeros(len(embeddings), np.intp)
    small = np.setdiff1d(np.unique(clusters), large)
    if len(small) == 0:
        return clusters
    kept = np.vstack([embeddings[clusters == k].mean(axis=0) for k in large])
    rest = np.vstack([embeddings[clusters == k].mean(axis=0) for k in small])
    for number, home in zip(small, np.argmin(_cosine_distances(kept, rest), axis=0), strict=True):
        clusters[clusters == number] = large[home]
    return np.unique(clusters, return_inverse=True)[1].astype(np.intp)


def _cut_nearest(tree: Floats, threshold: float, smallest: int, wanted: int) -> Ints:
    """The cut nearest to `threshold` that gives `wanted` large clusters, or else the number nearest
    to it.
    """
    steps = tree.copy()
    steps[:, 2] = np.arange(len(tree))
    best, best_number = len(tree), 1
    for step in np.argsort(np.abs(tree[:, 2] - threshold)):
        if tree[step, 3] < smallest:
            continue
        clusters = _flat(steps, float(step))
        number = len(_large(clusters, smallest))
        if abs(number - wanted) < abs(best_number - wanted):
            best, best_number = int(step), number
        if number == wanted:
            return clusters
    return _flat(steps, float(best))


def _flat(tree: Floats, height: float) -> Ints:
    return np.asarray(fcluster(tree, height, criterion="distance") - 1, dtype=np.intp)


def _large(clusters: Ints, smallest: int) -> Ints:
    numbers, counts = np.unique(clusters, return_counts=True)
    return numbers[counts >= smallest]


def link(embeddings: Floats) -> Floats:
    """Average linkage by cosine distance: (num_embeddings - 1, 4) as scipy writes a tree."""
    if len(embeddings) > MAX_PAIRWISE:
        return link_means(embeddings)
    return np.asarray(linkage(embeddings, method="average", metric="cosine"))


def link_means(embeddings: Floats) -> Floats:
    """The same tree without a matrix of distances, by following chains of nearest neighbours.

    Args:
        embeddings: (num_embeddings, dimension), at least 2.

    Returns:
        As `link`.
    """
    count = len(embeddings)
    means = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    sizes = np.ones(count)
    alive = np.arange(count)
    merges: list[tuple[int, int, float]] = []
    chain: list[int] = []
    dead = np.zeros(count, bool)
    rows = means.copy()
    while len(merges) < count - 1:
        if dead[alive].sum() * 8 > len(alive):
            alive = alive[~dead[alive]]
            rows = means[alive]
            place = np.full(count, -1)
            place[alive] = np.arange(len(alive))
        elif not merges and not chain:
            place = np.arange(count)
        if not chain:
            chain.append(int(alive[np.argmin(dead[alive])]))
        while True:
            tip = chain[-1]
            likeness = rows @ means[tip]
            likeness[dead[alive]] = -np.inf
            likeness[place[tip]] = -np.inf
            near = int(np.argmax(likeness))
            if len(chain) > 1 and likeness[near] <= likeness[place[chain[-2]]]:
                break
            chain.append(int(alive[near]))
        a, b = sorted((chain.pop(), chain.pop()))
        merges.append((a, b, 1 - float(means[a] @ means[b])))
        means[b] = (means[a] * sizes[a] + means[b] * sizes[b]) / (sizes[a] + sizes[b])
        sizes[b] += sizes[a]
        rows[place[b]] = means[b]
        dead[a] = True
    return _sort_tree(merges, count)


def _sort_tree(merges: list[tuple[int, int, float]], count: int) -> Floats:
    """Number clusters in order of height, as scipy does.

    A cluster is known by the embedding in it that lived longest.
    """
    parent = np.arange(2 * count - 1)
    sizes = np.ones(2 * count - 1)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    tree = np.empty((count - 1, 4))
    for row, (a, b, height) in enumerate(sorted(merges, key=lambda merge: merge[2])):
        low, high = sorted((root(a), root(b)))
        sizes[count + row] = sizes[low] + sizes[high]
        parent[low] = parent[high] = count + row
        tree[row] = low, high, max(height, 0.0), sizes[count + row]
    return tree


def _cosine_distances(a: Floats, b: Floats) -> Floats:
    """(len(a), len(b)); NaN rows stay NaN."""
    lengths = np.linalg.norm(a, axis=1, keepdims=True) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances: Floats = 1 - (a @ b.T) / lengths
    return distances
