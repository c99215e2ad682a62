"""What a prediction stands for."""

from __future__ import annotations

import pytest

from voxdata.identity import ModelRef
from voxdata.label import Prediction, leading_label


def predict(**distribution: float) -> Prediction:
    model = ModelRef(name="m", revision="1")
    return Prediction(
        utterance_id="u",
        scheme="intent",
        distribution=distribution,
        model=model,
    )


@pytest.mark.parametrize(
    "shares",
    [
        {},
        {"a": 0.5, "b": 0.5},
        {"a": 0.4, "b": 0.4, "c": 0.2},
        {"a": 1 / 3, "b": 0.33333334},
    ],
)
def test_leading_label_is_none_when_no_label_leads(shares: dict[str, float]) -> None:
    assert leading_label(shares) is None


def test_leading_label_of_one_label_is_that_label() -> None:
    assert leading_label({"a": 1.0}) == "a"


def test_prediction_abstains_when_all_labels_are_equally_probable() -> None:
    predicted = predict(
        a=1 / 3,
        b=1 / 3,
        c=1 / 3,
    )
    assert predicted.abstains
    assert not predict(a=0.4, b=0.4, c=0.2).abstains
    assert not predict(a=1.0).abstains


def test_prediction_guess_is_none_when_its_label_is_less_probable_than_asked() -> None:
    sad = predict(sad=0.6, calm=0.4)
    assert sad.guess() == sad.guess(min_confidence=0.6) == "sad"
    assert sad.guess(min_confidence=0.61) is None


def test_prediction_guess_is_none_when_two_labels_lead() -> None:
    assert predict(a=0.4, b=0.4, c=0.2).guess() is None
