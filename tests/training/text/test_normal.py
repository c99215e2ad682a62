"""Texts in one form, so that training and serving read the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.text.normal import normalise_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Two  LATTES,\nplease! ", "two lattes please"),
        ("Ｇroße ｌatte", "grosse latte"),
        ("我想退款。谢谢！", "我想退款 谢谢"),
        ("ｶﾌｪﾗﾃ", "カフェラテ"),
        ("मुझे चाय दो", "मुझे चाय दो"),
        ("e\u0301clair", "éclair"),
        ("...?!", ""),
        ("", ""),
    ],
)
def test_normalise_text_keeps_words_alone(text: str, expected: str) -> None:
    assert normalise_text(text) == expected


@given(st.text())
def test_normalise_text_changes_nothing_twice(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once
