"""A configuration: its values, its files, and the key by which a run is known to be done."""

from __future__ import annotations

import json
import math
from dataclasses import field, make_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import make_manifest
from training.checkpoint import load_checkpoint
from training.config import (
    RECIPES,
    AudioConfig,
    FitConfig,
    HeadConfig,
    TextConfig,
    TrainingConfig,
    encode_config,
    load_recipe,
    parse_config,
    read_config,
    write_config,
)
from training.config.schema import SCHEMA, find_changes
from training.labeler import TrainedLabeler
from voxdata.canonical import read_clip
from voxdata.dataset import Split
from voxdata.errors import TrainingError
from voxdata.identity import canonical_json, digest
from voxdata.manifest import select
from voxdata.ports import Clip
from voxdata.sound import ArraySound

HEAD_1 = Path("tests/data/head-1")
"""A checkpoint that the first release wrote, and what it said of the clips of `make_manifest`."""

FLAT = """scheme = "emotion"
encoder = "whisper-base"
layers = "weighted"
hidden_units = 16
dropout = 0.5
learning_rate = 0.0001
weight_decay = 0.1
warmup_share = 0.1
max_epochs = 300
fixed_epochs = 60
patience = 40
batch_size = 32
soft_targets = true
class_weights = true
min_gain = 0.0
seed = 0
"""
"""A config.toml as the first release wrote it beside a run."""


NO_TEXT = {"enabled": False}
"""The first release did not read."""


@pytest.mark.parametrize(
    ("scheme", "overrides", "stored"),
    [
        ("emotion", {"min_gain": 0.0}, "8cacbf621896395a3c1ac4e68d8f1afa"),
        ("intent", {"min_gain": 0.0, "text": NO_TEXT}, "02f38b383fd4416e5fc2fde3205d982e"),
        ("mood", {"text": NO_TEXT}, "2263e00ee28a596aec163a104b4eaff2"),
        (
            "intent",
            {
                "min_gain": 0.02,
                "encoder": "whisper-tiny.en",
                "max_epochs": 20,
                "text": NO_TEXT,
            },
            "9b7a065a108daa49d9eb574d8e883c3d",
        ),
        (
            "emotion",
            {"layers": "weighted", "hidden_units": 16},
            "1e2f145e9cea195c9aa5f679d1deb640",
        ),
        (
            "emotion",
            {"audio": {"layers": "weighted"}, "head": {"hidden_units": 16}},
            "1e2f145e9cea195c9aa5f679d1deb640",
        ),
    ],
)
def test_key_is_the_one_that_warehouses_of_the_first_release_hold(
    scheme: str, overrides: dict[str, object], stored: str
) -> None:
    assert load_recipe(scheme, overrides=overrides).key == stored


def test_key_changes_with_every_value() -> None:
    config = load_recipe("emotion")
    others = [
        replace(config, scheme="intent"),
        replace(config, seed=1),
        replace(config, audio=AudioConfig(layers=(2, 3))),
        replace(config, audio=AudioConfig(layers=(2, 4))),
        replace(config, audio=AudioConfig(pooling="mean")),
        replace(config, head=replace(config.head, hidden_units=8)),
        replace(config, head=replace(config.head, seeds=7)),
        replace(config, fit=replace(config.fit, mixup=0.7)),
        replace(config, fit=replace(config.fit, label_smoothing=0.7)),
        replace(config, fit=replace(config.fit, feature_noise=0.7)),
        replace(config, text=TextConfig(enabled=True)),
        replace(config, text=TextConfig(enabled=True, penalty=0.1)),
        replace(config, text=TextConfig(enabled=True), audio=AudioConfig(enabled=False)),
    ]
    assert len({config.key, *(other.key for other in others)}) == len(others) + 1


def test_key_of_a_new_value_is_over_what_differs_from_the_defaults() -> None:
    config = TrainingConfig(scheme="x", audio=AudioConfig(layers=(2, 3)))
    changed = {"schema": 2, "scheme": "x", "audio": {"layers": [2, 3]}}
    assert config.key == digest(canonical_json(changed))


def test_find_changes_is_blind_to_a_new_field_with_its_default() -> None:
    later = make_dataclass(
        "Later",
        [("warm_restarts", int, field(default=0))],
        bases=(FitConfig,),
        frozen=True,
        kw_only=True,
    )
    values = {"learning_rate": 0.5, "max_epochs": 3}
    assert find_changes(later(**values), later()) == values
    assert find_changes(later(warm_restarts=2), later()) == {"warm_restarts": 2}


def test_defaults_of_the_schema_stay_as_they_are_numbered() -> None:
    """Whoever changes one raises SCHEMA, or finished runs are taken for other ones."""
    expected = {
        "schema": 2,
        "scheme": "",
        "encoder": "whisper-base",
        "seed": 0,
        "audio": {"enabled": True, "layers": "all", "pooling": "mean+deviation"},
        "text": {
            "enabled": False,
            "shortest": 1,
            "longest": 4,
            "num_columns": 65_536,
            "penalty": 0.01,
            "sentence_model": True,
            "share": 0.5,
        },
        "head": {"hidden_units": 0, "dropout": 0.3, "seeds": 1},
        "fit": {
            "learning_rate": 1e-3,
            "weight_decay": 0.1,
            "warmup_share": 0.1,
            "max_epochs": 60,
            "fixed_epochs": 30,
            "patience": 15,
            "batch_size": 32,
            "soft_targets": True,
            "class_weights": True,
            "mixup": 0.0,
            "label_smoothing": 0.0,
            "feature_noise": 0.0,
        },
        "gate": {"min_gain": 0.0, "max_group_loss": 0.1, "max_ece_rise": 0.1, "folds": 5},
    }
    values = encode_config(TrainingConfig(scheme=""))
    pinned = {name: values[name] for name in expected}
    assert (SCHEMA, pinned) == (2, expected)


def test_read_config_reads_the_shipped_recipes() -> None:
    for recipe in RECIPES.glob("*.toml"):
        assert load_recipe(recipe.stem) == read_config(recipe)


@pytest.mark.parametrize("layers", ["all", "weighted", (0, 2, 5)])
def test_write_config_is_read_back_equal(tmp_path: Path, layers: str | tuple[int, ...]) -> None:
    config = replace(
        load_recipe('情感 "x"\\\x7f', overrides={"seed": 3}),
        audio=AudioConfig(layers=layers, pooling="mean"),
    )
    write_config(tmp_path / "c.toml", config)
    read = read_config(tmp_path / "c.toml")
    assert read == config
    assert read.key == config.key
    assert parse_config(json.loads(json.dumps(encode_config(config))), origin="x") == config


def test_read_config_reads_the_flat_form(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(FLAT, encoding="utf-8")
    config = read_config(tmp_path / "config.toml")
    assert config == TrainingConfig(
        scheme="emotion",
        audio=AudioConfig(layers="weighted"),
        head=HeadConfig(hidden_units=16, dropout=0.5),
        fit=FitConfig(learning_rate=1e-4, max_epochs=300, fixed_epochs=60, patience=40),
    )
    assert config.key == "1e2f145e9cea195c9aa5f679d1deb640"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lerning_rate": 1.0}, "x: unknown key lerning_rate; there are scheme, encoder"),
        (
            {"fit": {"lerning_rate": 1.0}},
            "x: unknown key fit.lerning_rate; there are learning_rate",
        ),
        ({"dropout": "much"}, "x: head.dropout is 'much'; it takes a value of type float"),
        ({"fit": {"max_epochs": True}}, "fit.max_epochs is True; it takes a value of type int"),
        ({"audio": {"layers": [1.5]}}, r"audio.layers is \[1.5\]; .* of type str or list of int"),
        ({"audio": {"layers": [3, 2]}}, r"audio.layers is \(3, 2\); use"),
        ({"audio": {"layers": []}}, r"audio.layers is \(\); use"),
        ({"layers": "last"}, "audio.layers is 'last'; use"),
        ({"audio": {"pooling": "max"}}, "audio.pooling is 'max'; use one of"),
        ({"audio": {"enabled": False}}, "audio.enabled and text.enabled are both false"),
        ({"text": {"shortest": 3, "longest": 2}}, "text.shortest is 3 and text.longest 2"),
        ({"text": {"shortest": 0}}, "an n-gram has at least 1 character"),
        ({"text": {"num_columns": 1}}, "text.num_columns must be from 2 to"),
        ({"text": {"penalty": 0}}, "text.penalty must be positive"),
        ({"text": {"share": 1.5}}, "text.share is 1.5; it must be in"),
        ({"audio": "all"}, r"audio is 'all'; it is a table, \[audio\]"),
        ({"schema": 3}, "schema is 3; this release reads 1 to 2"),
        ({"batch_size": 0}, "fit.batch_size must be at least 1"),
        ({"dropout": 1.0}, "head.dropout is 1.0; it must be in"),
        ({"head": {"seeds": 0}}, "head.seeds must be at least 1"),
        ({"fit": {"mixup": -0.1}}, "fit.mixup is -0.1; it must not be negative"),
        ({"fit": {"label_smoothing": 1}}, "fit.label_smoothing is 1.0; it must be in"),
        ({"fit": {"feature_noise": -1}}, "fit.feature_noise is -1.0; it must not be negative"),
        ({"weight_decay": -1}, "fit.weight_decay is -1.0; it must not be negative"),
        (
            {"weight_decay": math.inf},
            "fit.weight_decay is inf; it must not be negative, nor inf",
        ),
        ({"learning_rate": math.nan}, "fit.learning_rate must be positive"),
        ({"text": {"num_columns": 2**31}}, "text.num_columns must be from 2 to"),
    ],
)
def test_parse_config_names_what_is_wrong(values: dict[str, object], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        parse_config({"scheme": "a", **values}, origin="x")


def test_load_recipe_takes_overrides_in_sections_and_flat() -> None:
    config = load_recipe(
        "emotion", overrides={"fit": {"patience": 3, "batch_size": 8}, "batch_size": 4}
    )
    assert (config.fit.patience, config.fit.batch_size, config.fit.max_epochs) == (3, 4, 300)


def test_trained_labeler_reads_a_checkpoint_of_the_first_format(tmp_path: Path) -> None:
    checkpoint, model = load_checkpoint(HEAD_1)
    assert checkpoint.config.fit == FitConfig(max_epochs=12, batch_size=4, learning_rate=0.01)
    assert model.key == "e6456670071aa92d025c9f7aeb6faa70"
    manifest = make_manifest(tmp_path)
    rows = [json.loads(line) for line in (HEAD_1 / "predictions.jsonl").read_text().splitlines()]
    expected = {row["utterance_id"]: row["distribution"] for row in rows}
    clips = [
        Clip(
            utterance_id=example.utterance_id,
            speaker=example.voice,
            text="",
            language="en",
            sound=ArraySound(read_clip(tmp_path / example.audio_file, segment=example.segment)),
        )
        for example in select(manifest, Split.TEST, scheme="emotion")
    ]
    answers = TrainedLabeler(HEAD_1).label(clips)
    assert {clip.utterance_id for clip in clips} == set(expected)
    for clip, answer in zip(clips, answers, strict=True):
        said = [expected[clip.utterance_id][label] for label in answer]
        assert np.allclose(list(answer.values()), said, atol=1e-6)
