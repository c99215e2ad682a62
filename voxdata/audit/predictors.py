"""How well something that should not matter guesses the label.

Such are the speaker, the session, the words and the recording's channel.

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
    numbers: dict[str | None, int] = {None: -1}
    names = sorted({value for value in values if value is not None})
    for number, name in enumerate(names):
        numbers[name] = number
    return np.array([numbers[value] for value in values], dtype=np.int64)


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
    has_group = groups >= 0
    learned = train & has_group
    outside = ~train
    is_learned_group = np.isin(groups, groups[learned])
    guessable = outside & has_group & is_learned_group
    if not learned.any() or not guessable.any():
        return None

    judged = guessable if seen_only else outside
    answers = labels[judged]
    learned_labels = labels[learned]
    num_groups = int(groups.max()) + 1
    num_labels = int(labels.max()) + 1
    label_counts = np.bincount(labels[train], minlength=num_labels)
    common = int(label_counts.argmax())

    def accuracy(learned_groups: Codes, judged_groups: Codes) -> float:
        counts = _count_labels(learned_groups, learned_labels, num_groups, num_labels)
        # A group that was not learned from has no best label.
        is_learned = counts.sum(axis=1) > 0
        best = np.where(is_learned, counts.argmax(axis=1), common)
        guess = np.where(judged_groups >= 0, best[judged_groups], common)
        return float((guess == answers).mean())

    draws = np.random.default_rng(seed)
    null = []
    for _ in range(num_permutations):
        learned_groups = draws.permutation(groups[learned])
        judged_groups = draws.permutation(groups[judged])
        null.append(accuracy(learned_groups, judged_groups))
    return _statistic(
        name,
        accuracy(groups[learned], groups[judged]),
        np.array(null),
        baseline=float((answers == common).mean()),
        num_rows=len(answers),
    )


def predict_within(
    groups: Codes,
    labels: Codes,
    *,
    name: str,
    seed: int,
    num_permutations: int = NUM_PERMUTATIONS,
) -> Statistic | None:
    """Guess each row by the most common label of its group's other rows, over the whole corpus.

    Only groups of two rows and more are judged, one row left out at a time. Permuted are the
    labels.

    Args:
        groups: (num_rows,) from 0; -1 for unknown, which is left out.
        labels: (num_rows,) from 0.

    Returns:
        None without a group of two rows, or with one group only.
    """
    has_group = groups >= 0
    sizes = np.bincount(groups[has_group], minlength=1)
    judged = has_group & (sizes[groups] > 1)
    distinct, judged_groups = np.unique(groups[judged], return_inverse=True)
    if len(distinct) < 2:
        return None

    answers = labels[judged]
    num_labels = int(labels.max()) + 1

    def accuracy(given: Codes) -> float:
        counts = _count_labels(judged_groups, given, len(distinct), num_labels)
        return _leave_one_out(judged_groups, given, counts)

    draws = np.random.default_rng(seed)
    null = [accuracy(draws.permutation(answers)) for _ in range(num_permutations)]
    return _statistic(
        name,
        accuracy(answers),
        np.array(null),
        baseline=float(np.bincount(answers).max() / len(answers)),
        num_rows=len(answers),
    )


def _leave_one_out(groups: Codes, labels: Codes, counts: Codes) -> float:
    """Share of rows whose label leads among the other rows of their group; ties count half.

    Args:
        groups, labels: (num_rows,) from 0.
        counts: (num_groups, num_labels) rows.
    """
    every_group = np.arange(len(counts))
    first = counts.argmax(axis=1)
    top = counts[every_group, first]
    others = counts.copy()
    others[every_group, first] = -1
    second = others.max(axis=1)

    # Without itself, a row of the top label is guessed right only while that label still leads.
    lead = top[groups] - 1 - second[groups]
    is_ahead = lead > 0
    is_tied = lead == 0
    right = np.select([is_ahead, is_tied], [1.0, 0.5], 0.0)
    own_top = labels == first[groups]
    return float(np.where(own_top, right, 0.0).mean())


def group_purity(groups: Codes, labels: Codes) -> npt.NDArray[np.float64]:
    """Share of each group's rows that have its most common label.

    Returns:
        (num_groups,); nan for a group without rows.
    """
    has_group = groups >= 0
    num_groups = int(groups.max(initial=-1)) + 1
    num_labels = int(labels.max()) + 1
    counts = _count_labels(
        groups[has_group],
        labels[has_group],
        num_groups,
        num_labels,
    )
    sizes = counts.sum(axis=1)
    filled = sizes > 0

    purity = np.full(num_groups, np.nan)
    most_common = counts.max(axis=1)
    purity[filled] = most_common[filled] / sizes[filled]
    return purity


def _count_labels(
    groups: Codes,
    labels: Codes,
    num_groups: int,
    num_labels: int,
) -> Codes:
    """(num_groups, num_labels) rows of each group that have each label."""
    cells = groups * num_labels + labels
    counts = np.bincount(cells, minlength=num_groups * num_labels)
    return counts.reshape(num_groups, num_labels)


def _statistic(
    name: str,
    value: float,
    null: npt.NDArray[np.float64],
    *,
    baseline: float,
    num_rows: int,
) -> Statistic:
    low, high = np.percentile(null, (2.5, 97.5))
    num_reaching = int((null >= value - 1e-12).sum())
    p_value = (1 + num_reaching) / (1 + len(null))
    return Statistic(
        name=name,
        value=round(value, 4),
        baseline=round(baseline, 4),
        null_low=round(float(low), 4),
        null_high=round(float(high), 4),
        p_value=round(p_value, 4),
        num_rows=num_rows,
    )
