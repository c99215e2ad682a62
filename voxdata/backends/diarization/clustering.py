"""Clustering of voice embeddings.

This is pyannote's agglomerative clustering, with memory that grows with the embeddings, not with
their square.

Up to MAX_PAIRWISE embeddings (one to two hours of talk) scipy does the linkage on all pairwise
distances, exactly as pyannote does. Beyond, `link_means` does the same average linkage from means:
the average cosine distance between two clusters is one minus the product of their mean unit
vectors, so no distance matrix is needed. Both give the same tree up to rounding; the second costs
more time per merge.

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
"""Share of its window that a voice must speak alone to take part in the clustering.

The others are assigned afterwards.
"""

MAX_PAIRWISE = 6000
"""Embeddings above which no matrix of distances is made.

The matrix of 6000 takes 144 MB, and scipy makes a copy.
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
    # shape: (num_windows, 3)
    num_frames_spoken = masks.sum(axis=1, dtype=np.int32)
    spoken = num_frames_spoken > 0
    is_alone = masks.sum(axis=2, keepdims=True) == 1
    masks_alone = masks * is_alone
    alone = masks_alone.sum(axis=1, dtype=np.int32)
    is_long = alone >= MIN_ACTIVE_SHARE * masks.shape[1]
    valid = ~np.isnan(embeddings).any(axis=2)

    window, slot = np.nonzero(is_long & valid)
    trained = embeddings[window, slot].astype(np.float64)
    most = max_speakers or len(trained)
    bound = max(1, min(len(trained), most))
    dimension = embeddings.shape[2]
    if bound < 2:
        voices = np.where(spoken, 0, -2)
        return Clustering(
            voices=voices,
            centroids=_lone_centroid(trained, dimension),
        )

    clusters = _cut_tree(
        trained,
        threshold=threshold,
        min_cluster_size=min_cluster_size,
        max_clusters=bound,
    )
    numbers = np.arange(clusters.max() + 1)
    centroids = _means(trained, clusters, numbers)
    nearest = _assign(embeddings.reshape(-1, dimension), centroids)
    nearest_of_slot = nearest.reshape(spoken.shape)
    voices = np.where(spoken, nearest_of_slot, -2)
    return Clustering(voices=voices, centroids=centroids)


def _lone_centroid(trained: Floats, dimension: int) -> Floats:
    """(1, dimension) the mean embedding, or NaN without any."""
    if not len(trained):
        return np.full((1, dimension), np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(trained.mean(axis=0, keepdims=True))


def _means(embeddings: Floats, clusters: Ints, numbers: Ints) -> Floats:
    """(len(numbers), dimension) the mean embedding of each of these clusters."""
    means: list[Floats] = []
    for number in numbers:
        members = embeddings[clusters == number]
        means.append(members.mean(axis=0))
    return np.vstack(means)


def _assign(embeddings: npt.NDArray[np.float32], centroids: Floats) -> Ints:
    """(num_embeddings,) the nearest centroid of each."""
    nearest: list[Ints] = []
    for at in range(0, len(embeddings), ASSIGN_ROWS):
        block = embeddings[at : at + ASSIGN_ROWS].astype(np.float64)
        likeness = 2 - _cosine_distances(block, centroids)
        nearest.append(np.argmax(likeness, axis=1))
    return np.concatenate(nearest)


def _cut_tree(
    embeddings: Floats, *, threshold: float, min_cluster_size: int, max_clusters: int
) -> Ints:
    """(num_embeddings,) cluster numbers from 0, small clusters dissolved into large ones."""
    tenth = max(1, round(0.1 * len(embeddings)))
    smallest = min(min_cluster_size, tenth)
    tree = link(embeddings)
    clusters = _flat(tree, threshold)
    num_large = len(_large(clusters, smallest))
    if num_large == 0:
        clusters = _cut_nearest(tree, threshold, smallest, 1)
    elif num_large > max_clusters:
        clusters = _cut_nearest(tree, threshold, smallest, max_clusters)

    large = _large(clusters, smallest)
    if len(large) == 0:
        return np.zeros(len(embeddings), np.intp)
    small = np.setdiff1d(np.unique(clusters), large)
    if len(small) == 0:
        return clusters

    large_means = _means(embeddings, clusters, large)
    small_means = _means(embeddings, clusters, small)
    distances = _cosine_distances(large_means, small_means)
    homes = large[np.argmin(distances, axis=0)]
    for number, home in zip(small, homes, strict=True):
        clusters[clusters == number] = home
    _, renumbered = np.unique(clusters, return_inverse=True)
    return np.asarray(renumbered, dtype=np.intp)


def _cut_nearest(tree: Floats, threshold: float, smallest: int, wanted: int) -> Ints:
    """The cut nearest to `threshold` that gives `wanted` large clusters.

    If there is none, the cut whose number of them is nearest to it.
    """
    steps = tree.copy()
    steps[:, 2] = np.arange(len(tree))
    best = len(tree)
    best_number = 1
    distance = np.abs(tree[:, 2] - threshold)
    for step in np.argsort(distance):
        if tree[step, 3] < smallest:
            continue
        clusters = _flat(steps, float(step))
        number = len(_large(clusters, smallest))
        if abs(number - wanted) < abs(best_number - wanted):
            best = int(step)
            best_number = number
        if number == wanted:
            return clusters
    return _flat(steps, float(best))


def _flat(tree: Floats, height: float) -> Ints:
    """(num_embeddings,) cluster numbers from 0, of the tree cut at a height."""
    from_one = fcluster(tree, height, criterion="distance")
    return np.asarray(from_one - 1, dtype=np.intp)


def _large(clusters: Ints, smallest: int) -> Ints:
    """Numbers of the clusters with at least `smallest` embeddings, ascending."""
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
    clusters = _LivingClusters(embeddings)
    merges: list[_Merge] = []
    chain: list[int] = []
    while len(merges) < count - 1:
        clusters.compact()
        if not chain:
            chain.append(clusters.first())
        while True:
            likeness = clusters.likeness_to(chain[-1])
            nearest = int(np.argmax(likeness))
            if len(chain) > 1:
                previous = clusters.place[chain[-2]]
                if likeness[nearest] <= likeness[previous]:
                    break
            chain.append(int(clusters.alive[nearest]))
        last_two = (chain.pop(), chain.pop())
        low, high = sorted(last_two)
        merges.append(clusters.merge(low, high))
    return _sort_tree(merges, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merge:
    """Two clusters that become one, each known by the embedding in it that lived longest."""

    low: int
    high: int
    height: float


class _LivingClusters:
    """The clusters not yet merged into another, by their mean unit vectors.

    The rows of the dead stay until an eighth of all are dead.

    Args:
        embeddings: (num_embeddings, dimension).
    """

    def __init__(self, embeddings: Floats) -> None:
        count = len(embeddings)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        self.means = embeddings / lengths
        self.sizes = np.ones(count)
        self.dead = np.zeros(count, bool)
        self.alive = np.arange(count)
        """Number of the cluster in each row."""
        self.place = np.arange(count)
        """Row of each cluster."""
        self.rows = self.means.copy()

    def compact(self) -> None:
        """Drop the rows of the dead, when they are many."""
        is_dead = self.dead[self.alive]
        if is_dead.sum() * 8 > len(self.alive):
            self.alive = self.alive[~is_dead]
            self.rows = self.means[self.alive]
            self.place = np.full(len(self.means), -1)
            self.place[self.alive] = np.arange(len(self.alive))

    def first(self) -> int:
        """The living cluster with the smallest number."""
        is_dead = self.dead[self.alive]
        return int(self.alive[np.argmin(is_dead)])

    def likeness_to(self, number: int) -> Floats:
        """(num_rows,) cosine of every row to a cluster; -inf for the dead and for itself."""
        likeness: Floats = self.rows @ self.means[number]
        likeness[self.dead[self.alive]] = -np.inf
        likeness[self.place[number]] = -np.inf
        return likeness

    def merge(self, low: int, high: int) -> _Merge:
        """Join `low` into `high`."""
        likeness = float(self.means[low] @ self.means[high])
        height = 1 - likeness
        low_sum = self.means[low] * self.sizes[low]
        high_sum = self.means[high] * self.sizes[high]
        size = self.sizes[low] + self.sizes[high]
        self.means[high] = (low_sum + high_sum) / size
        self.sizes[high] = size
        row = self.place[high]
        self.rows[row] = self.means[high]
        self.dead[low] = True
        return _Merge(
            low=low,
            high=high,
            height=height,
        )


def _sort_tree(merges: list[_Merge], count: int) -> Floats:
    """Number clusters in order of height, as scipy does: (count - 1, 4)."""
    parent = np.arange(2 * count - 1)
    sizes = np.ones(2 * count - 1)

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = int(parent[node])
        return node

    tree = np.empty((count - 1, 4))
    by_height = sorted(merges, key=lambda merge: merge.height)
    for row, merge in enumerate(by_height):
        number = count + row
        roots = (root(merge.low), root(merge.high))
        low, high = sorted(roots)
        sizes[number] = sizes[low] + sizes[high]
        parent[low] = number
        parent[high] = number
        height = max(merge.height, 0.0)
        tree[row] = low, high, height, sizes[number]
    return tree


def _cosine_distances(a: Floats, b: Floats) -> Floats:
    """(len(a), len(b)); NaN rows stay NaN."""
    lengths_a = np.linalg.norm(a, axis=1, keepdims=True)
    lengths_b = np.linalg.norm(b, axis=1)
    lengths = lengths_a * lengths_b
    with np.errstate(invalid="ignore", divide="ignore"):
        distances: Floats = 1 - (a @ b.T) / lengths
    return distances
