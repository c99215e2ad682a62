"""Cached features: shards that are read by index, found by utterance and forgotten with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training import feature_store
from training.compute import Compute
from training.config import TrainingConfig
from training.encoder import load_encoder
from training.feature_files import cached_features, feature_file, feature_name, find_shards
from training.feature_store import FeatureStore, StoredRows, round_features
from training.features import FeatureSet, find_uncached, load_features
from training.loop import fit_head
from training.models.backbone import Backbone
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example
from voxdata.errors import TrainingError
from voxdata.manifest import Manifest


@pytest.fixture(scope="module")
def encoder() -> Backbone:
    return load_encoder("tiny-random")


def load(
    encoder: Backbone, manifest: Manifest, cache: Path, examples: Sequence[Example] | None = None
) -> FeatureSet:
    return load_features(
        encoder,
        manifest.examples if examples is None else examples,
        audio_root=manifest.audio_root,
        cache_dir=cache,
        guard=AudioGuard(manifest.audio),
    )


def test_load_features_gives_the_same_from_the_cache_in_any_order(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    first = load(encoder, manifest, tmp_path)
    again = load(encoder, manifest, tmp_path, manifest.examples[::-1])
    assert (first.num_cached, again.num_cached) == (0, 24)
    assert first.values.shape == (24, 3, 32)
    assert np.array_equal(again.values, first.values[::-1])
    assert len(find_shards(tmp_path)) == 1


def test_load_features_keeps_what_was_encoded_before_an_error(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    gone = manifest.examples[10]
    (manifest.audio_root / gone.audio_file).unlink()
    with pytest.raises(TrainingError, match=gone.utterance_id):
        load(encoder, manifest, tmp_path)
    assert load(encoder, manifest, tmp_path, manifest.examples[:10]).num_cached == 10


def test_load_features_encodes_again_what_a_damaged_shard_held(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    first = load(encoder, manifest, tmp_path)
    (shard,) = find_shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:100])
    again = load(encoder, manifest, tmp_path)
    assert again.num_cached == 0
    assert np.array_equal(again.values, first.values)


def test_load_features_refuses_a_shard_of_which_a_byte_was_changed(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    load(encoder, manifest, tmp_path)
    (shard,) = find_shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(TrainingError, match="cached features are damaged; delete the file"):
        load(encoder, manifest, tmp_path)


def test_find_uncached_knows_weights_pooling_and_arithmetic_but_no_name(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    load(encoder, manifest, tmp_path)
    ids = [example.utterance_id for example in manifest.examples]
    assert find_uncached(encoder, tmp_path, ids) == set()
    renamed = load_encoder("tiny-random")
    renamed.name = "the same weights in a folder"
    assert find_uncached(renamed, tmp_path, ids) == set()
    rough = load_encoder("tiny-random", compute=Compute(precision="bf16"))
    others = load_encoder("tiny-random-hubert")
    assert find_uncached(rough, tmp_path, ids) == set(ids)
    assert find_uncached(others, tmp_path, ids) == set(ids)
    assert find_uncached(encoder, tmp_path, ids, pooling="mean") == set(ids)


def test_cached_features_finds_shards_by_utterance_and_files_of_earlier_releases(
    tmp_path: Path, encoder: Backbone, manifest: Manifest
) -> None:
    load(encoder, manifest, tmp_path, manifest.examples[:4])
    (first,) = find_shards(tmp_path)
    load(encoder, manifest, tmp_path, manifest.examples[4:8])
    wanted = manifest.examples[0].utterance_id
    old = tmp_path / "e" / feature_file(wanted)
    old.parent.mkdir()
    old.write_bytes(b"PK")
    assert cached_features(tmp_path, [wanted]) == sorted([first, old])
    assert cached_features(tmp_path, ["never seen"]) == []
    first.write_bytes(b"damaged")
    assert cached_features(tmp_path, ["never seen"]) == [first]


def test_rows_of_mapped_shards_equal_those_in_memory(
    tmp_path: Path, encoder: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    values = round_features(generator.standard_normal((50, 3, 8)).astype(np.float32))
    names = [feature_name(str(number)) for number in range(50)]
    store = FeatureStore(tmp_path, encoder, pooling="mean")
    for start in range(0, 50, 7):
        part = slice(start, start + 7)
        store.write(dict(zip(names[part], values[part], strict=True)))
    places = store.find()
    kept = StoredRows([places[name] for name in names])
    monkeypatch.setattr(feature_store, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(feature_store, "OPEN_SHARDS", 2)
    mapped = StoredRows([places[name] for name in names])
    chosen = generator.permutation(50)[:20]
    assert mapped.shape == kept.shape == values.shape
    assert np.array_equal(mapped[chosen], values[chosen])
    assert np.array_equal(kept[chosen], values[chosen])
    for shard in find_shards(tmp_path):
        shard.unlink()
    with pytest.raises(TrainingError, match="went while they were in use"):
        mapped[np.arange(50)]


def test_round_features_refuses_what_half_precision_cannot_hold() -> None:
    with pytest.raises(TrainingError, match="larger than half precision"):
        round_features(np.array([[1e6]], np.float32))


def test_fit_head_learns_the_same_from_blocks(
    blobs: tuple[np.ndarray, np.ndarray],
    config: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, targets = blobs
    curves: list[list[float]] = []
    for size in (1024, 7):
        monkeypatch.setattr("training.loop.BLOCK_CLIPS", size)
        fit = fit_head(
            features[:30],
            targets[:30],
            validation_features=features[30:],
            validation_targets=targets[30:],
            config=replace(config, fit=replace(config.fit, max_epochs=3)),
        )
        curves.append([row.train_loss for row in fit.curves])
        assert np.allclose(fit.head.mean, features[:30].mean(axis=0), atol=1e-5)
        assert np.allclose(fit.head.scale, features[:30].std(axis=0), atol=1e-5)
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)
