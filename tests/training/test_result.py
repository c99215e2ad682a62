from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.results import make_result, make_scores
from training.config import TrainingConfig
from training.judge.baselines import Baseline
from training.judge.calibration import Calibration
from training.judge.gate import Check, Decision
from training.judge.groups import GroupChange
from training.judge.paired import Difference
from training.metrics import Interval
from training.outcome import write_outcome
from training.result import (
    Epoch,
    Incumbent,
    ModelCard,
    TrainingResult,
    decode_result,
    encode_result,
)
from training.run import run_training
from voxdata.errors import TrainingError
from voxdata.identity import canonical_json
from voxdata.manifest import Manifest

Answers = Mapping[str, Mapping[str, float]]
SCORES = make_scores(uar_interval=Interval(low=0.25, high=0.75))
EPOCH = Epoch(
    epoch=1, train_loss=0.5, validation_loss=None, validation_uar=None, learning_rate=0.001
)
WHOLE = make_result(
    labels=("calm", "愤怒"),
    counts={"train": 12, "validation": 6, "test": 6},
    voices={"train": 4, "validation": 2, "test": 2},
    before=SCORES,
    after=replace(SCORES, uar=0.875, uar_interval=None, interval_note="one voice"),
    difference=Difference(uar=0.375, uar_interval=Interval(low=0.1, high=0.6)),
    warning="small",
    curves=(EPOCH, replace(EPOCH, epoch=2, validation_loss=0.4, validation_uar=0.75)),
    best_epoch=2,
    model=ModelCard(name="head", revision="r", params={"scheme": "s"}, key="k"),
    incumbent=Incumbent(name="words", key="w", weak=True),
)
JUDGED = replace(
    WHOLE,
    verdict=replace(
        WHOLE.verdict,
        decision=Decision(
            promote=False,
            reason="not shown to be better",
            checks=(
                Check(name="gain", value=-0.1, limit=0.0, failure="too low"),
                Check(name="groups", value=None, limit=-0.1),
            ),
        ),
        baselines=(
            Baseline(
                name="majority class",
                uar=0.5,
                macro_f1=0.25,
                uar_interval=Interval(low=0.4, high=0.6),
                num_clips=6,
            ),
            Baseline(
                name="cold start",
                uar=None,
                macro_f1=None,
                uar_interval=None,
                num_clips=0,
                note="it was not asked",
            ),
        ),
        calibration=Calibration(temperature=2.0, num_clips=6, ece=0.2, scaled_ece=0.1),
        groups=(
            GroupChange(
                kind="language",
                name="en",
                num_clips=12,
                before=0.5,
                after=0.25,
                interval=Interval(low=-0.5, high=0.0),
            ),
        ),
    ),
)
KEYS = [
    "task",
    "labels",
    "version_id",
    "config",
    "counts",
    "voices",
    "before",
    "after",
    "difference",
    "decision",
    "small_sample",
    "warning",
    "curves",
    "best_epoch",
    "note",
    "encoder",
    "seconds",
    "model",
]
"""The order in which the first release wrote them."""


@pytest.mark.parametrize("result", [WHOLE, JUDGED, make_result(), make_result(after=SCORES)])
def test_decode_result_gives_back_what_was_encoded(result: TrainingResult) -> None:
    row = json.loads(json.dumps(encode_result(result)))
    assert decode_result(row, origin="x") == result
    sorted_row = json.loads(canonical_json(row))
    assert decode_result(sorted_row, origin="x") == result


def test_write_outcome_leaves_the_file_that_the_first_release_wrote(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    (tmp_path / "out").mkdir()
    model = write_outcome(tmp_path / "out", outcome)
    text = (tmp_path / "out" / "result.json").read_text(encoding="utf-8")
    row = json.loads(text)
    assert text == json.dumps(row, ensure_ascii=False, indent=2) + "\n"
    assert list(row) == [*KEYS, "baselines", "calibration"]
    assert list(row["after"]) == [
        "num_clips",
        "num_voices",
        "accuracy",
        "uar",
        "macro_f1",
        "ece",
        "overconfidence",
        "uar_interval",
        "interval_note",
        "per_class",
        "confusion",
    ]
    assert row["model"]["key"] == model.key
    read = decode_result(row, origin="result.json")
    assert replace(read, model=None) == outcome.result


def test_decode_result_skips_keys_of_a_later_release() -> None:
    row = encode_result(WHOLE) | {"role": "label:intent"}
    assert decode_result(row, origin="x") == WHOLE


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("labels", "calm", "field 'labels' is 'calm' and should be a list of labels"),
        ("after", {"uar": 0.5}, "field 'after' is .* should be the scores of a model, or null"),
        ("difference", {"uar": 1, "uar_interval": [1]}, "field 'difference'"),
        ("curves", [{"epoch": 1}], "field 'curves'"),
        ("counts", {"train": "many"}, "field 'counts'"),
    ],
)
def test_decode_result_names_origin_and_field_when_malformed(
    field: str, value: object, told: str
) -> None:
    row = encode_result(WHOLE) | {field: value}
    with pytest.raises(TrainingError, match=f"^training run t1: the result is malformed: {told}"):
        decode_result(row, origin="training run t1")
    del row[field]
    with pytest.raises(TrainingError, match=f"field '{field}' is missing"):
        decode_result(row, origin="training run t1")
