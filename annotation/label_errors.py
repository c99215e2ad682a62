"""Likely label errors: labels that models which never heard the voice find implausible, worst first."""

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

STRENGTH = 6.0
"""C of the logistic regression times the mean squared length of the features: weak enough a fit not to learn wrong labels by heart.

Chosen, like the two passes, on noise draws that `python -m benchmarks.label_errors` does not report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFold:
    """Predictions for every clip by a model that heard neither it nor its voice.

    Attributes:
        labels: The columns, in alphabetical order.
        probabilities: (num_clips, num_labels); rows add up to 1.
        judged: (num_clips,) False where the clip's own label was in no other fold, so that nothing could be learned of it.
    """

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float64] = field(compare=False)
    judged: npt.NDArray[np.bool_] = field(compare=False)


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
    features: Floats, labels: Sequence[str], groups: Sequence[str], *, num_folds: int = 5, num_passes: int = 2, seed: int = 0
) -> OutOfFold:
    """Predict every clip from the others' voices.

    The second pass trains without the labels that cleanlab flags after the first, so that errors do not vouch for each other; it still
    predicts all clips.

    Args:
        features: (num_clips, num_features), such as pooled encoder states; wider than 128, they are compacted, without the labels.
        labels: (num_clips,) one label a clip.
        groups: (num_clips,) the voice; none is ever on both sides.
        num_folds: Fewer are made when there are fewer voices.
        num_passes: 1 trusts every label.

    Raises:
        ConfigError: Lengths differ, a feature is no number, or there is one voice or one label only.
        SchemeError: A label is missing.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # type: ignore[import-untyped]

    names, given, voices = _check(features, labels, groups)
    values = np.asarray(compact_embeddings(features, seed=seed) if features.shape[1] > MAX_DIMENSIONS else features, dtype=np.float64)
    counts = np.bincount(given)
    num_splits = min(num_folds, len(np.unique(voices)), int(counts.max()))
    if num_splits < 2:
        raise ConfigError(
            f"{counted(len(given), 'clip')} with {counted(len(names), 'label')} cannot be divided into folds; label more clips"
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)  # `judged` says what follows
        splitter = StratifiedGroupKFold(num_splits, shuffle=True, random_state=seed)
        folds = [(train, test) for train, test in splitter.split(values, given, voices) if len(test)]
    found = _predict_folds(values, given, folds, trusted=np.ones(len(given), dtype=bool), names=names)
    for _ in range(num_passes - 1):
        found = _predict_folds(values, given, folds, trusted=~_flag(given, found), names=names)
    return found


def _predict_folds(
    values: Floats,
    given: npt.NDArray[np.int64],
    folds: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    *,
    trusted: npt.NDArray[np.bool_],
    names: tuple[str, ...],
) -> OutOfFold:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    probabilities = np.zeros((len(given), len(names)))
    judged = np.zeros(len(given), dtype=bool)
    for train, test in folds:
        kept = train[trusted[train] | ~np.isin(given[train], given[train][trusted[train]])]  # a label all flagged stays as it is
        known = np.unique(given[kept])
        if len(known) < 2:
            probabilities[test[:, None], known] = 1.0
            continue
        centred = values - values[kept].mean(axis=0)
        strength = STRENGTH / max(float((centred[kept] ** 2).sum(axis=1).mean()), 1e-12)
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500, tol=1e-3).fit(centred[kept], given[kept])
        probabilities[test[:, None], model.classes_] = model.predict_proba(centred[test])
        judged[test] = np.isin(given[test], known)
    return OutOfFold(labels=names, probabilities=probabilities, judged=judged)


def _flag(given: npt.NDArray[np.int64], found: OutOfFold) -> npt.NDArray[np.bool_]:
    """(num_clips,) what cleanlab takes for an error."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]

    flags: npt.NDArray[np.bool_] = np.zeros(len(given), dtype=bool)
    rows, dense, shares, present = _dense(given, found)
    if len(present) >= 2:
        flags[rows] = find_label_issues(dense, shares, n_jobs=1)
    return flags


def _dense(
    given: npt.NDArray[np.int64], found: OutOfFold
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """What can be judged, as cleanlab wants it: every label occurs.

    Returns:
        Row numbers, (num_rows,) labels, (num_rows, num_present) probabilities, and which label each column is.
    """
    rows = np.flatnonzero(found.judged)
    present = np.unique(given[rows])
    shares = found.probabilities[np.ix_(rows, present)] + 1e-12
    return rows, np.searchsorted(present, given[rows]), shares / shares.sum(axis=1, keepdims=True), present


def find_label_errors(
    utterance_ids: Sequence[str], labels: Sequence[str], predicted: OutOfFold, *, count: int | None = None
) -> list[LabelDoubt]:
    """The labels least plausible, worst first, of those in whose place the models would give another.

    Args:
        labels: (num_clips,) what people said, in the order of `utterance_ids` and of `predicted`.
        count: How many to return at most; None: as many as cleanlab's confident learning estimates to be wrong.

    Returns:
        Clips that could not be judged are left out, and so are those of which the models are unsure without liking another label
        better: nobody would know what to hear again.

    Raises:
        ConfigError: Lengths differ, or no clip can be judged.
        SchemeError: A label without a column.

    Source: C. Northcutt, L. Jiang, I. Chuang, Confident Learning (JAIR 2021), as in cleanlab.
    """
    from cleanlab.count import num_label_issues  # type: ignore[import-untyped]
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]

    if not len(utterance_ids) == len(labels) == len(predicted.probabilities):
        raise ConfigError(
            f"{len(utterance_ids)} utterances, {len(labels)} labels and {len(predicted.probabilities)} predictions do not belong together"
        )
    unknown = sorted(set(labels) - set(predicted.labels))
    if unknown:
        raise SchemeError(f"nothing was predicted for label {unknown[0]!r}; predictions know {', '.join(predicted.labels)}")
    if not predicted.judged.any():
        raise ConfigError("no label can be judged: none occurs in two voices; label more voices first")
    given = np.array([predicted.labels.index(label) for label in labels], dtype=np.int64)
    rows, dense, shares, present = _dense(given, predicted)
    if len(present) < 2:
        return []
    quality = get_label_quality_scores(dense, shares, method="self_confidence")
    wanted = int(num_label_issues(dense, shares)) if count is None else count
    best = shares.argmax(axis=1)
    every = np.arange(len(dense))
    contradicted = shares[every, best] > shares[every, dense]
    order = [i for i in np.argsort(quality, kind="stable") if contradicted[i]][:wanted]
    return [
        LabelDoubt(
            utterance_id=utterance_ids[rows[i]], given=labels[rows[i]], suggested=predicted.labels[present[best[i]]],
            quality=float(quality[i]), rank=place,
        )
        for place, i in enumerate(order, start=1)
    ]  # fmt: skip


def _check(
    features: Floats, labels: Sequence[str], groups: Sequence[str]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], npt.NDArray[np.str_]]:
    """Label names, their indices, and voices."""
    if not len(features) == len(labels) == len(groups):
        raise ConfigError(f"{len(features)} feature rows, {len(labels)} labels and {len(groups)} voices do not belong together")
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        raise ConfigError(f"the features of clip number {broken[0]} are not all numbers; compute them again or leave it out")
    missing = [i for i, label in enumerate(labels) if not label]
    if missing:
        raise SchemeError(f"clip number {missing[0]} and {len(missing) - 1} more have no label; leave them out")
    if len(set(groups)) < 2:
        raise ConfigError(f"all {len(labels)} clips are of one voice; label errors are found by models of other voices: label a second one")
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise ConfigError(f"all {len(labels)} clips have one label; there is nothing to compare it with")
    return names, np.array([names.index(label) for label in labels], dtype=np.int64), np.array(groups, dtype=str)
