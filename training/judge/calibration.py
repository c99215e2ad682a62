"""Whether a model is as sure as it is right, and whether one temperature would mend it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.metrics import Floats, Ints, expected_calibration_error

TEMPERATURES = np.geomspace(0.1, 10, 201)
SMALLEST = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The calibration of a model on the test set.

    Attributes:
        temperature: Fitted on the validation set; above 1 where the model is too sure.
        num_clips: Of the validation set.
        ece: On the test set, as the model answers.
        scaled_ece: On the test set, with the temperature.
    """

    temperature: float
    num_clips: int
    ece: float
    scaled_ece: float


def calibrate(
    *, validation_gold: Ints, validation: Floats, gold: Ints, answers: Floats
) -> Calibration | None:
    """Fit a temperature on the validation set, and measure it on the test set.

    Args:
        validation_gold: (num_validation_clips,) label indices.
        validation: (num_validation_clips, num_labels) probabilities.
        gold: (num_clips,) of the test set.
        answers: (num_clips, num_labels) of the test set.

    Returns:
        None when one of the sets is empty.
    """
    if not len(validation_gold) or not len(gold):
        return None
    temperature = fit_temperature(validation_gold, validation)
    return Calibration(
        temperature=temperature,
        num_clips=len(validation_gold),
        ece=expected_calibration_error(gold, answers),
        scaled_ece=expected_calibration_error(gold, scale(answers, temperature)),
    )


def fit_temperature(gold: Ints, probabilities: Floats) -> float:
    """The temperature with the lowest cross-entropy."""
    clips = np.arange(len(gold))
    losses: list[float] = []
    for temperature in TEMPERATURES:
        scaled = scale(probabilities, temperature)
        shares = scaled[clips, gold]
        logs = np.log(np.maximum(shares, SMALLEST))
        losses.append(-float(logs.mean()))
    best = np.argmin(losses)
    return float(TEMPERATURES[best])


def scale(probabilities: Floats, temperature: float) -> Floats:
    """The same answers, surer below a temperature of 1 and less sure above it."""
    possible = np.maximum(probabilities, SMALLEST)
    logits = np.log(possible) / temperature
    highest = logits.max(axis=1, keepdims=True)
    shares = np.exp(logits - highest)
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(shares / total)
