from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from training.metrics import score

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
