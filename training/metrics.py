"""Scores on a test set, with intervals that take voices, not clips, as the independent draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScore:
    """How one label fares. None where a ratio has no denominator."""

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
        uar_interval: 95 % bootstrap over voices; None with `interval_note` saying why.
        confusion: Rows are gold, columns predicted, in the order of `per_class`.
    """

    num_clips: int
    num_voices: int
    accuracy: float
    uar: float
    macro_f1: float
    ece: float
    uar_interval: tuple[float, float] | None
    interval_note: str
    per_class: dict[str, ClassScore]
    confusion: list[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """After minus before, paired: both models are judged on the same draws of voices."""

    uar: float
    uar_interval: tuple[float, float] | None


def confusion_matrix(gold: Ints, predicted: Ints, *, num_labels: int) -> Ints:
    """(num_labels, num_labels) counts; rows are gold."""
    return (
        np.bincount(gold * num_labels + predicted, minlength=num_labels**2)
        .reshape(num_labels, num_labels)
        .astype(np.int64)
    )


def average_recall(confusion: npt.NDArray[np.number]) -> Floats:
    """UAR of (..., C, C) confusion matrices over the labels with support; NaN where nothing has any."""
    support = confusion.sum(axis=-1)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    recall = np.divide(hits, support, out=np.zeros(support.shape), where=support > 0)
    present = (support > 0).sum(axis=-1)
    return np.asarray(
        np.divide(
            recall.sum(axis=-1), present, out=np.full(present.shape, np.nan), where=present > 0
        )
    )


def expected_calibration_error(gold: Ints, probabilities: Floats, *, num_bins: int = 10) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their size."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gaps = [
        abs(float(confidence[bins == b].mean()) - float(right[bins == b].mean()))
        * float((bins == b).mean())
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


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
    confusion = confusion_matrix(gold, probabilities.argmax(axis=1), num_labels=len(labels))
    hits, support, guessed = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = [2 * h / (s + g) for h, s, g in zip(hits, support, guessed, strict=True) if s > 0]
    draws, note = _draw_uars(
        [gold], [probabilities], voices, num_labels=len(labels), num_draws=num_draws
    )
    return Scores(
        num_clips=len(gold),
        num_voices=len(set(voices)),
        accuracy=float(hits.sum() / len(gold)),
        uar=float(average_recall(confusion)),
        macro_f1=float(np.mean(f1)),
        ece=expected_calibration_error(gold, probabilities),
        uar_interval=_interval(draws[0]) if draws is not None else None,
        interval_note=note,
        per_class={
            label: ClassScore(
                recall=float(h / s) if s else None,
                precision=float(h / g) if g else None,
                support=int(s),
            )
            for label, h, s, g in zip(labels, hits, support, guessed, strict=True)
        },
        confusion=confusion.tolist(),
    )


def paired_difference(
    gold: Ints,
    before: Floats,
    after: Floats,
    voices: Sequence[str],
    *,
    num_labels: int,
    num_draws: int = 2000,
) -> Difference:
    """UAR after minus before on the same clips, with the interval over voices."""
    uars = [
        float(average_recall(confusion_matrix(gold, p.argmax(axis=1), num_labels=num_labels)))
        for p in (before, after)
    ]
    draws, _ = _draw_uars(
        [gold, gold], [before, after], voices, num_labels=num_labels, num_draws=num_draws
    )
    return Difference(
        uar=uars[1] - uars[0],
        uar_interval=_interval(draws[1] - draws[0]) if draws is not None else None,
    )


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _draw_uars(
    golds: Sequence[Ints],
    answers: Sequence[Floats],
    voices: Sequence[str],
    *,
    num_labels: int,
    num_draws: int,
) -> tuple[list[Floats] | None, str]:
    """UAR of each model on the same resamples of voices, or None and the reason."""
    names, index = np.unique(np.asarray(voices), return_inverse=True)
    if len(names) < 2:
        return None, "the test set has one voice; an interval over voices needs at least two"
    weights = (
        np.random.default_rng(0)
        .multinomial(len(names), np.full(len(names), 1 / len(names)), size=num_draws)
        .astype(float)
    )
    out = []
    for gold, probabilities in zip(golds, answers, strict=True):
        predicted = probabilities.argmax(axis=1)
        per_voice = np.stack(
            [
                confusion_matrix(gold[index == v], predicted[index == v], num_labels=num_labels)
                for v in range(len(names))
            ]
        )
        out.append(average_recall(np.tensordot(weights, per_voice.astype(float), axes=1)))
    return out, ""
