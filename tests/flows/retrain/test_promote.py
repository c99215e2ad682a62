"""Promoting and demoting by hand: what is refused, and what is on record."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flows.models import build_transcriber, model_specs
from flows.retrain.finetune import withhold_if_beaten
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run
from tests.warehouse.test_runs import RUN
from training.labeler import TrainedLabeler
from voxdata.errors import TrainingError
from warehouse.promotions import add_judged_run

HEAD = Path(__file__).parents[2] / "data" / "head-1"
"""A checkpoint of the first release."""

TRAINED = replace(RUN, result={}, checkpoint_dir="models/intent-t1/checkpoint")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template(), encoding="utf-8")
    opened = open_workspace(tmp_path)
    opened.models_dir.mkdir(parents=True, exist_ok=True)
    return opened


def add(workspace: Workspace, **values: object) -> None:
    with workspace.warehouse() as con:
        add_judged_run(con, replace(TRAINED, **values), run_id="t")


def test_demote_takes_a_scheme_back_to_its_cold_start(workspace: Workspace) -> None:
    add(workspace)
    (intent, _) = model_specs(workspace).labelers
    assert intent.checkpoint == str(workspace.root / TRAINED.checkpoint_dir)
    done = run(workspace, "demote", "intent", "--reason", "wrong about refunds", "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert (row["role"], row["by"], row["why"]) == ("label:intent", "person", "wrong about refunds")
    (intent, _) = model_specs(workspace).labelers
    assert intent.checkpoint == ""
    again = run(workspace, "demote", "intent", "--reason", "again")
    assert again.exit_code == 1
    assert "nothing to demote" in str(again.exception)
    status = json.loads(run(workspace, "status", "--json").stdout)
    assert status["promoted"]["intent"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("demote", "weather", "--reason", "r"), "weather"),
        (("demote", "transcribe", "--reason", "r"), "nothing to demote"),
        (("promote", "nope", "--reason", "r"), "no training run"),
        (("promote", "t2", "--reason", "r"), "made no model (failed: out of disk)"),
        (("promote", "t1", "--reason", " "), "give a --reason"),
        (("promote", "t1", "--reason", "r"), "is no readable checkpoint"),
    ],
)
def test_promote_and_demote_refuse_with_the_reason(
    workspace: Workspace, words: tuple[str, ...], told: str
) -> None:
    add(workspace, promoted=False)
    add(workspace, training_id="t2", promoted=False, state="failed", reason="out of disk")
    done = run(workspace, *words)
    assert done.exit_code == 1, done.output
    assert told in str(done.exception)
    assert json.loads(run(workspace, "models", "--promotions", "--json").stdout) == []


def test_build_transcriber_asks_for_the_promoted_model(workspace: Workspace) -> None:
    add(workspace, scheme="", role="transcribe")
    specs = model_specs(workspace)
    assert specs.transcriber == str(workspace.root / TRAINED.checkpoint_dir)
    with pytest.raises(TrainingError, match=r"is no readable checkpoint .*demote transcribe"):
        build_transcriber(workspace, checkpoint=specs.transcriber)
    folder = Path(specs.transcriber)
    folder.mkdir(parents=True)
    (folder / "model.json").write_text('{"format": "voxdata-head/1"}', encoding="utf-8")
    with pytest.raises(TrainingError, match="format 'voxdata-head/1' is none of a transcriber"):
        build_transcriber(workspace, checkpoint=specs.transcriber)


def test_promote_refuses_a_checkpoint_that_the_run_did_not_make(workspace: Workspace) -> None:
    add(workspace, promoted=False)
    shutil.copytree(HEAD, workspace.root / TRAINED.checkpoint_dir)
    done = run(workspace, "promote", "t1", "--reason", "r")
    assert done.exit_code == 1
    assert "holds another model than run t1 made" in str(done.exception)


def test_promote_refuses_a_model_with_labels_that_the_scheme_lacks(workspace: Workspace) -> None:
    labeler = TrainedLabeler(HEAD)
    add(workspace, promoted=False, model_key=labeler.model.key)
    shutil.copytree(HEAD, workspace.root / TRAINED.checkpoint_dir)
    done = run(workspace, "promote", "t1", "--reason", "r")
    assert done.exit_code == 1
    assert "which scheme 'intent' does not have" in str(done.exception)


@pytest.mark.parametrize(
    ("beaten", "weak", "withheld"),
    [
        pytest.param("k", False, False, id="the model in use"),
        pytest.param("other", False, True, id="another model"),
        pytest.param("cold", True, True, id="the cold start"),
    ],
)
def test_a_run_takes_over_from_the_model_it_was_judged_against_alone(
    workspace: Workspace, beaten: str, weak: bool, withheld: bool
) -> None:
    add(workspace, model_key="k")
    judged = replace(TRAINED, training_id="t2", model_key="k2")
    with workspace.warehouse() as con:
        run_ = withhold_if_beaten(con, judged, beaten_key="" if weak else beaten)
    assert run_.promoted is not withheld
    assert ("another model came into use meanwhile" in run_.reason) is withheld
