"""Scores on a test set, with intervals that take voices, not clips, as the independent draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """The 95 % interval of a figure."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How one label fares; None where a ratio has no denominator."""

    recall: float | None
    precision: float | None
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of one model on one test set.

    Attributes:
        uar: Unweighted average recall over the labels that occur in the test set.
        macro_f1: Mean F1 over the same labels.
        ece: Expected calibration error, 10 equal bins of confidence.
        overconfidence: The part of it where the model is surer than right; in results of earlier
            releases the whole of it.
        uar_interval: 95 % bootstrap over voices; None with `interval_note` saying why.
        per_class: Label -> its figures.
        confusion: Rows are gold, columns predicted, in the order in which the head has the labels.
    """

    num_clips: int
    num_voices: int
    accuracy: float
    uar: float
    macro_f1: float
    ece: float
    overconfidence: float
    uar_interval: Interval | None
    interval_note: str
    per_class: Mapping[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]


def confusion_matrix(gold: Ints, predicted: Ints, *, num_labels: int) -> Ints:
    """(num_labels, num_labels) counts; rows are gold."""
    cells = gold * num_labels + predicted
    counts = np.bincount(cells, minlength=num_labels**2)
    return counts.reshape(num_labels, num_labels).astype(np.int64)


def average_recall(confusion: npt.NDArray[np.number]) -> Floats:
    """UAR of (..., C, C) confusion matrices.

    It is over the labels that have support; NaN where no label has any.
    """
    support = confusion.sum(axis=-1)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    supported = support > 0
    recall = np.zeros(support.shape)
    np.divide(hits, support, out=recall, where=supported)

    total = recall.sum(axis=-1)
    num_supported = supported.sum(axis=-1)
    average = np.full(num_supported.shape, np.nan)
    np.divide(total, num_supported, out=average, where=num_supported > 0)
    return average


def expected_calibration_error(gold: Ints, probabilities: Floats, *, num_bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their size."""
    return float(np.abs(_calibration_gaps(gold, probabilities, num_bins)).sum())


def expected_overconfidence(gold: Ints, probabilities: Floats, *, num_bins: int = 10) -> float:
    """The part of the expected calibration error from bins in which confidence is the larger."""
    return float(_calibration_gaps(gold, probabilities, num_bins).clip(min=0.0).sum())


def _calibration_gaps(gold: Ints, probabilities: Floats, num_bins: int) -> Floats:
    """(num_filled_bins,): confidence less accuracy, weighted by the share of clips in the bin."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == gold
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps: list[float] = []
    for number in np.unique(bins):
        inside = bins == number
        mean_confidence = float(confidence[inside].mean())
        accuracy = float(right[inside].mean())
        gap = mean_confidence - accuracy
        gaps.append(gap * float(inside.mean()))
    return np.array(gaps)


def score(
    gold: Ints,
    probabilities: Floats,
    voices: Sequence[str],
    *,
    labels: Sequence[str],
    num_draws: int = 2000,
) -> Scores:
    """Score one model.

    Args:
        gold: (num_clips,) label indices; at least one.
        probabilities: (num_clips, num_labels); ties go to the first label.
        voices: The speaker of each clip.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(gold, predicted, num_labels=len(labels))
    hits = np.diag(confusion)
    draws = draw_uars(
        gold,
        [probabilities],
        voices,
        num_labels=len(labels),
        num_draws=num_draws,
    )
    return Scores(
        num_clips=len(gold),
        num_voices=len(set(voices)),
        accuracy=float(hits.sum() / len(gold)),
        uar=float(average_recall(confusion)),
        macro_f1=_macro_f1(confusion),
        ece=expected_calibration_error(gold, probabilities),
        overconfidence=expected_overconfidence(gold, probabilities),
        uar_interval=None if draws is None else _interval(draws[0]),
        interval_note=ONE_VOICE if draws is None else "",
        per_class=_score_classes(confusion, labels),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def _macro_f1(confusion: Ints) -> float:
    """Mean F1 over the labels that have support."""
    hits = np.diag(confusion)
    support = confusion.sum(axis=1)
    guessed = confusion.sum(axis=0)
    supported = support > 0
    f1 = 2 * hits[supported] / (support + guessed)[supported]
    return float(np.mean(f1))


def _score_classes(confusion: Ints, labels: Sequence[str]) -> dict[str, ClassScore]:
    scores: dict[str, ClassScore] = {}
    for index, label in enumerate(labels):
        hits = confusion[index, index]
        support = confusion[index].sum()
        guessed = confusion[:, index].sum()
        scores[label] = ClassScore(
            recall=float(hits / support) if support else None,
            precision=float(hits / guessed) if guessed else None,
            support=int(support),
        )
    return scores


def _interval(draws: Floats) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(low=float(low), high=float(high))


ONE_VOICE = "the test set has one voice; an interval over voices needs at least two"


def draw_uars(
    gold: Ints,
    answers: Sequence[Floats],
    voices: Sequence[str],
    *,
    num_labels: int,
    num_draws: int,
) -> list[Floats] | None:
    """UAR of each model on the same resamples of voices.

    Returns:
        (num_draws,) for each model; None with a single voice, of which there is one resample.
    """
    names, voice_of_clip = np.unique(np.asarray(voices), return_inverse=True)
    num_voices = len(names)
    if num_voices < 2:
        return None
    equal_shares = np.full(num_voices, 1 / num_voices)
    generator = np.random.default_rng(0)
    weights = generator.multinomial(num_voices, equal_shares, size=num_draws).astype(float)

    uars: list[Floats] = []
    for probabilities in answers:
        predicted = probabilities.argmax(axis=1)
        cells = (voice_of_clip * num_labels + gold) * num_labels + predicted
        counts = np.bincount(cells, minlength=num_voices * num_labels**2)
        drawn = weights @ counts.reshape(num_voices, num_labels**2)
        uars.append(average_recall(drawn.reshape(num_draws, num_labels, num_labels)))
    return uars
