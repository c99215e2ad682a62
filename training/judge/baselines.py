"""What stands beside a model's score: how far one comes with less, and how far people come.

Each is judged on the same test clips. A baseline that learns does so from the training clips, of
which it takes two thousand at most.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.judge.acoustics import acoustic_statistics
from training.judge.people import measure_agreement
from training.metrics import Floats, Interval, Ints, score
from voxdata.dataset import Example
from voxdata.label import Distribution
from voxdata.ports import Samples

MAX_LEARNT = 2_000
"""Training clips that a baseline learns from."""

MAJORITY = "majority class"
COLD_START = "cold start"
ACOUSTICS = "acoustic statistics + linear SVM"
PROBE = "frozen encoder + linear probe"
PEOPLE = "one annotator against the others"

NO_SKLEARN = "scikit-learn is not installed where this was trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What something simpler than the model, or a person, scores.

    Attributes:
        uar: None when there is no figure, with `note` saying why; so are the next two.
        uar_interval: 95 % bootstrap over voices; None also where there is none.
        num_clips: That it was judged on.
    """

    name: str
    uar: float | None
    macro_f1: float | None
    uar_interval: Interval | None
    num_clips: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a baseline may learn from and is judged on.

    Attributes:
        train: Examples, in the order of `train_features` and `train_gold`.
        test: Examples, in the order of `test_features` and `gold`.
        train_features: (num_train, num_layers, width) of the frozen encoder; None for a model
            that does not listen.
        test_features: As `train_features`.
        train_gold: (num_train,) label indices.
        gold: (num_test,) label indices.
        cold_start: Test utterance id -> its answer; empty when nobody asked it.
        read: Reads the samples of an example.
        in_folds: The clips were judged in folds, so that nothing may learn from them all.
    """

    scheme: str
    labels: tuple[str, ...]
    train: Sequence[Example]
    test: Sequence[Example]
    train_features: Any
    test_features: Any
    train_gold: Ints
    gold: Ints
    cold_start: Mapping[str, Distribution]
    read: Callable[[Example], Samples]
    in_folds: bool = False


def measure_baselines(lesson: Lesson) -> tuple[Baseline, ...]:
    """All of them, from the simplest on; none when the test set is empty."""
    if not len(lesson.gold):
        return ()
    return (
        _judge(lesson, MAJORITY, _answer_majority(lesson)),
        _measure_cold_start(lesson),
        _measure_learnt(lesson, ACOUSTICS, _describe_acoustics, _make_svm),
        _measure_probe(lesson),
        _measure_people(lesson),
    )


def _judge(lesson: Lesson, name: str, answers: Floats) -> Baseline:
    voices = [example.voice for example in lesson.test]
    scores = score(lesson.gold, answers, voices, labels=lesson.labels)
    return Baseline(
        name=name,
        uar=scores.uar,
        macro_f1=scores.macro_f1,
        uar_interval=scores.uar_interval,
        num_clips=scores.num_clips,
    )


def _without_figure(name: str, note: str) -> Baseline:
    return Baseline(
        name=name,
        uar=None,
        macro_f1=None,
        uar_interval=None,
        num_clips=0,
        note=note,
    )


def _answer_majority(lesson: Lesson) -> Floats:
    most = np.bincount(lesson.train_gold, minlength=len(lesson.labels)).argmax()
    return _one_hot(np.full(len(lesson.gold), most), lesson)


def _one_hot(answers: Ints, lesson: Lesson) -> Floats:
    return np.eye(len(lesson.labels))[answers]


def _measure_cold_start(lesson: Lesson) -> Baseline:
    if not lesson.cold_start:
        return _without_figure(COLD_START, "it was not asked")
    answers = np.zeros((len(lesson.test), len(lesson.labels)))
    for row, example in zip(answers, lesson.test, strict=True):
        shares = lesson.cold_start[example.utterance_id]
        row[:] = [shares.get(label, 0.0) for label in lesson.labels]
    return _judge(lesson, COLD_START, answers)


def _measure_probe(lesson: Lesson) -> Baseline:
    if lesson.train_features is None:
        return _without_figure(PROBE, "the model does not listen")
    return _measure_learnt(lesson, PROBE, _describe_features, _make_probe)


def _measure_people(lesson: Lesson) -> Baseline:
    golds = [example.gold[lesson.scheme] for example in lesson.test]
    agreement = measure_agreement(golds, labels=lesson.labels)
    if agreement.uar is None:
        return _without_figure(PEOPLE, "no test clip has two votes")
    return Baseline(
        name=PEOPLE,
        uar=agreement.uar,
        macro_f1=None,
        uar_interval=None,
        num_clips=agreement.num_clips,
    )


def _measure_learnt(
    lesson: Lesson,
    name: str,
    describe: Callable[[Lesson, Ints], tuple[Floats, Floats]],
    make: Callable[[], Any],
) -> Baseline:
    """Fit a classifier on descriptions of the training clips, and judge it.

    Args:
        describe: Gives (num_learnt, width) and (num_test, width).
        make: Makes the classifier.
    """
    if lesson.in_folds:
        return _without_figure(name, "not measured in folds")
    learnt = _spread(len(lesson.train), MAX_LEARNT)
    if len(set(lesson.train_gold[learnt].tolist())) < 2:
        return _without_figure(name, "the clips it would learn from have one label")
    try:
        model = make()
    except ModuleNotFoundError:
        return _without_figure(name, NO_SKLEARN)
    train, test = describe(lesson, learnt)
    with warnings.catch_warnings():
        # One that has not settled by the last step is a baseline still.
        warnings.simplefilter("ignore")
        model.fit(train, lesson.train_gold[learnt])
    return _judge(lesson, name, _one_hot(model.predict(test), lesson))


def _spread(num: int, most: int) -> Ints:
    """At most so many indices, evenly spread."""
    return np.linspace(0, num - 1, min(num, most)).round().astype(np.int64)


def _describe_acoustics(lesson: Lesson, learnt: Ints) -> tuple[Floats, Floats]:
    heard = [lesson.train[place] for place in learnt]
    return _read_acoustics(lesson, heard), _read_acoustics(lesson, lesson.test)


def _read_acoustics(lesson: Lesson, examples: Sequence[Example]) -> Floats:
    return np.stack([acoustic_statistics(lesson.read(example)) for example in examples])


def _describe_features(lesson: Lesson, learnt: Ints) -> tuple[Floats, Floats]:
    train = np.asarray(lesson.train_features[learnt], dtype=float)
    tested = np.arange(len(lesson.test))
    test = np.asarray(lesson.test_features[tested], dtype=float)
    return train.reshape(len(train), -1), test.reshape(len(test), -1)


def _make_svm() -> Any:
    from sklearn.svm import SVC  # type: ignore[import-untyped]

    return _standardised(SVC(kernel="linear", C=0.01, class_weight="balanced"))


def _make_probe() -> Any:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    return _standardised(LogisticRegression(C=0.02, class_weight="balanced", max_iter=200))


def _standardised(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    return make_pipeline(StandardScaler(), model)
