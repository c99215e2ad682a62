"""The text head: what it learns, and what it says where there is nothing to read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.config import TextConfig, TrainingConfig
from training.text.text_head import (
    Heard,
    TextHead,
    TextReader,
    decode_text_head,
    encode_text_head,
    fit_text_head,
)

CONFIG = TrainingConfig(
    scheme="intent",
    text=TextConfig(enabled=True, num_columns=1_024, sentence_model=False),
)
ENGLISH = ("a latte please", "one latte", "an espresso please", "one espresso")
CHINESE = ("我想退款", "请退款给我", "什么时候送到", "送到哪里了")
GOLD = np.eye(3)[[0, 0, 1, 1]]
"""Nothing is ever labelled with the third label."""


def _heard(*texts: str, language: str = "en") -> Heard:
    return Heard(texts=texts, languages=[language] * len(texts))


def _fit(heard: Heard, targets: np.ndarray = GOLD, config: TrainingConfig = CONFIG) -> TextHead:
    head = fit_text_head(heard, targets, config)
    assert head is not None
    return head


@pytest.mark.parametrize(
    ("learnt", "language", "asked"),
    [
        (ENGLISH, "en", ("Could I get the LATTE?", "espresso")),
        (CHINESE, "zh", ("给我退款吧。", "几点送到")),
    ],
)
def test_answer_tells_unseen_texts(learnt: tuple[str, ...], language: str, asked: tuple[str, str]):
    reader = TextReader(_fit(_heard(*learnt, language=language)))
    answers = reader.answer(_heard(*asked, language=language))
    assert answers.argmax(axis=1).tolist() == [0, 1]
    assert np.allclose(answers.sum(axis=1), 1)
    assert answers[:, 2].max() < 1e-9


def test_answer_abstains_where_there_is_no_letter_or_digit() -> None:
    reader = TextReader(_fit(_heard(*ENGLISH)))
    answers = reader.answer(_heard("", " ...?! "))
    assert answers.tolist() == [[1 / 3] * 3] * 2


def test_answer_depends_on_no_other_text() -> None:
    reader = TextReader(_fit(_heard(*ENGLISH)))
    asked = ("", "latte", "an espresso", "我想退款")
    together = reader.answer(_heard(*asked))
    alone = [reader.answer(_heard(text))[0].tolist() for text in asked]
    assert together.tolist() == alone


def test_fit_text_head_gives_equal_weights_again() -> None:
    first, second = _fit(_heard(*ENGLISH)), _fit(_heard(*ENGLISH))
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.bias, second.bias)


def test_fit_text_head_passes_over_texts_without_a_word() -> None:
    bare = _fit(_heard(*ENGLISH))
    targets = np.vstack([GOLD, [[0, 1, 0]]])
    with_silence = _fit(_heard(*ENGLISH, "..."), targets)
    assert np.array_equal(bare.weights, with_silence.weights)


@pytest.mark.parametrize("texts", [("", "", "", ""), ("a latte", "one latte", "", "?")])
def test_fit_text_head_makes_none_when_fewer_than_two_labels_can_be_read(
    texts: tuple[str, ...],
) -> None:
    assert fit_text_head(_heard(*texts), GOLD, CONFIG) is None


def test_fit_text_head_learns_the_shares_of_the_votes() -> None:
    texts = ("latte", "latte", "espresso", "espresso")
    shares = np.array([[0.7, 0.3, 0], [0.7, 0.3, 0], [0, 1, 0], [0, 1, 0]])
    loose = replace(
        CONFIG,
        text=replace(CONFIG.text, penalty=0.001),
        fit=replace(CONFIG.fit, class_weights=False),
    )
    answers = TextReader(_fit(_heard(*texts), shares, loose)).answer(_heard("latte", "espresso"))
    assert answers[0, 0] == pytest.approx(0.7, abs=0.05)
    assert answers[1, 1] > 0.9


def test_sentence_model_reads_what_shares_no_letters_with_the_training_texts() -> None:
    config = replace(CONFIG, text=replace(CONFIG.text, sentence_model=True))
    learnt = _heard("I want my money back", "give me a refund", "where is my parcel", "track it")
    reader = TextReader(_fit(learnt, config=config))
    foreign = reader.answer(_heard("reimburse me", language="de"))
    english = reader.answer(_heard("reimburse me"))
    assert english[0, 0] > 0.5
    assert english[0, 0] != foreign[0, 0]


def test_decode_text_head_refuses_tensors_that_do_not_fit() -> None:
    head = _fit(_heard(*ENGLISH))
    tensors = encode_text_head(head)
    again = decode_text_head(tensors, head.config)
    asked = _heard("latte")
    assert TextReader(again).answer(asked).tolist() == TextReader(head).answer(asked).tolist()
    with pytest.raises(ValueError, match="does not fit"):
        decode_text_head(tensors, replace(head.config, num_columns=512))
