from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.config import FitConfig, TrainingConfig, write_config
from voxdata.dataset import Example, Split
from voxdata.manifest import Manifest, write_manifest
from voxdata.ports import TrainingJob
from voxdata.root import fingerprint
from voxdata.testing.factories import make_example
from voxdata.testing.synthetic import noise, tone

LABELS = ("calm", "愤怒", "unused")


def make_manifest(folder: Path, *, num: int = 24, voices_per_split: int = 2) -> Manifest:
    """Tones are "calm", noise is "愤怒"; 12 training, 6 validation, 6 test clips by default."""
    examples: list[Example] = []
    for i in range(num):
        split = (Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)[i // 2 % 4]
        label = LABELS[i % 2]
        name = f"{i}.flac"
        sound = (
            tone(400 + 20 * i, frequency_hz=200 + 30 * i)
            if i % 2 == 0
            else noise(400 + 20 * i, seed=i)
        )
        soundfile.write(folder / name, sound, 16_000)
        voice = f"{split}-{i % voices_per_split}-{i // 8}"
        example = make_example(
            i,
            intent=None,
            emotion=label,
            audio_file=name,
            split=split,
            voice=voice,
            group=voice,
        )
        examples.append(example)
    examples.sort(key=lambda e: e.utterance_id)
    return Manifest(
        version_id=fingerprint(examples),
        name="tiny",
        audio_root=folder,
        schemes={"emotion": LABELS},
        examples=tuple(examples),
    )


@pytest.fixture
def config() -> TrainingConfig:
    return TrainingConfig(
        scheme="emotion",
        encoder="tiny-random",
        fit=FitConfig(
            max_epochs=12,
            batch_size=4,
            learning_rate=0.01,
        ),
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    folder = tmp_path / "audio"
    folder.mkdir()
    return make_manifest(folder)


@pytest.fixture
def incumbent(manifest: Manifest) -> dict[str, dict[str, float]]:
    return {
        e.utterance_id: {"calm": 0.6, "愤怒": 0.4}
        for e in manifest.examples
        if e.split is Split.TEST
    }


@pytest.fixture
def job(
    tmp_path: Path,
    config: TrainingConfig,
    manifest: Manifest,
    incumbent: dict[str, dict[str, float]],
) -> TrainingJob:
    write_config(tmp_path / "config.toml", config)
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    rows = [
        json.dumps({"utterance_id": k, "distribution": v}, ensure_ascii=False) + "\n"
        for k, v in incumbent.items()
    ]
    incumbent_file = tmp_path / "incumbent.jsonl"
    incumbent_file.write_text("".join(rows), encoding="utf-8")
    return TrainingJob(
        config=tmp_path / "config.toml",
        manifest=tmp_path / "manifest.jsonl",
        incumbent=tmp_path / "incumbent.jsonl",
        output=tmp_path / "out",
    )


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """(40, 3, 8) features of two separable classes and their one-hot targets."""
    rng = np.random.default_rng(0)
    gold = np.arange(40) % 2
    features = rng.standard_normal((40, 3, 8)).astype(np.float32) + gold[:, None, None].astype(
        np.float32
    )
    return features, np.eye(2)[gold]
