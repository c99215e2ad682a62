"""Transcripts in the one form in which the text branch reads them, in training and in use."""

from __future__ import annotations

from unicodedata import category, normalize

TEXT_POLICY = "nfkc-casefold-words-1"
"""Part of every model that reads: raise it whenever the road from text to n-grams changes."""

_KEPT = "LMN"
"""Letters, the marks that belong to them, and digits, by Unicode's general category."""


def normalise_text(text: str) -> str:
    """Words without case, punctuation or differences of mere form; "" when there are none.

    >>> normalise_text("Ｇroße  LATTE, please!")
    'grosse latte please'
    >>> normalise_text("我想退款。")
    '我想退款'
    """
    folded = normalize("NFKC", text).casefold()
    characters: list[str] = []
    for character in normalize("NFKC", folded):
        is_kept = category(character)[0] in _KEPT
        characters.append(character if is_kept else " ")
    words = "".join(characters).split()
    return " ".join(words)
