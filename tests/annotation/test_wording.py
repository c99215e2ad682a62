"""The screen's own words."""

from __future__ import annotations

import string
from dataclasses import fields
from typing import get_args

import pytest

from annotation.wording import FLAGS, Language, Wording, find_wording
from voxdata.errors import AnnotationError

LANGUAGES = get_args(Language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_find_wording_leaves_nothing_unsaid(language: str) -> None:
    words = find_wording(language)
    english = find_wording("en")
    assert tuple(words.flag_names) == FLAGS
    assert set(words.scales) == set(english.scales)
    assert len(words.keys) == len(english.keys)
    assert all(getattr(words, field.name) for field in fields(Wording))
    assert [name for _, name, _, _ in string.Formatter().parse(words.required) if name] == ["title"]


def test_find_wording_says_each_language_in_its_own_words() -> None:
    english = find_wording("en")
    chinese = find_wording("zh")
    same = {
        field.name
        for field in fields(Wording)
        if getattr(english, field.name) == getattr(chinese, field.name)
    }
    assert same == {"between"}


def test_find_wording_lists_the_languages_there_are() -> None:
    with pytest.raises(AnnotationError, match=r"'fr'.*en, zh"):
        find_wording("fr")
