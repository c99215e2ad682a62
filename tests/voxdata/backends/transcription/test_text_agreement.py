from __future__ import annotations

import pytest

from voxdata.backends.transcription.text_agreement import error_rate


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "rate"),
    [
        ("I'll pay two dollars.", "i will pay $2", "en", 0.0),
        ("the train leaves late", "the rain leaves", "en", 0.5),
        ("今天天气怎么样？", "今天天气怎么样", "zh", 0.0),
        ("今天天气", "今天天汽", "zh", 0.25),
        ("bonjour à tous", "bonjour tous", "fr", 0.3333),
        ("word", "", "en", 1.0),
        ("...", "word", "en", None),
    ],
)
def test_error_rate_counts_words_or_characters_after_normalising(
    reference: str,
    hypothesis: str,
    language: str,
    rate: float | None,
) -> None:
    assert error_rate(reference, hypothesis, language) == rate
