"""Words that somebody spells: "J O H N S O N", "J as in Juliet", "木子李", "建设的建"."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from voxdata.ports import PrivateText

_LETTER = r"[A-Za-zÀ-ÖØ-öø-ÿ]"
_APART = r"[ ,.\-–]{1,2}"
_SAID_LETTER = rf"(?:(?:double|triple|capital) )?{_LETTER}"
_LETTERS = re.compile(
    rf"(?<![\w'’.])(?:{_SAID_LETTER}{_APART}){{3,}}{_SAID_LETTER}(?![\w'’])", re.IGNORECASE
)
_FEW_LETTERS = re.compile(rf"(?<![\w'’.])(?:{_LETTER}{_APART}){{1,2}}{_LETTER}(?![\w'’])")
_SPELLED_AFTER = 60
"""Two or three letters are spelled when they give a word that stands at most so many characters
before them.
"""
_NO_SECRET = frozenset(
    {
        "www",
        "wwww",
        "html",
        "http",
        "https",
        "hdmi",
        "nasa",
        "nato",
        "asap",
        "faqs",
        "wlan",
        "aarp",
        "ascii",
        "json",
        "ieee",
        "isbn",
        "ikea",
        "espn",
        "eieio",
    }
)
_AS_IN = re.compile(
    rf"(?<!\w)(?P<letter>{_LETTER}),? (?:as in|like in|is for) (?:the )?(?P<word>\w{{2,20}})"
)
_FOR = re.compile(
    rf"(?<!\w)(?P<letter>{_LETTER}),? (?:for|like|wie|comme|de|como|come) (?P<word>\w{{2,20}})"
)
_ALPHABET = frozenset(
    {
        "alpha",
        "alfa",
        "bravo",
        "charlie",
        "delta",
        "echo",
        "foxtrot",
        "golf",
        "hotel",
        "india",
        "juliet",
        "juliett",
        "kilo",
        "lima",
        "mike",
        "november",
        "oscar",
        "papa",
        "quebec",
        "romeo",
        "sierra",
        "tango",
        "uniform",
        "victor",
        "whiskey",
        "whisky",
        "xray",
        "yankee",
        "zulu",
    }
)
_WORDS = re.compile(r"[A-Za-z]+(?:-ray)?")
_RUN_OF_ALPHABET = 3
_PARTS_CN = re.compile(
    r"弓长张|木子李|耳东陈|口天吴|双木林|草头黄|古月胡|立早章|言午许|人可何|双人徐|三点水江|走肖赵|木易杨"
    r"|干勾于|人禾余|三横王|禾呈程|文武斌|土申坤|日月明"
)
_OF_WORD_CN = re.compile(
    r"(?P<word>[\u4e00-\u9fff]{2,4}?)的(?P<sign>[\u4e00-\u9fff])(?![\u4e00-\u9fff])"
)
_NEVER_CN = frozenset("的我你他她它是人家了")
_GAP = re.compile(r"[\s,.;-]{0,4}(?:and |und |et |y )?")


def find_spelled(text: str) -> Iterator[PrivateText]:
    """What is spelled: four and more single letters, fewer after the word that they give, letters
    with a word for each, Chinese characters explained.
    """
    for match in _LETTERS.finditer(text):
        if not _is_common(
            re.sub(r"\W|_", "", re.sub("double|triple|capital", "", match[0].lower()))
        ):
            yield _spelled(match.start(), match.end())
    for match in _FEW_LETTERS.finditer(text):
        word = re.sub(r"\W", "", match[0])
        before = text[max(0, match.start() - _SPELLED_AFTER) : match.start()]
        for named in re.finditer(rf"(?<!\w){word}(?!\w)", before, re.IGNORECASE):
            yield _spelled(
                match.start() - len(before) + named.start(),
                match.start() - len(before) + named.end(),
            )
            yield _spelled(match.start(), match.end())
    for match in _AS_IN.finditer(text):
        if _is_initial(match):
            yield _spelled(match.start(), match.end())
    yield from _runs([m for m in _FOR.finditer(text) if _is_initial(m)], text, least=2)
    words = [
        word for word in _WORDS.finditer(text) if word[0].lower().replace("-", "") in _ALPHABET
    ]
    yield from _runs(words, text, least=_RUN_OF_ALPHABET)
    for match in _PARTS_CN.finditer(text):
        yield _spelled(match.start(), match.end())
    for match in _OF_WORD_CN.finditer(text):
        sign = match["sign"]
        if sign not in _NEVER_CN and sign in match["word"]:
            yield _spelled(match.start(), match.end())


def _runs(
    matches: list[re.Match[str]],
    text: str,
    *,
    least: int,
) -> Iterator[PrivateText]:
    """Stretches of so many matches and more, one right after the other."""
    first = 0
    for at in range(1, len(matches) + 1):
        gap = text[matches[at - 1].end() : matches[at].start()] if at < len(matches) else None
        if gap is None or len(gap) > 8 or not _GAP.fullmatch(gap):
            if at - first >= least:
                yield _spelled(matches[first].start(), matches[at - 1].end())
            first = at


def _is_initial(match: re.Match[str]) -> bool:
    return match["word"][0].lower() == match["letter"].lower()


def _is_common(letters: str) -> bool:
    """An abbreviation that everybody knows, one letter again and again, or a stretch of the
    alphabet.
    """
    follows = all(ord(b) - ord(a) == 1 for a, b in itertools.pairwise(letters))
    return letters in _NO_SECRET or len(set(letters)) < 2 or follows


def _spelled(start: int, end: int) -> PrivateText:
    return PrivateText(
        kind="spelled",
        start=start,
        end=end,
        score=0.6,
    )
