"""Whether a version has enough examples of a scheme for a model and a judgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from voxdata.dataset import Example, Split


def find_shortage(
    examples: Sequence[Example], *, scheme: str, min_examples: int, min_voices: int
) -> str:
    """Say what a version lacks for training under a scheme.

    Args:
        examples: The examples of one version; those without a label under `scheme` do not count.
        scheme: Such as "intent".
        min_examples: Training examples that each label of the version needs.
        min_voices: Voices that the test set needs.

    Returns:
        What is too few, with its number; "" when there is enough.
    """
    num_training: Counter[str] = Counter()
    test_voices: set[str] = set()
    for example in examples:
        if scheme not in example.gold:
            continue
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
    if len(test_voices) < min_voices:
        shortages.append(f"the test set needs {min_voices} voices: {len(test_voices)}")
    return "; ".join(shortages)
