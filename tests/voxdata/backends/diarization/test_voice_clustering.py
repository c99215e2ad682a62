from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from voxdata.backends.diarization import clustering
from voxdata.backends.diarization.clustering import cluster_voices, link_means

FRAMES = 20


def voices(
    num_windows: int,
    num_voices: int,
    *,
    spread: float = 0.1,
    seed: int = 0,
) -> np.ndarray:
    """(num_windows, 3, 16): slot 0 holds voice `window % num_voices`, the others nobody."""
    rng = np.random.default_rng(seed)
    centres = np.eye(16)[:num_voices]
    found = np.full((num_windows, 3, 16), np.nan, np.float32)
    found[:, 0] = centres[np.arange(num_windows) % num_voices] + spread * rng.standard_normal(
        (num_windows, 16)
    )
    return found


def speaking(num_windows: int, *slots: int) -> np.ndarray:
    masks = np.zeros((num_windows, FRAMES, 3), np.uint8)
    masks[:, :, list(slots)] = 1
    return masks


@pytest.mark.parametrize("count", [2, 3, 40, 300])
def test_link_means_equals_scipy(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = rng.standard_normal((4, 32))[rng.integers(0, 4, count)] + rng.standard_normal(
        (count, 32)
    )
    tree = link_means(rows)
    expected = linkage(rows, method="average", metric="cosine")
    assert np.array_equal(tree[:, [0, 1, 3]], expected[:, [0, 1, 3]])
    assert np.abs(tree[:, 2] - expected[:, 2]).max() < 1e-12


def test_link_means_joins_equal_embeddings_at_height_zero() -> None:
    tree = link_means(np.repeat(np.eye(3), 4, axis=0))
    assert np.abs(tree[:9, 2]).max() < 1e-12
    assert len(set(fcluster(tree, 0.5, criterion="distance"))) == 3


def test_cluster_voices_tells_voices_apart() -> None:
    clusters = cluster_voices(
        voices(30, 3),
        speaking(30, 0),
        threshold=0.4,
        min_cluster_size=4,
    )
    assert len(clusters.centroids) == 3
    assert (
        len(
            set(
                zip(
                    clusters.voices[:, 0].tolist(),
                    [w % 3 for w in range(30)],
                    strict=True,
                )
            )
        )
        == 3
    )
    assert (clusters.voices[:, 1:] == -2).all()


def test_cluster_voices_is_the_same_above_the_pairwise_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embeddings = voices(60, 4, spread=0.3)
    masks = speaking(60, 0)
    below = cluster_voices(embeddings, masks, threshold=0.5, min_cluster_size=4)
    monkeypatch.setattr(clustering, "MAX_PAIRWISE", 10)
    above = cluster_voices(embeddings, masks, threshold=0.5, min_cluster_size=4)
    assert np.array_equal(below.voices, above.voices)


def test_cluster_voices_dissolves_small_clusters() -> None:
    embeddings = voices(40, 2)
    embeddings[7, 0] = np.eye(16)[0] * 0.6 + np.eye(16)[5]
    clusters = cluster_voices(
        embeddings,
        speaking(40, 0),
        threshold=0.3,
        min_cluster_size=4,
    )
    assert len(clusters.centroids) == 2
    assert clusters.voices[7, 0] == clusters.voices[0, 0]


def test_cluster_voices_keeps_to_max_speakers() -> None:
    clusters = cluster_voices(
        voices(40, 4),
        speaking(40, 0),
        threshold=0.4,
        min_cluster_size=4,
        max_speakers=2,
    )
    assert len(clusters.centroids) == 2


def test_cluster_voices_assigns_those_who_speak_too_little_to_be_clustered() -> None:
    masks = speaking(20, 0)
    masks[5, 2:, 0] = 0
    clusters = cluster_voices(
        voices(20, 2),
        masks,
        threshold=0.4,
        min_cluster_size=4,
    )
    assert clusters.voices[5, 0] == clusters.voices[7, 0] != clusters.voices[6, 0]


def test_cluster_voices_takes_a_lone_embedding_for_one_voice() -> None:
    clusters = cluster_voices(
        voices(1, 1),
        speaking(1, 0),
        threshold=0.4,
        min_cluster_size=4,
    )
    assert clusters.voices.tolist() == [[0, -2, -2]]
    assert np.allclose(clusters.centroids, voices(1, 1)[0, :1])


def test_cluster_voices_without_a_good_embedding_gives_one_voice_without_centroid() -> None:
    embeddings = np.full((2, 3, 16), np.nan, np.float32)
    clusters = cluster_voices(
        embeddings,
        speaking(2, 0, 1),
        threshold=0.4,
        min_cluster_size=4,
    )
    assert clusters.voices.tolist() == [[0, 0, -2]] * 2
    assert np.isnan(clusters.centroids).all()
