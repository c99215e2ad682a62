"""What a run learns from the texts of its examples."""

from __future__ import annotations

import numpy as np

from training.config import TextConfig, TrainingConfig
from training.text.reading import learn_from_validation, learn_to_read, read_split
from training.text.text_head import Heard, TextReader
from voxdata.dataset import Example, Split
from voxdata.testing.factories import make_example

CONFIG = TrainingConfig(
    scheme="intent",
    text=TextConfig(enabled=True, num_columns=1_024, sentence_model=False),
)
TARGETS = {
    Split.TRAIN: np.eye(2),
    Split.VALIDATION: np.eye(2),
    Split.TEST: np.zeros((0, 2)),
}


def _examples(*texts: str, split: Split) -> list[Example]:
    return [make_example(i, text=text, split=split) for i, text in enumerate(texts)]


def test_learn_from_validation_teaches_words_that_only_validation_voices_say() -> None:
    parts = {
        Split.TRAIN: _examples("latte", "espresso", split=Split.TRAIN),
        Split.VALIDATION: _examples("mug", "thimble", split=Split.VALIDATION),
        Split.TEST: [],
    }
    before = learn_to_read(parts, TARGETS, None, CONFIG)
    after = learn_from_validation(before, CONFIG)
    assert before.head is not None
    assert after.head is not None
    asked = Heard(texts=["thimble"], languages=["en"])
    assert TextReader(before.head).answer(asked)[0, 1] < 0.6
    assert TextReader(after.head).answer(asked)[0, 1] > 0.8
    assert before.count == "2 of 2 clips can be read"


def test_read_split_says_nothing_without_a_head() -> None:
    parts = {
        Split.TRAIN: _examples("", "...", split=Split.TRAIN),
        Split.VALIDATION: _examples("mug", "thimble", split=Split.VALIDATION),
        Split.TEST: [],
    }
    reading = learn_to_read(parts, TARGETS, None, CONFIG)
    assert read_split(reading, Split.VALIDATION) is None
    assert "the model listens and does not read" in reading.note
