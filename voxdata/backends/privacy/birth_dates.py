"""Dates of birth, written or spoken: near a word of birth, or given alone as an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from voxdata.backends.privacy.spoken_forms import View
from voxdata.ports import PrivateText

_BIRTH = re.compile(
    r"\bborn\b|birth|\bd\.?o\.?b\b|生日|出生|geboren|geburts|naissance|\bnée? le\b|nacimiento|nací"
    r"|\bnació\b"
    r"|\bnaquel|\bcumpleaños|anniversaire",
    re.IGNORECASE,
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|januar|februar|märz|mai|juni|juli|oktober|dezember"
    r"|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre"
    r"|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre)"
)
# "twenty third" comes as "20 third".
_NTH = (
    r"(?:(?:twenty|thirty|20|30)?[ -]?(?:first|second|third|fourth|fifth|sixth|seventh|eighth"
    r"|ninth)"
    r"|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth|seventeenth|eighteenth"
    r"|nineteenth|twentieth|thirtieth|premier|primero|[a-zäöüß]{2,22}te[nr]?)"
)
_DAY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?\.?|{_NTH})"
_MONTH_NUMBER = (
    r"(?:\d{1,2}(?:st|nd|rd|th)?\.?(?!\d)|first|second|third|fourth|fifth|sixth|seventh|eighth"
    r"|ninth|tenth|eleventh|twelfth)"
)
_HAN = r"[\d一二三四五六七八九十]{1,3}"
_DATES = re.compile(
    rf"(?<!\w)(?:(?:the )?{_DAY} (?:of |de |day of )?)?{_MONTH}(?!\w)\.?"
    rf"(?:,? (?:the )?{_DAY}(?!\w))?(?:,? (?:del? |in )?\d{{2,6}})?"
    rf"|(?<!\w)(?:the )?{_NTH} of (?:the )?{_MONTH_NUMBER}(?!\w)(?:,? \d{{2,4}}(?!\d))?"
    r"|(?<!\d)\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}(?!\d)|(?<!\d)(?:19|20)\d{2}(?!\d|年)"
    r"|(?<!\d)\d{5,8}(?!\d)"
    rf"|\d{{2,4}}年(?:{_HAN}月)?(?:{_HAN}[日号])?|{_HAN}月{_HAN}[日号]",
    re.IGNORECASE,
)
_YEAR = r"(?:19\d\d|20[01]\d)(?!\d)"
_FULL_DATE = re.compile(
    rf"(?<!\w)(?:the )?{_DAY} (?:of |de |day of )?{_MONTH}(?!\w)\.?,? (?:del? )?"
    rf"(?:{_YEAR}|\d\d(?!\d))"
    rf"|(?<!\w){_MONTH}(?!\w)\.? (?:the )?{_DAY},? {_YEAR}"
    rf"|(?<!\w)(?:the )?{_NTH} of (?:the )?{_MONTH_NUMBER}(?!\w),? {_YEAR}"
    rf"|(?<![\d/.-])\d{{1,2}}[-/.]\d{{1,2}}[-/.]{_YEAR}"
    rf"|(?<![\d/.-]){_YEAR}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?!\d)"
    rf"|{_YEAR}年{_HAN}月{_HAN}[日号]",
    re.IGNORECASE,
)
_ANSWER = (
    r"yes|yeah|yep|sure|okay|ok|um|uh|er|well|so|right|it's|it is|it was|that's|that is"
    r"|that would be"
    r"|on|the|ja|also|das ist|der|am|oui|alors|c'est|le|sí|pues|es|el|嗯|好的|对|是|我的|那就是"
)
_BEFORE = re.compile(
    rf"(?:^|[.?!。？！\n])(?:(?:{_ANSWER})(?![A-Za-zà-ÿ'])|[\s,，、])*+$", re.IGNORECASE
)
_AFTER = re.compile(
    r"\s*+(?:$|[.?!。？！\n]|,? (?:sir|ma'am|please|bitte|thanks|thank you)\b)", re.IGNORECASE
)
_LOOK_BACK = 40


def find_birth_dates(view: View) -> Iterator[PrivateText]:
    """Dates said near a word of birth.

    So is a day with month and year when somebody says nothing else in a sentence. Other dates are
    nobody's.
    """
    text = view.text
    for word in _BIRTH.finditer(text):
        for date in _DATES.finditer(text, word.end(), min(len(text), word.end() + 60)):
            yield _birth_date(view, date, score=0.8)
        for date in _DATES.finditer(text, max(0, word.start() - 16), word.start()):
            if "年" in date[0] or "月" in date[0]:
                yield _birth_date(view, date, score=0.8)
    for date in _FULL_DATE.finditer(text):
        before = text[max(0, date.start() - _LOOK_BACK) : date.start()]
        alone = date.start() <= _LOOK_BACK or re.search(r"[.?!。？！\n]", before)
        if alone and _BEFORE.search(before) and _AFTER.match(text, date.end()):
            yield _birth_date(view, date, score=0.6)


def _birth_date(
    view: View,
    date: re.Match[str],
    *,
    score: float,
) -> PrivateText:
    start, end = view.original(*date.span())
    return PrivateText(
        kind="birth_date",
        start=start,
        end=end,
        score=score,
    )
