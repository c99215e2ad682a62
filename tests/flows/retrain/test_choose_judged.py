"""On which clips a small version is judged, against a cold start and against a trained model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.retrain.finetune import choose_judged
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.retrain.test_finetune import example
from tests.warehouse.test_runs import RUN
from training.config import load_recipe
from voxdata.dataset import Example, Split
from warehouse.promotions import add_judged_run
from warehouse.versions import DatasetVersion, create_version

RECIPE = load_recipe("intent")
FOLDER = "models/intent-t1"
NUM_CLIPS, NUM_TESTED = 80, 10


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "voxdata.toml").write_text(template(), encoding="utf-8")
    return open_workspace(tmp_path)


def make_examples(num: int = NUM_CLIPS) -> list[Example]:
    """The first ten are in the test split."""
    splits = [Split.TEST] * NUM_TESTED + [Split.TRAIN] * (num - NUM_TESTED)
    return [example(number, split) for number, split in enumerate(splits)]


def promote(workspace: Workspace, learnt: list[Example], answered: list[Example]) -> None:
    """Have a model in use that learnt from some examples and was judged on some."""
    with workspace.warehouse() as con:
        version: DatasetVersion
        version, _ = create_version(con, "calls", learnt, recipe={}, run_id="test")
        run = replace(
            RUN,
            version_id=version.version_id,
            result={},
            checkpoint_dir=f"{FOLDER}/checkpoint",
        )
        add_judged_run(con, run, run_id="test")
    rows = [
        {"utterance_id": clip.utterance_id, "label": "answer", "distribution": {"answer": 1.0}}
        for clip in answered
    ]
    folder = workspace.root / FOLDER
    folder.mkdir(parents=True)
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")


def test_choose_judged_takes_all_clips_of_a_small_version_against_a_cold_start(
    workspace: Workspace,
) -> None:
    examples = make_examples()
    assert choose_judged(workspace, examples, RECIPE) == (examples, {})


def test_choose_judged_takes_the_test_split_where_folds_are_off(workspace: Workspace) -> None:
    examples = make_examples()
    never = replace(RECIPE, gate=replace(RECIPE.gate, folds=0))
    assert choose_judged(workspace, examples, never) == (examples[:NUM_TESTED], {})


def test_choose_judged_asks_no_trained_model_about_clips_that_it_has_learnt_from(
    workspace: Workspace,
) -> None:
    examples = make_examples()
    older = examples[:70]
    promote(workspace, older, answered=older)
    judged, recalled = choose_judged(workspace, examples, RECIPE)
    assert judged == examples
    assert set(recalled) == {clip.utterance_id for clip in older[NUM_TESTED:]}
    assert recalled[older[-1].utterance_id] == {"answer": 1.0}


def test_choose_judged_takes_the_test_split_where_a_trained_model_has_no_honest_answer(
    workspace: Workspace,
) -> None:
    examples = make_examples()
    promote(workspace, examples[:70], answered=examples[:NUM_TESTED])
    assert choose_judged(workspace, examples, RECIPE) == (examples[:NUM_TESTED], {})
