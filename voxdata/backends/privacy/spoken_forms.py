"""Numbers as they are spoken, rewritten as digits, with the way back to the characters they came
from.

"four two double four" and "四二四四" both become "4244", and so does "4-2, 44": what follows need
only look for digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from voxdata.backends.privacy.number_words import LEXICONS, LONGEST, read_number

_UNITS = {
    "zero": "0",
    "nought": "0",
    "naught": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_TEENS = {
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
    "thirteen": "13",
    "fourteen": "14",
    "fifteen": "15",
    "sixteen": "16",
    "seventeen": "17",
    "eighteen": "18",
    "nineteen": "19",
}
_TENS = {
    "twenty": "2",
    "thirty": "3",
    "forty": "4",
    "fourty": "4",
    "fifty": "5",
    "sixty": "6",
    "seventy": "7",
    "eighty": "8",
    "ninety": "9",
}
_OH = frozenset({"o", "oh"})
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_CHINESE = dict(zip("零〇一二三四五六七八九幺", "001234567891", strict=True))
_TOKEN = re.compile(r"\d++(?:[.,]\d++)*+|[^\W\d_\u2e80-\U0003ffff]++|.", re.DOTALL)
_DIGITS_OR_SIGN = re.compile(r"\d+|[.,]")
_GAP = re.compile(r"[\s\-\u2010-\u2015.()/·]{0,3}")
_COMMA = re.compile(r"\s?[,，、]\s?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"(?<!\d)(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d{2})(?![-/.]?\d)"
)


@dataclass(frozen=True, slots=True)
class View:
    """A text rewritten.

    Attributes:
        text: With numbers as digits.
        origin: For each character of it, (start, end) in the original.
    """

    text: str
    origin: tuple[tuple[int, int], ...]

    def original(
        self,
        start: int,
        end: int,
    ) -> tuple[int, int]:
        """Where characters [start, end) of the view come from."""
        return self.origin[start][0], self.origin[end - 1][1]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the text.

    Attributes:
        digits: "" for what is no number.
        spoken: It was words.
        whole: No digit before or after belongs to it.
    """

    text: str
    start: int
    end: int
    digits: str = ""
    spoken: bool = False
    whole: bool = False


def digits_view(text: str, *, language: str = "en") -> View:
    """Rewrite a text: number words as digits, and digits spoken or written in groups as one run.

    Dates, sums with thousands separators and pairs of years keep their separators.

    Args:
        language: Number words of English and Chinese are read in any; in French, Spanish and German
            also those of that language.
    """
    fixed: set[int] = set()
    for match in _DATE.finditer(text):
        fixed.update(range(*match.span()))
    pieces = _pieces(text)
    if language in LEXICONS:
        pieces = _read_words(pieces, language=language)
    pieces = _combine(pieces, says_oh=language not in LEXICONS)
    characters: list[str] = []
    origin: list[tuple[int, int]] = []
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        if not piece.digits:
            characters += piece.text
            origin += [(piece.start + i, piece.start + i + 1) for i in range(len(piece.text))]
            at += 1
            continue
        while True:
            characters += piece.digits
            same = len(piece.digits) == piece.end - piece.start
            origin += [
                (piece.start + i, piece.start + i + 1) if same else (piece.start, piece.end)
                for i in range(len(piece.digits))
            ]
            following = _next_number(pieces, at, text, fixed)
            if following is None:
                break
            at, piece = following, pieces[following]
        at += 1
    return View("".join(characters), tuple(origin))


def _next_number(
    pieces: list[_Piece],
    at: int,
    text: str,
    fixed: set[int],
) -> int | None:
    """The number that goes on where number `at` ends, or None."""
    here = pieces[at]
    for following in range(at + 1, min(at + 5, len(pieces))):
        there = pieces[following]
        if there.digits:
            if here.whole or there.whole:
                return None
            gap = text[here.end : there.start]
            if any(i in fixed for i in range(here.end, there.start)):
                return None
            if _GAP.fullmatch(gap):
                return following
            listed = here.spoken or there.spoken or len(here.digits) <= 4
            years = _YEAR.fullmatch(here.digits) and _YEAR.fullmatch(there.digits)
            return following if _COMMA.fullmatch(gap) and listed and not years else None
    return None


def _pieces(text: str) -> list[_Piece]:
    out: list[_Piece] = []
    for match in _TOKEN.finditer(text):
        word, start, end = match[0], match.start(), match.end()
        low = word.lower()
        if word[0].isdigit():
            out += _written_number(word, start)
        elif low in _UNITS or low in _TEENS or low in _TENS:
            digits = _UNITS.get(low) or _TEENS.get(low) or f"{_TENS[low]}0"
            out.append(_Piece(word, start, end, digits, spoken=True))
        elif word in _CHINESE:
            out.append(_Piece(word, start, end, _CHINESE[word], spoken=True))
        else:
            out.append(_Piece(word, start, end))
    return out


def _written_number(written: str, start: int) -> list[_Piece]:
    """Digits with points and commas between them.

    What ends in groups of three is a sum and no run of digits.
    """
    parts = list(_DIGITS_OR_SIGN.finditer(written))
    first = len(parts) - 1
    while first > 0 and len(parts[first][0]) == 3 and len(parts[first - 2][0]) <= 3:
        first -= 2
    sum_at = parts[first].start() if first < len(parts) - 1 else len(written)
    out = []
    for part in parts:
        if part.start() < sum_at:
            digits = part[0] if part[0].isascii() and part[0].isdigit() else ""
            out.append(_Piece(part[0], start + part.start(), start + part.end(), digits))
    if sum_at < len(written):
        out.append(_Piece(written[sum_at:], start + sum_at, start + len(written)))
    return out


def _read_words(pieces: list[_Piece], *, language: str) -> list[_Piece]:
    """Number words of a language in place of the pieces that they take."""
    out: list[_Piece] = []
    at = 0
    while at < len(pieces):
        words = _words_from(pieces, at)
        found = read_number(words, language=language) if words else None
        if found is None:
            out.append(pieces[at])
            at += 1
            continue
        last = at + 2 * (found.num_words - 1)
        written = _Piece(
            "",
            pieces[at].start,
            pieces[last].end,
            str(found.value),
            spoken=True,
            whole=found.amount,
        )
        out.append(written)
        at = last + 1
    return out


def _words_from(pieces: list[_Piece], at: int) -> list[str]:
    """The words from a piece on that are apart at one space or hyphen each."""
    words: list[str] = []
    while at < len(pieces) and len(words) < LONGEST and pieces[at].text[:1].isalpha():
        words.append(pieces[at].text.lower())
        if at + 1 >= len(pieces) or pieces[at + 1].text not in (" ", "-"):
            break
        at += 2
    return words


def _combine(pieces: list[_Piece], *, says_oh: bool) -> list[_Piece]:
    """ "double four" is 44, "twenty three" is 23, "oh" among numbers is 0, "eight hundred" is 800.

    A lone Chinese digit is a word.

    "two thousand and three" is the year 2003.
    """
    out: list[_Piece] = []
    at = 0
    while at < len(pieces):
        piece, low = pieces[at], pieces[at].text.lower()
        other = at + 2 if at + 2 < len(pieces) and pieces[at + 1].text in (" ", "-") else None
        beyond = pieces[other] if other is not None else None
        if low in _TIMES and beyond is not None and len(beyond.digits) == 1:
            out.append(
                _Piece("", piece.start, beyond.end, beyond.digits * _TIMES[low], spoken=True)
            )
            at += 3
        elif (
            low in _TENS
            and beyond is not None
            and beyond.text.lower() in _UNITS
            and beyond.digits != "0"
        ):
            out.append(_Piece("", piece.start, beyond.end, _TENS[low] + beyond.digits, spoken=True))
            at += 3
        elif (
            len(piece.digits) == 1
            and piece.spoken
            and beyond is not None
            and beyond.text.lower() == "hundred"
        ):
            out.append(_Piece("", piece.start, beyond.end, f"{piece.digits}00", spoken=True))
            at += 3
        elif (
            len(piece.digits) == 1
            and beyond is not None
            and (year := _year_of_thousand(pieces, at))
        ):
            out.append(year[0])
            at = year[1]
        elif (
            says_oh
            and low in _OH
            and (_is_number(out, -2) or (beyond is not None and beyond.digits and beyond.spoken))
        ):
            out.append(_Piece(piece.text, piece.start, piece.end, "0", spoken=True))
            at += 1
        elif piece.text in _CHINESE and not (
            _is_number(out, -1) or (at + 1 < len(pieces) and pieces[at + 1].digits)
        ):
            alone = not (_is_number(out, -2) or (beyond is not None and beyond.digits))
            out.append(_Piece(piece.text, piece.start, piece.end) if alone else piece)
            at += 1
        else:
            out.append(piece)
            at += 1
    return out


def _year_of_thousand(pieces: list[_Piece], at: int) -> tuple[_Piece, int] | None:
    """ "two thousand (and) three" as a year, and where it ends; None for anything else."""
    said = [piece.text.lower() for piece in pieces[at : at + 9]]
    if said[:4] != ["two", " ", "thousand", " "]:
        return None
    first = 6 if said[4:6] == ["and", " "] else 4
    low = said[first] if first < len(said) else ""
    unit = (
        said[first + 2]
        if said[first + 1 : first + 2] in ([" "], ["-"]) and first + 2 < len(said)
        else ""
    )
    if unit in ("hundred", "thousand", "million"):
        return None
    if low in _TENS and _UNITS.get(unit, "0") != "0":
        digits, last = _TENS[low] + _UNITS[unit], first + 2
    elif low in _UNITS or low in _TEENS or low in _TENS:
        digits, last = _UNITS.get(low) or _TEENS.get(low) or f"{_TENS[low]}0", first
    else:
        return None
    start, end = pieces[at].start, pieces[at + last].end
    return _Piece("", start, end, f"20{digits:0>2}", spoken=True, whole=True), at + last + 1


def _is_number(pieces: list[_Piece], at: int) -> bool:
    return len(pieces) >= -at and bool(pieces[at].digits)
