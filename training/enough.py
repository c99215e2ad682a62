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
    labelled = [example for example in examples if scheme in example.gold]
    counts = Counter({example.gold[scheme].label: 0 for example in labelled})
    training = [example for example in labelled if example.split is Split.TRAIN]
    counts.update(example.gold[scheme].label for example in training)
    scarce = [
        f"{label} {counts[label]}" for label in sorted(counts) if counts[label] < min_examples
    ]
    voices = {example.voice for example in labelled if example.split is Split.TEST}
    lacks = []
    if scarce:
        lacks.append(f"each label needs {min_examples} training examples: {', '.join(scarce)}")
    if len(voices) < min_voices:
        lacks.append(f"the test set needs {min_voices} voices: {len(voices)}")
    return "; ".join(lacks)
