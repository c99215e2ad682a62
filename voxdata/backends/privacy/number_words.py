"""Numbers as they are said in French, Spanish and German, read as digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LONGEST = 10
"""Words of the longest number that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """The number words of a language, in lower case.

    Attributes:
        small: 0 to 19, and whatever else is one word below 100 and takes no unit behind it.
        tens: Words that may take a unit behind them.
        hundreds: Words that are hundreds by themselves, such as "trescientos".
        hundred, thousand: What multiplies the number before it.
        link: What may stand before the last unit: "vingt et un", "treinta y uno".
    """

    small: Mapping[str, int]
    tens: Mapping[str, int]
    hundreds: Mapping[str, int]
    hundred: frozenset[str]
    thousand: frozenset[str]
    link: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidNumber:
    """A number that was read.

    Attributes:
        value: Below 100,000.
        num_words: It took.
        amount: It was said with a word for thousand, so no digit that follows belongs to it.
    """

    value: int
    num_words: int
    amount: bool


def _numbered(
    words: str,
    *,
    start: int = 0,
    step: int = 1,
) -> dict[str, int]:
    """Each word with its number; spellings of one number are joined by a slash."""
    return {
        word: start + step * place
        for place, spellings in enumerate(words.split())
        for word in spellings.split("/")
    }


_FRENCH = Lexicon(
    small=_numbered(
        "zéro/zero un/une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze "
        "quinze seize"
    ),
    tens=_numbered("vingt/vingts trente quarante cinquante soixante", start=20, step=10)
    | {"septante": 70, "huitante": 80, "octante": 80, "nonante": 90},
    hundreds={},
    hundred=frozenset({"cent", "cents"}),
    thousand=frozenset({"mille", "mil"}),
    link=frozenset({"et"}),
)
_SPANISH = Lexicon(
    small=_numbered(
        "cero uno/un/una dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce"
        " quince dieciséis/dieciseis diecisiete dieciocho diecinueve"
    )
    | _numbered(
        "veintiuno/veintiún/veintiun veintidós/veintidos veintitrés/veintitres veinticuatro"
        " veinticinco veintiséis/veintiseis veintisiete veintiocho veintinueve",
        start=21,
    ),
    tens=_numbered(
        "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa", start=20, step=10
    ),
    hundreds={"ciento": 100, "cien": 100}
    | _numbered(
        "doscientos/doscientas trescientos/trescientas cuatrocientos/cuatrocientas"
        " quinientos/quinientas seiscientos/seiscientas setecientos/setecientas"
        " ochocientos/ochocientas novecientos/novecientas",
        start=200,
        step=100,
    ),
    hundred=frozenset(),
    thousand=frozenset({"mil"}),
    link=frozenset({"y"}),
)
_GERMAN_UNITS = _numbered("ein zwei drei vier fünf/fuenf sechs sieben acht neun", start=1)
_GERMAN_TENS = _numbered(
    "zwanzig dreißig/dreissig vierzig fünfzig/fuenfzig sechzig siebzig achtzig neunzig",
    start=20,
    step=10,
)
_GERMAN_SMALL = _numbered(
    "null eins zwei/zwo drei vier fünf/fuenf sechs sieben acht neun zehn elf zwölf/zwoelf"
    " dreizehn vierzehn fünfzehn/fuenfzehn sechzehn siebzehn achtzehn neunzehn"
)
for _tens, _value in _GERMAN_TENS.items():
    _GERMAN_SMALL[_tens] = _value
    _GERMAN_SMALL |= {f"{unit}und{_tens}": _value + n for unit, n in _GERMAN_UNITS.items()}
_GERMAN = Lexicon(
    small=_GERMAN_SMALL,
    tens={},
    hundreds={},
    hundred=frozenset({"hundert"}),
    thousand=frozenset({"tausend"}),
    link=frozenset({"und"}),
)
LEXICONS: Mapping[str, Lexicon] = {"fr": _FRENCH, "es": _SPANISH, "de": _GERMAN}


def read_number(words: Sequence[str], *, language: str) -> SaidNumber | None:
    """Read the longest number with which some words begin.

    Args:
        words: In lower case, apart at spaces and hyphens; at most `LONGEST` are read.
        language: One of `LEXICONS`.

    >>> read_number(["quatre", "vingt", "dix", "huit", "oui"], language="fr").value
    98
    >>> read_number(["neunzehnhundertzweiundachtzig"], language="de").value
    1982
    """
    lexicon = LEXICONS[language]
    said = words[:LONGEST]
    parts = _apart(said[0]) if language == "de" else []
    if parts:
        return _read_compound(parts, language=language)
    value, used = _below_thousand(said, lexicon)
    is_thousand = used < len(said) and said[used] in lexicon.thousand
    if is_thousand and 0 <= value < 100:
        thousands = value if used else 1
        rest, more = _below_thousand(said[used + 1 :], lexicon)
        return SaidNumber(
            value=thousands * 1000 + rest,
            num_words=used + 1 + more,
            amount=True,
        )
    if not used:
        return None
    return SaidNumber(
        value=value,
        num_words=used,
        amount=False,
    )


def _read_compound(parts: Sequence[str], *, language: str) -> SaidNumber | None:
    """A number that is written as one word; None when a part of the word is no number."""
    number = read_number(parts, language=language)
    if number is None or number.num_words != len(parts):
        return None
    return SaidNumber(
        value=number.value,
        num_words=1,
        amount=number.value >= 1000,
    )


def _apart(word: str) -> list[str]:
    """A German number of hundreds and thousands in its parts; [] when it is none."""
    is_compound = "hundert" in word or "tausend" in word
    if len(word) > 60 or not is_compound or word in ("hundert", "tausend"):
        return []
    head, thousand, tail = word.rpartition("tausend")
    left, hundred, right = tail.rpartition("hundert")
    last = right.removeprefix("und") or right
    parts = [head, thousand, left, hundred, last]
    return ["eins" if part == "ein" else part for part in parts if part]


def _below_thousand(words: Sequence[str], lexicon: Lexicon) -> tuple[int, int]:
    """(value, words used), (0, 0) when no number begins here."""
    value, used = _hundreds(words, lexicon)
    if not used or not value or value % 100:
        return value, used
    linked = _after_link(words, used, lexicon)
    rest, more = _below_hundred(words[linked:], lexicon)
    if more and rest:
        return value + rest, linked + more
    return value, used


def _hundreds(words: Sequence[str], lexicon: Lexicon) -> tuple[int, int]:
    """(value, words used): whole hundreds where some begin, or else a number below 100."""
    if words and words[0] in lexicon.hundreds:
        return lexicon.hundreds[words[0]], 1
    value, used = _below_hundred(words, lexicon)
    if used < len(words) and words[used] in lexicon.hundred:
        if not used:
            return 100, 1
        if 0 < value < 20:
            return value * 100, used + 1
    return value, used


def _after_link(words: Sequence[str], used: int, lexicon: Lexicon) -> int:
    """Where a unit may begin: after the word that links it to what was used, if there is one."""
    is_linked = used < len(words) and words[used] in lexicon.link
    return used + is_linked


def _below_hundred(words: Sequence[str], lexicon: Lexicon) -> tuple[int, int]:
    """(value, words used), (0, 0) when no number begins here."""
    if not words:
        return 0, 0
    first = words[0]
    second = words[1] if len(words) > 1 else ""
    if lexicon is _FRENCH and first == "dix" and second in ("sept", "huit", "neuf"):
        return 10 + lexicon.small[second], 2
    if first == "quatre" and second in ("vingt", "vingts"):
        value, used = 80, 2
    elif first in lexicon.tens:
        value, used = lexicon.tens[first], 1
    elif first in lexicon.small:
        return lexicon.small[first], 1
    else:
        return 0, 0
    linked = _after_link(words, used, lexicon)
    rest, more = _below_hundred(words[linked : linked + 2], lexicon)
    # Only in French is seventy sixty and ten, and ninety four times twenty and ten.
    most = 20 if lexicon is _FRENCH and value in (60, 80) else 10
    if more and 0 < rest < most:
        return value + rest, linked + more
    return value, used
