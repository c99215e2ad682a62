"""What is not trained: schemes that the recipe left out, and versions with too little in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.pages.status import read_status
from flows.retrain.finetune import finetune, train_version, training_config
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from training.config import load_recipe
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.segment import Segment
from warehouse.runs import list_training_runs
from warehouse.versions import DatasetVersion, create_version


def example(number: int, split: Split) -> Example:
    label = ("question", "answer")[number % 2]
    return Example(
        utterance_id=f"{number:064x}",
        recording_id=f"{number + 500:064x}",
        channel=0,
        segment=Segment(start_ms=0, end_ms=1_000),
        voice=f"v{number}",
        group=f"v{number}",
        audio_file=f"{number}.flac",
        text="",
        language="en",
        gold={
            "intent": GoldLabel(
                label=label,
                distribution={label: 1.0},
                num_votes=1,
            )
        },
        split=split,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template(), encoding="utf-8")
    return open_workspace(tmp_path)


def cut(workspace: Workspace, *, schemes: dict[str, int]) -> DatasetVersion:
    """A version of four training examples and two test voices."""
    splits = [Split.TRAIN] * 4 + [Split.TEST] * 2
    examples = [example(number, split) for number, split in enumerate(splits)]
    with workspace.warehouse() as con:
        version, _ = create_version(
            con,
            "calls",
            examples,
            recipe={"schemes": schemes},
            run_id="test",
        )
    return version


def test_training_config_takes_the_gate_from_the_settings(tmp_path: Path) -> None:
    settings = template().replace("max_ece_rise = 0.1 ", "max_ece_rise = 0.3 ")
    (tmp_path / "voxdata.toml").write_text(settings, encoding="utf-8")
    plain = load_recipe("intent")
    config = training_config(open_workspace(tmp_path), "intent")
    assert config.gate == replace(plain.gate, max_ece_rise=0.3)
    assert config.key != plain.key
    (tmp_path / "voxdata.toml").write_text(template(), encoding="utf-8")
    assert training_config(open_workspace(tmp_path), "intent").key == plain.key


def test_training_config_takes_the_gate_of_the_recipe_before_that_of_the_settings(
    tmp_path: Path,
) -> None:
    gate = "recipe = { gate = { min_gain = 0.2, max_ece_rise = 0.9 } }"
    settings = template().replace("[training]\n", f"[training]\n{gate}\n", 1)
    (tmp_path / "voxdata.toml").write_text(settings, encoding="utf-8")
    config = training_config(open_workspace(tmp_path), "intent")
    assert (config.gate.min_gain, config.gate.max_ece_rise) == (0.2, 0.9)
    assert config.gate.max_group_loss == 0.1


def test_train_version_leaves_out_what_the_recipe_left_out(
    workspace: Workspace, said: list[str]
) -> None:
    version = cut(workspace, schemes={"intent": 1})
    runs = train_version(
        workspace,
        ["emotion"],
        version.ref,
        say=said.append,
    )
    assert runs == []
    assert said == ["train: emotion is not trained on calls@1: its recipe leaves emotion out"]
    with workspace.warehouse() as con:
        assert list_training_runs(con) == []


def test_train_version_records_that_there_is_too_little_once(
    workspace: Workspace, said: list[str]
) -> None:
    version = cut(workspace, schemes={"intent": 1})
    for _ in range(2):
        (run,) = train_version(
            workspace,
            ["intent"],
            version.ref,
            say=said.append,
        )
        assert run.state == "skipped"
        assert run.promoted is False
        assert run.reason == (
            "too little to learn from: each label needs 5 training examples: answer 2, question 2"
        )
    with workspace.warehouse() as con:
        states = [run.state for run in list_training_runs(con)]
        assert states == ["skipped"]


def test_train_command_ends_with_0_when_there_is_too_little(workspace: Workspace) -> None:
    cut(workspace, schemes={"intent": 1})
    done = CliRunner().invoke(
        app,
        ["--dir", str(workspace.root), "train", "intent", "--version", "calls"],
    )
    assert done.exit_code == 0
    assert "too little to learn from" in done.output


def test_finetune_counts_a_version_as_seen_to(workspace: Workspace) -> None:
    version = cut(workspace, schemes={"intent": 1})
    finetune.fn(str(workspace.root), version.version_id)
    waiting = read_status(workspace)["waiting"]
    assert isinstance(waiting, dict)
    assert waiting["training: newest version untrained"] == 0
