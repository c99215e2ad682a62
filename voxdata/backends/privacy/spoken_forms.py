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
    at: int = 0
    while at < len(pieces):
        piece = pieces[at]
        characters += piece.digits or piece.text
        origin += _origins(piece)
        following = _next_number(pieces, at, text, fixed) if piece.digits else None
        at = at + 1 if following is None else following
    return View("".join(characters), tuple(origin))


def _origins(piece: _Piece) -> list[tuple[int, int]]:
    """For each character that is shown of a piece, (start, end) in the original."""
    shown = piece.digits or piece.text
    if len(shown) != piece.end - piece.start:
        return [(piece.start, piece.end)] * len(shown)
    return [(place, place + 1) for place in range(piece.start, piece.end)]


def _next_number(
    pieces: list[_Piece],
    at: int,
    text: str,
    fixed: set[int],
) -> int | None:
    """The number that goes on where number `at` ends, or None."""
    for following in range(at + 1, min(at + 5, len(pieces))):
        if pieces[following].digits:
            goes_on = _goes_on(
                pieces[at],
                pieces[following],
                text,
                fixed,
            )
            return following if goes_on else None
    return None


def _goes_on(
    here: _Piece,
    there: _Piece,
    text: str,
    fixed: set[int],
) -> bool:
    """Whether the second of two numbers goes on where the first ends.

    Args:
        text: What both are pieces of.
        fixed: Its characters that keep what separates them.
    """
    if here.whole or there.whole:
        return False
    if not fixed.isdisjoint(range(here.end, there.start)):
        return False
    gap = text[here.end : there.start]
    if _GAP.fullmatch(gap):
        return True
    if not _COMMA.fullmatch(gap):
        return False
    is_year = _YEAR.fullmatch(here.digits) is not None
    if is_year and _YEAR.fullmatch(there.digits):
        return False
    return here.spoken or there.spoken or len(here.digits) <= 4


def _pieces(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        start, end = match.span()
        digits = _CHINESE.get(word) or _number_word(word.lower())
        if word[0].isdigit():
            pieces += _written_number(word, start)
        elif digits:
            pieces.append(_Piece(word, start, end, digits, spoken=True))
        else:
            pieces.append(_Piece(word, start, end))
    return pieces


def _number_word(low: str) -> str:
    """The digits of one English number word below 100; "" for any other word."""
    if low in _TENS:
        return f"{_TENS[low]}0"
    return _UNITS.get(low) or _TEENS.get(low, "")


def _written_number(written: str, start: int) -> list[_Piece]:
    """Digits with points and commas between them.

    What ends in groups of three is a sum and no run of digits.
    """
    parts = list(_DIGITS_OR_SIGN.finditer(written))
    first = len(parts) - 1
    while first > 0 and len(parts[first][0]) == 3 and len(parts[first - 2][0]) <= 3:
        first -= 2
    is_sum = first < len(parts) - 1
    sum_at = parts[first].start() if is_sum else len(written)
    pieces: list[_Piece] = []
    for part in parts:
        if part.start() < sum_at:
            begin, end = part.span()
            is_digits = part[0].isascii() and part[0].isdigit()
            digits = part[0] if is_digits else ""
            pieces.append(_Piece(part[0], start + begin, start + end, digits))
    if is_sum:
        amount = written[sum_at:]
        pieces.append(_Piece(amount, start + sum_at, start + len(written)))
    return pieces


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
    combined: list[_Piece] = []
    at = 0
    while at < len(pieces):
        piece, at = _combine_at(pieces, at, combined, says_oh=says_oh)
        combined.append(piece)
    return combined


def _combine_at(
    pieces: list[_Piece],
    at: int,
    combined: list[_Piece],
    *,
    says_oh: bool,
) -> tuple[_Piece, int]:
    """What becomes of the piece at a place, and the place of the piece after it.

    Args:
        combined: What became of the pieces before.
    """
    piece = pieces[at]
    beyond = _beyond(pieces, at)
    if beyond is not None:
        digits = _join_digits(piece, beyond)
        if digits:
            joined = _Piece(
                "",
                piece.start,
                beyond.end,
                digits,
                spoken=True,
            )
            return joined, at + 3
        year = _year_of_thousand(pieces, at) if len(piece.digits) == 1 else None
        if year is not None:
            return year

    if says_oh and piece.text.lower() in _OH:
        is_before_number = beyond is not None and beyond.spoken and beyond.digits != ""
        if is_before_number or _is_number(combined, -2):
            zero = _Piece(
                piece.text,
                piece.start,
                piece.end,
                "0",
                spoken=True,
            )
            return zero, at + 1
    if piece.text in _CHINESE and _is_alone(pieces, at, combined):
        piece = _Piece(piece.text, piece.start, piece.end)
    return piece, at + 1


def _beyond(pieces: list[_Piece], at: int) -> _Piece | None:
    """The piece after the blank or hyphen that follows the one at a place; None without one."""
    if at + 2 < len(pieces) and pieces[at + 1].text in (" ", "-"):
        return pieces[at + 2]
    return None


def _join_digits(piece: _Piece, beyond: _Piece) -> str:
    """The digits of two words that are one number; "" when they are none."""
    low = piece.text.lower()
    low_beyond = beyond.text.lower()
    if low in _TIMES and len(beyond.digits) == 1:
        return beyond.digits * _TIMES[low]
    if low in _TENS and low_beyond in _UNITS and beyond.digits != "0":
        return _TENS[low] + beyond.digits
    if len(piece.digits) == 1 and piece.spoken and low_beyond == "hundred":
        return f"{piece.digits}00"
    return ""


def _is_alone(pieces: list[_Piece], at: int, combined: list[_Piece]) -> bool:
    """Whether no number is beside a piece, nor beyond a blank or hyphen."""
    if _is_number(combined, -1) or _is_number(combined, -2):
        return False
    after = pieces[at + 1 : at + 2]
    beyond = _beyond(pieces, at)
    if after and after[0].digits:
        return False
    return beyond is None or not beyond.digits


def _year_of_thousand(pieces: list[_Piece], at: int) -> tuple[_Piece, int] | None:
    """ "two thousand (and) three" as a year, and where it ends; None for anything else."""
    said = [piece.text.lower() for piece in pieces[at : at + 9]]
    if said[:4] != ["two", " ", "thousand", " "]:
        return None
    first = 6 if said[4:6] == ["and", " "] else 4
    low = _word_at(said, first)
    unit = _word_at(said, first + 2) if _word_at(said, first + 1) in (" ", "-") else ""
    if unit in ("hundred", "thousand", "million"):
        return None
    last = first
    digits = _number_word(low)
    if not digits:
        return None
    if low in _TENS and _UNITS.get(unit, "0") != "0":
        last = first + 2
        digits = _TENS[low] + _UNITS[unit]
    start = pieces[at].start
    end = pieces[at + last].end
    year = _Piece(
        "",
        start,
        end,
        f"20{digits:0>2}",
        spoken=True,
        whole=True,
    )
    return year, at + last + 1


def _word_at(words: list[str], place: int) -> str:
    """The word at a place; "" beyond the last."""
    return words[place] if place < len(words) else ""


def _is_number(pieces: list[_Piece], at: int) -> bool:
    return len(pieces) >= -at and bool(pieces[at].digits)
