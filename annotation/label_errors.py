"""Likely label errors: labels that models which never heard the voice find implausible."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.coverage import MAX_DIMENSIONS, compact_embeddings
from voxdata.counted import counted
from voxdata.errors import ConfigError, SchemeError

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

STRENGTH = 6.0
"""C of the logistic regression times the mean squared length of the features: weak enough a fit not
to learn wrong labels by heart.

Chosen, like the two passes, on noise draws that `python -m benchmarks.label_errors` does not
report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFold:
    """Predictions for every clip by a model that heard neither it nor its voice.

    Attributes:
        labels: The columns, in alphabetical order.
        probabilities: (num_clips, num_labels); rows add up to 1.
        judged: (num_clips,) False where the clip's own label was in no other fold, so that nothing
            could be learned of it.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float64] = field(compare=False)
    judged: Booleans = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDoubt:
    """A label worth hearing again.

    Attributes:
        suggested: What the models say; never `given`.
        quality: 0..1, low is worse.
        rank: 1 for the worst.
    """

    utterance_id: str
    given: str
    suggested: str
    quality: float
    rank: int


def out_of_fold(
    features: Floats,
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    num_folds: int = 5,
    num_passes: int = 2,
    seed: int = 0,
) -> OutOfFold:
    """Predict every clip from the others' voices.

    The second pass trains without the labels that cleanlab flags after the first, so that errors do
    not vouch for each other; it still predicts all clips.

    Args:
        features: (num_clips, num_features), such as pooled encoder states; wider than 128, they are
            compacted, without the labels.
        labels: (num_clips,) one label per clip.
        groups: (num_clips,) the voice; none is ever on both sides.
        num_folds: Fewer are made when there are fewer voices.
        num_passes: 1 trusts every label.

    Raises:
        ConfigError: Lengths differ, a feature is no number, or there is one voice or one label
            only.
        SchemeError: A label is missing.
    """
    _check(features, labels, groups)
    names = tuple(sorted(set(labels)))
    if features.shape[1] > MAX_DIMENSIONS:
        features = compact_embeddings(features, seed=seed)
    clips = _Clips(
        features=np.asarray(features, dtype=np.float64),
        labels=_find_columns(labels, names),
        names=names,
    )
    folds = _divide(
        clips,
        np.array(groups, dtype=str),
        num_folds=num_folds,
        seed=seed,
    )

    everyone = np.ones(len(labels), dtype=bool)
    predicted = _predict_folds(clips, folds, trusted=everyone)
    for _ in range(num_passes - 1):
        doubted = _flag(clips.labels, predicted)
        predicted = _predict_folds(clips, folds, trusted=~doubted)
    return predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clips:
    """What models learn from.

    Attributes:
        features: (num_clips, num_features).
        labels: (num_clips,) index into `names`.
    """

    features: Floats
    labels: Integers
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """Row numbers of the clips that a model learns from, and of those it predicts."""

    train: Integers
    test: Integers


def _divide(
    clips: _Clips,
    voices: npt.NDArray[np.str_],
    *,
    num_folds: int,
    seed: int,
) -> list[_Fold]:
    """Folds with no voice on both sides.

    Raises:
        ConfigError: There are too few voices, or too few clips of any label.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # type: ignore[import-untyped]

    most_frequent = int(np.bincount(clips.labels).max())
    num_splits = min(num_folds, len(np.unique(voices)), most_frequent)
    if num_splits < 2:
        raise ConfigError(
            f"{counted(len(clips.labels), 'clip')} with {counted(len(clips.names), 'label')} "
            "cannot be divided into folds; label more clips"
        )
    splitter = StratifiedGroupKFold(num_splits, shuffle=True, random_state=seed)
    folds = []
    with warnings.catch_warnings():
        # A label in fewer clips than there are folds: `judged` tells what follows from it.
        warnings.filterwarnings(
            "ignore",
            message="The least populated class",
            category=UserWarning,
        )
        for train, test in splitter.split(clips.features, clips.labels, voices):
            if len(test):
                folds.append(_Fold(train=train, test=test))
    return folds


def _predict_folds(clips: _Clips, folds: Sequence[_Fold], *, trusted: Booleans) -> OutOfFold:
    """Predict each fold by a model of the others.

    Args:
        trusted: (num_clips,) False where a clip's label is not to be learned.
    """
    num_clips = len(clips.labels)
    probabilities = np.zeros((num_clips, len(clips.names)))
    judged = np.zeros(num_clips, dtype=bool)
    for fold in folds:
        train = _drop_doubted(fold.train, clips.labels, trusted)
        learned = np.unique(clips.labels[train])
        test = fold.test
        if len(learned) < 2:
            probabilities[test[:, None], learned] = 1.0
            continue
        centred = clips.features - clips.features[train].mean(axis=0)
        model = _fit(centred[train], clips.labels[train])
        probabilities[test[:, None], model.classes_] = model.predict_proba(centred[test])
        judged[test] = np.isin(clips.labels[test], learned)
    return OutOfFold(
        labels=clips.names,
        probabilities=probabilities,
        judged=judged,
    )


def _drop_doubted(rows: Integers, labels: Integers, trusted: Booleans) -> Integers:
    """The rows whose labels are trusted; a label that is doubted everywhere stays as it is."""
    is_trusted = trusted[rows]
    trusted_labels = labels[rows][is_trusted]
    is_doubted_everywhere = ~np.isin(labels[rows], trusted_labels)
    return rows[is_trusted | is_doubted_everywhere]


def _fit(features: Floats, labels: Integers) -> Any:
    """A logistic regression of centred features, regularised by their size."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    squared_lengths = (features**2).sum(axis=1)
    mean_squared_length = max(float(squared_lengths.mean()), 1e-12)
    model = LogisticRegression(
        C=STRENGTH / mean_squared_length,
        class_weight="balanced",
        max_iter=500,
        tol=1e-3,
    )
    return model.fit(features, labels)


def _flag(labels: Integers, predicted: OutOfFold) -> Booleans:
    """(num_clips,) what cleanlab takes for an error."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]

    flags: Booleans = np.zeros(len(labels), dtype=bool)
    judged = _select_judged(labels, predicted)
    if len(judged.columns) >= 2:
        flags[judged.rows] = find_label_issues(
            judged.labels,
            judged.shares,
            n_jobs=1,
        )
    return flags


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The clips that can be judged, as cleanlab wants them: every label occurs.

    Attributes:
        rows: (num_rows,) their row numbers.
        labels: (num_rows,) index into `columns`.
        shares: (num_rows, num_columns) probabilities, more than 0; rows add up to 1.
        columns: (num_columns,) which label of the prediction each column is.
    """

    rows: Integers
    labels: Integers
    shares: npt.NDArray[np.float64]
    columns: Integers


def _select_judged(labels: Integers, predicted: OutOfFold) -> _Judged:
    rows = np.flatnonzero(predicted.judged)
    columns = np.unique(labels[rows])
    weights = predicted.probabilities[np.ix_(rows, columns)] + 1e-12
    return _Judged(
        rows=rows,
        labels=np.searchsorted(columns, labels[rows]),
        shares=weights / weights.sum(axis=1, keepdims=True),
        columns=columns,
    )


def find_label_errors(
    utterance_ids: Sequence[str],
    labels: Sequence[str],
    predicted: OutOfFold,
    *,
    count: int | None = None,
) -> list[LabelDoubt]:
    """The labels least plausible, worst first, of those in whose place the models would give
    another.

    Args:
        labels: (num_clips,) what people said, in the order of `utterance_ids` and of `predicted`.
        count: How many to return at most; None: as many as cleanlab's confident learning estimates
            to be wrong.

    Returns:
        Clips that could not be judged are left out, and so are those of which the models are unsure
        without liking another label
        better: nobody would know what to hear again.

    Raises:
        ConfigError: Lengths differ, or no clip can be judged.
        SchemeError: A label without a column.

    Source: C. Northcutt, L. Jiang, I. Chuang, Confident Learning (JAIR 2021), as in cleanlab.
    """
    from cleanlab.count import num_label_issues  # type: ignore[import-untyped]
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]

    _check_predicted(utterance_ids, labels, predicted)
    judged = _select_judged(_find_columns(labels, predicted.labels), predicted)
    if len(judged.columns) < 2:
        return []

    qualities = get_label_quality_scores(judged.labels, judged.shares, method="self_confidence")
    if count is None:
        count = int(num_label_issues(judged.labels, judged.shares))
    order = np.argsort(qualities, kind="stable")
    contradicted = _contradicted(judged)

    doubts = []
    for place, i in enumerate(order[contradicted[order]][:count], start=1):
        row = judged.rows[i]
        best_column = judged.columns[judged.shares[i].argmax()]
        doubt = LabelDoubt(
            utterance_id=utterance_ids[row],
            given=labels[row],
            suggested=predicted.labels[best_column],
            quality=float(qualities[i]),
            rank=place,
        )
        doubts.append(doubt)
    return doubts


def _contradicted(judged: _Judged) -> Booleans:
    """(num_rows,) whether the models like another label better than the given one."""
    every_row = np.arange(len(judged.labels))
    given_shares = judged.shares[every_row, judged.labels]
    return np.asarray(judged.shares.max(axis=1) > given_shares)


def _check_predicted(
    utterance_ids: Sequence[str],
    labels: Sequence[str],
    predicted: OutOfFold,
) -> None:
    """Refuse what cannot be judged; see `find_label_errors` for the errors."""
    num_predicted = len(predicted.probabilities)
    if not len(utterance_ids) == len(labels) == num_predicted:
        raise ConfigError(
            f"{len(utterance_ids)} utterances, {len(labels)} labels "
            f"and {num_predicted} predictions do not belong together"
        )
    unknown = sorted(set(labels) - set(predicted.labels))
    if unknown:
        raise SchemeError(
            f"nothing was predicted for label {unknown[0]!r}; "
            f"predictions know {', '.join(predicted.labels)}"
        )
    if not predicted.judged.any():
        raise ConfigError(
            "no label can be judged: none occurs in two voices; label more voices first"
        )


def _find_columns(labels: Sequence[str], names: Sequence[str]) -> Integers:
    """(num_clips,) the place of each label among the names."""
    return np.array([names.index(label) for label in labels], dtype=np.int64)


def _check(features: Floats, labels: Sequence[str], groups: Sequence[str]) -> None:
    """Refuse what cannot be predicted; see `out_of_fold` for the errors."""
    if not len(features) == len(labels) == len(groups):
        raise ConfigError(
            f"{len(features)} feature rows, {len(labels)} labels and {len(groups)} voices "
            "do not belong together"
        )
    is_finite = np.isfinite(features).all(axis=1)
    broken = np.flatnonzero(~is_finite)
    if len(broken):
        raise ConfigError(
            f"the features of clip number {broken[0]} are not all numbers; "
            "compute them again or leave it out"
        )
    missing = [i for i, label in enumerate(labels) if not label]
    if missing:
        raise SchemeError(
            f"clip number {missing[0]} and {len(missing) - 1} more have no label; leave them out"
        )
    if len(set(groups)) < 2:
        raise ConfigError(
            f"all {len(labels)} clips are of one voice; "
            "label errors are found by models of other voices: label a second one"
        )
    if len(set(labels)) < 2:
        raise ConfigError(
            f"all {len(labels)} clips have one label; there is nothing to compare it with"
        )
