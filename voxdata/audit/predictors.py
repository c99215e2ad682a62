"""How well something that should not matter guesses the label: the speaker, the session, the words, the recording's channel.

Two predictors, each beside the most common label and beside what random permutation gives:
across splits, what was learned on the training rows is applied to the others; within the corpus,
each row is guessed from the other rows of its group.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from voxdata.audit.findings import Statistic

Codes = npt.NDArray[np.int64]

NUM_PERMUTATIONS = 200


def encode_codes(values: Sequence[str | None]) -> Codes:
    """(num_values,) numbers from 0 in alphabetical order; -1 for None."""
    numbers = {
        name: i for i, name in enumerate(sorted({value for value in values if value is not None}))
    }
    return np.array([-1 if value is None else numbers[value] for value in values], dtype=np.int64)


def predict_across(
    groups: Codes,
    labels: Codes,
    train: npt.NDArray[np.bool_],
    *,
    name: str,
    seed: int,
    num_permutations: int = NUM_PERMUTATIONS,
    seen_only: bool = False,
) -> Statistic | None:
    """Guess each row outside the training split by its group's most common training label.

    Rows of a group that the training split does not have get the most common training label.
    Permuted are the groups, of training rows and of the others each among themselves, so that how
    many rows a group has and how common a label is stay as they are.

    Args:
        groups: (num_rows,) from 0; -1 for unknown, which is a group never seen.
        labels: (num_rows,) from 0.
        train: (num_rows,) which rows are learned from.
        seen_only: Judge rows of known groups alone.

    Returns:
        None when no row outside is of a group in the training split: then there is nothing that
        could be guessed.
    """
    known = groups >= 0
    learned, judged = train & known, ~train
    if seen_only:
        judged = judged & np.isin(groups, groups[learned]) & known
    if not learned.any() or not (judged & np.isin(groups, groups[learned]) & known).any():
        return None
    num_groups, num_labels = int(groups.max()) + 1, int(labels.max()) + 1
    common = int(np.bincount(labels[train], minlength=num_labels).argmax())
    answers, asked = labels[judged], groups[judged]

    def accuracy(given: Codes, asking: Codes) -> float:
        best, size = _majorities(given, labels[learned], num_groups, num_labels)
        guess = np.where(
            (asking >= 0) & (size[np.maximum(asking, 0)] > 0), best[np.maximum(asking, 0)], common
        )
        return float((guess == answers).mean())

    draws = np.random.default_rng(seed)
    null = np.array(
        [
            accuracy(draws.permutation(groups[learned]), draws.permutation(asked))
            for _ in range(num_permutations)
        ]
    )
    return _statistic(
        name,
        accuracy(groups[learned], asked),
        null,
        baseline=float((answers == common).mean()),
        num_rows=len(answers),
    )


def predict_within(
    groups: Codes, labels: Codes, *, name: str, seed: int, num_permutations: int = NUM_PERMUTATIONS
) -> Statistic | None:
    """Guess each row by the most common label of its group's other rows: leave one out, over the whole corpus.

    Only groups of two rows and more are judged. Permuted are the labels.

    Args:
        groups: (num_rows,) from 0; -1 for unknown, which is left out.
        labels: (num_rows,) from 0.

    Returns:
        None without a group of two rows, or with one group only.
    """
    known = groups >= 0
    sizes = np.bincount(groups[known], minlength=1)
    judged = known & (sizes[np.maximum(groups, 0)] > 1)
    if not judged.any() or len(np.unique(groups[judged])) < 2:
        return None
    _, kept = np.unique(groups[judged], return_inverse=True)
    given, num_groups, num_labels = labels[judged], int(kept.max()) + 1, int(labels.max()) + 1

    def accuracy(answers: Codes) -> float:
        counts = np.bincount(
            kept * num_labels + answers, minlength=num_groups * num_labels
        ).reshape(num_groups, num_labels)
        first = counts.argmax(axis=1)
        top = counts[np.arange(num_groups), first]
        rest = counts.copy()
        rest[np.arange(num_groups), first] = -1
        second = rest.max(axis=1)
        # Without itself, a row of the top label is guessed right only while that label still leads;
        # ties count half.
        own_top = answers == first[kept]
        left = top[kept] - 1 - second[kept]
        right = np.where(own_top, np.where(left > 0, 1.0, np.where(left == 0, 0.5, 0.0)), 0.0)
        return float(right.mean())

    draws = np.random.default_rng(seed)
    null = np.array([accuracy(draws.permutation(given)) for _ in range(num_permutations)])
    baseline = float(np.bincount(given).max() / len(given))
    return _statistic(name, accuracy(given), null, baseline=baseline, num_rows=len(given))


def group_purity(groups: Codes, labels: Codes) -> npt.NDArray[np.float64]:
    """(num_groups,) share of each group's rows that have its most common label; nan for a group without rows."""
    known = groups >= 0
    num_groups, num_labels = int(groups.max(initial=-1)) + 1, int(labels.max()) + 1
    flat = np.bincount(
        groups[known] * num_labels + labels[known], minlength=num_groups * num_labels
    )
    counts = flat.reshape(num_groups, num_labels).astype(np.float64)
    sizes = counts.sum(axis=1)
    purity = np.full(num_groups, np.nan)
    purity[sizes > 0] = counts.max(axis=1)[sizes > 0] / sizes[sizes > 0]
    return purity


def _majorities(
    groups: Codes, labels: Codes, num_groups: int, num_labels: int
) -> tuple[Codes, Codes]:
    """(num_groups,) most common label of each group, and its rows."""
    counts = np.bincount(groups * num_labels + labels, minlength=num_groups * num_labels).reshape(
        num_groups, num_labels
    )
    return counts.argmax(axis=1), counts.sum(axis=1)


def _statistic(
    name: str, value: float, null: npt.NDArray[np.float64], *, baseline: float, num_rows: int
) -> Statistic:
    low, high = np.percentile(null, (2.5, 97.5))
    return Statistic(
        name=name,
        value=round(value, 4),
        baseline=round(baseline, 4),
        null_low=round(float(low), 4),
        null_high=round(float(high), 4),
        p_value=round((1 + int((null >= value - 1e-12).sum())) / (1 + len(null)), 4),
        num_rows=num_rows,
    )
