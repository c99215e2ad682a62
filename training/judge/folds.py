"""Folds over voices: how a version whose test set is too small is judged on all of its clips.

Each fold is answered by a model that heard none of its voices. These models are trained like the
one that is kept, on less; so the figures are those of the recipe, and rather too low than too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from training.judge.gate import MIN_CLIPS, MIN_VOICES
from voxdata.dataset import Example, Split

Parts = Mapping[Split, Sequence[Example]]


def is_large_enough(examples: Sequence[Example]) -> bool:
    """Whether the gate decides on these."""
    voices = {example.voice for example in examples}
    return len(examples) >= MIN_CLIPS and len(voices) >= MIN_VOICES


def wants_folds(examples: Sequence[Example], *, num_folds: int) -> bool:
    """Whether the gate would decide on all examples, and would not on those of the test split.

    Args:
        num_folds: 0: never.
    """
    tested = [example for example in examples if example.split is Split.TEST]
    groups = {example.group for example in examples}
    is_dealt = 0 < num_folds <= len(groups)
    return is_dealt and not is_large_enough(tested) and is_large_enough(examples)


def deal_folds(examples: Sequence[Example], *, num_folds: int) -> list[list[Example]]:
    """Deal groups out, the largest first, each to the fold with the fewest clips."""
    sizes = Counter(example.group for example in examples)
    fold_of: dict[str, int] = {}
    filled = [0] * num_folds
    for group in sorted(sizes, key=lambda name: (-sizes[name], name)):
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    folds: list[list[Example]] = [[] for _ in range(num_folds)]
    for example in examples:
        folds[fold_of[example.group]].append(example)
    return folds


def split_folds(folds: Sequence[Sequence[Example]]) -> list[dict[Split, list[Example]]]:
    """For each fold the parts of its model: it is the test set, the next one validates, and the
    others are learnt.
    """
    splits: list[dict[Split, list[Example]]] = []
    for number, tested in enumerate(folds):
        following = (number + 1) % len(folds)
        learnt: list[Example] = []
        for other, fold in enumerate(folds):
            if other not in (number, following):
                learnt.extend(fold)
        parts = {
            Split.TRAIN: learnt,
            Split.VALIDATION: list(folds[following]),
            Split.TEST: list(tested),
        }
        splits.append(parts)
    return splits
