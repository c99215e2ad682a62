from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from training.judge import judge
from training.metrics import paired_difference, score

LABELS = ("a", "b", "c")


def _drawn(seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 3, 200),
        rng.dirichlet(np.ones(3), 200),
        [f"v{i % 7}" for i in range(200)],
    )


def test_score_equals_sklearn() -> None:
    gold, probabilities, voices = _drawn(0)
    predicted = probabilities.argmax(axis=1)
    scores = score(gold, probabilities, voices, labels=LABELS)
    assert scores.uar == pytest.approx(balanced_accuracy_score(gold, predicted))
    assert scores.macro_f1 == pytest.approx(f1_score(gold, predicted, average="macro"))
    assert np.array_equal(scores.confusion, confusion_matrix(gold, predicted))
    low, high = scores.uar_interval or (1.0, 0.0)
    assert low < scores.uar < high


def test_score_has_no_interval_when_one_voice() -> None:
    gold, probabilities, _ = _drawn(1)
    scores = score(
        gold,
        probabilities,
        ["v"] * 200,
        labels=LABELS,
    )
    assert scores.uar_interval is None
    assert "one voice" in scores.interval_note


def test_paired_difference_is_zero_for_equal_models() -> None:
    gold, probabilities, voices = _drawn(2)
    same = paired_difference(gold, probabilities, probabilities, voices, num_labels=3)
    assert same.uar == 0.0
    assert same.uar_interval == (0.0, 0.0)


def test_judge_promotes_only_when_better() -> None:
    gold, probabilities, voices = _drawn(3)
    before = score(gold, probabilities, voices, labels=LABELS)
    perfect = score(
        gold,
        np.eye(3)[gold],
        voices,
        labels=LABELS,
    )
    assert judge(before, perfect).promote
    assert not judge(before, before).promote
    assert not judge(before, perfect, min_gain=0.99).promote
    assert not judge(None, None).promote
    one = score(
        gold[:5] * 0,
        np.eye(3)[gold[:5] * 0],
        voices[:5],
        labels=LABELS,
    )
    assert "one label" in judge(one, one).reason
