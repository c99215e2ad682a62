"""Whether a version is worth training on."""

from __future__ import annotations

import pytest

from training.enough import find_shortage
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.segment import Segment


def example(number: int, label: str, split: Split, *, scheme: str = "intent") -> Example:
    return Example(
        utterance_id=f"u{number}",
        recording_id=f"r{number}",
        channel=0,
        segment=Segment(start_ms=0, end_ms=1_000),
        voice=f"v{number}",
        group=f"v{number}",
        audio_file=f"r{number}.flac",
        text="",
        language="en",
        gold={
            scheme: GoldLabel(
                label=label,
                distribution={label: 1.0},
                num_votes=1,
            )
        },
        split=split,
    )


def version(training: int, test: int) -> list[Example]:
    """`training` examples of each of two labels, and `test` voices."""
    labels = ["yes", "no"] * training
    learned = [example(n, label, Split.TRAIN) for n, label in enumerate(labels)]
    return learned + [example(1_000 + n, "yes", Split.TEST) for n in range(test)]


def shortage(examples: list[Example]) -> str:
    return find_shortage(examples, scheme="intent", min_examples=5, min_voices=2)


def test_find_shortage_is_empty_when_there_is_enough() -> None:
    assert shortage(version(5, 2)) == ""


def test_find_shortage_names_each_scarce_label_with_its_number() -> None:
    assert shortage(version(4, 2)) == "each label needs 5 training examples: no 4, yes 4"


def test_find_shortage_counts_a_label_that_training_lacks() -> None:
    missing = shortage([*version(5, 2), example(5_000, "maybe", Split.TEST)])
    assert missing == "each label needs 5 training examples: maybe 0"


@pytest.mark.parametrize("voices", [0, 1])
def test_find_shortage_names_too_few_voices(voices: int) -> None:
    assert shortage(version(5, voices)) == f"the test set needs 2 voices: {voices}"


def test_find_shortage_looks_at_its_scheme_only() -> None:
    others = [example(n, "sad", Split.TRAIN, scheme="emotion") for n in range(3)]
    missing = shortage([*version(5, 2), *others])
    assert missing == ""
