"""Whether a version has enough examples of a scheme for a model and a judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from training.judge.folds import wants_folds
from voxdata.dataset import Example, Split


def find_shortage(
    examples: Sequence[Example],
    *,
    scheme: str,
    min_examples: int,
    min_voices: int,
    num_folds: int = 0,
) -> str:
    """Say what a version lacks for training under a scheme.

    Args:
        examples: The examples of one version; those without a label under `scheme` do not count.
        scheme: Such as "intent".
        min_examples: Training examples that each label of the version needs.
        min_voices: Voices that the test set needs, where it is not judged in folds.
        num_folds: Of the recipe.

    Returns:
        What is too few, with its number; "" when there is enough.
    """
    num_training: Counter[str] = Counter()
    test_voices: set[str] = set()
    labelled = [example for example in examples if scheme in example.gold]
    for example in labelled:
        label = example.gold[scheme].label
        num_training[label] += int(example.split is Split.TRAIN)
        if example.split is Split.TEST:
            test_voices.add(example.voice)

    shortages: list[str] = []
    scarce = [
        f"{label} {number}"
        for label, number in sorted(num_training.items())
        if number < min_examples
    ]
    if scarce:
        shortages.append(f"each label needs {min_examples} training examples: {', '.join(scarce)}")
    if len(test_voices) < min_voices and not wants_folds(labelled, num_folds=num_folds):
        shortages.append(f"the test set needs {min_voices} voices: {len(test_voices)}")
    return "; ".join(shortages)
