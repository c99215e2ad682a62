"""Time of the scanner: twice the text takes at most two and a half times as long, whatever the
text.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from voxdata.backends.privacy.birth_dates import find_birth_dates
from voxdata.backends.privacy.person_names import find_names
from voxdata.backends.privacy.private_addresses import find_addresses
from voxdata.backends.privacy.private_numbers import find_numbers
from voxdata.backends.privacy.private_secrets import find_secrets
from voxdata.backends.privacy.spelled_words import find_spelled
from voxdata.backends.privacy.spoken_emails import find_emails
from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.backends.privacy.spoken_scanner import SpokenScanner

pytestmark = pytest.mark.slow

MOST = 2.5
NOISE_S = 0.002
"""Below this nothing can be told about how time grows."""

LANGUAGES = ("en", "zh", "de", "fr", "es", "it", "pt", "nl")
ATOMS = (
    "市",
    "区",
    "海淀区",
    "县",
    "路",
    "街",
    "号",
    "住在",
    "一",
    "二三",
    "年",
    "月",
    "的",
    "王",
    "先生",
    "密码是",
    "姓",
    "1",
    "12",
    "1,",
    "1.",
    ",234",
    "000",
    "0 ",
    "-",
    "--",
    "/",
    "+",
    "(",
    "'",
    "’",
    '"',
    "''",
    "@",
    "@ ",
    ".",
    ". ",
    "a@",
    "@a.",
    "a.",
    "at-",
    "at ",
    "0at",
    " dot ",
    "dot com",
    "_",
    " underscore ",
    "a",
    "A",
    "a ",
    "J ",
    "J-",
    "J, ",
    "a as in a",
    " for ",
    "one ",
    "double ",
    "oh ",
    "twenty ",
    "hundred ",
    "two thousand and ",
    "quatre ",
    "vingt ",
    "-vingt-",
    "mille ",
    "cent ",
    "treinta y ",
    "mil ",
    "cien ",
    "einund",
    "hundert",
    "tausend",
    "zwanzig ",
    "my name is ",
    "mister ",
    "spell ",
    "live ",
    "rue ",
    "calle ",
    "straße",
    "Straße 1",
    "Rose Lane ",
    "Street",
    "born ",
    "May ",
    "the third of ",
    "1982",
    "is ",
    "password is ",
    "username is ",
    "alpha ",
    "in Boston ",
    "Texas ",
    "GB29",
    "AB1",
    " ",
    "   ",
    "\n",
    "\u3000",
    "é",
    "ß",
    "😀",
    "SW1A ",
    "1 a ",
    "[",
    "]",
)
texts = st.tuples(
    st.sampled_from(LANGUAGES),
    st.lists(st.sampled_from(ATOMS), min_size=1, max_size=4).map("".join),
    st.sampled_from(("", "!", "x", "1", "号", " street")),
)
Text = tuple[str, str, str]
"""Language, what is repeated, and what ends it."""

RULES: dict[str, Callable[[str, str], object]] = {
    "digits_view": lambda text, language: digits_view(text, language=language),
    "numbers": lambda text, language: list(
        find_numbers(digits_view(text, language=language), text, language=language)
    ),
    "birth_dates": lambda text, language: list(
        find_birth_dates(digits_view(text, language=language))
    ),
    "addresses": lambda text, language: list(
        find_addresses(digits_view(text, language=language), language=language)
    ),
    "emails": lambda text, _language: list(find_emails(text)),
    "secrets": lambda text, _language: list(find_secrets(text)),
    "spelled": lambda text, _language: list(find_spelled(text)),
    "names": lambda text, language: list(find_names(text, language=language)),
}

SIZE = 5_120
"""Characters up to which a rule is tried: more than the pieces in which the model of names gets a
text.
"""


def least_seconds(run: Callable[[], object], *, times: int = 3) -> float:
    """CPU time of the quickest of some runs; nothing is collected meanwhile, nor before, which
    would take longer than they do.
    """
    spent = []
    gc.disable()
    try:
        for _ in range(times):
            began = time.process_time()
            run()
            spent.append(time.process_time() - began)
    finally:
        gc.enable()
    return min(spent)


def growth(
    run: Callable[[str], object],
    text: Text,
    *,
    size: int,
) -> list[tuple[int, float]]:
    """(characters, ratio) of each doubling from 40 characters on that takes longer than `MOST`
    times as long.
    """
    _language, unit, end = text
    before = 0.0
    length = 40
    slow = []
    while length <= size:
        written = (unit * (length // len(unit) + 1))[:length] + end
        seconds = least_seconds(
            lambda written=written: run(written),
            times=1 if length < size // 2 else 2,
        )
        for _ in range(3):
            if seconds <= MOST * before + NOISE_S or not before:
                break
            half = length // 2
            shorter = (unit * (half // len(unit) + 1))[:half] + end
            before = max(before, least_seconds(lambda shorter=shorter: run(shorter)))
            seconds = min(seconds, least_seconds(lambda written=written: run(written)))
        if before and seconds > MOST * before + NOISE_S:
            return [*slow, (length, seconds / before)]
        before = seconds
        length *= 2
    return slow


EN, ZH = "en", "zh"
KNOWN: tuple[Text, ...] = (
    (ZH, "市", ""),
    (ZH, "海淀区", ""),
    (ZH, "北京市海淀区", "路"),
    (EN, "'", ""),
    (EN, "('", ""),
    (EN, "a@", ""),
    (EN, "1,234,", "5"),
    (EN, ",234", "5"),
    (EN, "at-", ""),
    (EN, "0at", ""),
    (EN, "a at b dot com ", ""),
    (EN, "J ", ""),
    (EN, "J-", "x"),
    (EN, "one ", ""),
    (EN, "0 ", ""),
    ("fr", "quatre vingt ", ""),
    ("fr", "quatre-vingt-", ""),
    ("es", "treinta y ", ""),
    ("de", "einundzwanzig", ""),
    ("de", "hundert", ""),
    ("de", "tausend", ""),
    (EN, "x underscore ", ""),
    (EN, "a.", "@"),
    (EN, "@", ""),
    (EN, ".", ""),
    (EN, "-", ""),
    (EN, " ", "x"),
    (EN, "my name is ", ""),
    (EN, "born May ", ""),
    (EN, "1 a ", ""),
)


@pytest.mark.parametrize("text", KNOWN, ids=repr)
@pytest.mark.parametrize("rule", RULES)
def test_rule_takes_linear_time_on_known_attacks(rule: str, text: Text) -> None:
    slow_steps = growth(
        lambda written: RULES[rule](written, text[0]),
        text,
        size=SIZE,
    )
    assert slow_steps == []


@pytest.mark.parametrize("rule", RULES)
def test_rule_takes_linear_time_on_any_repeated_text(rule: str) -> None:
    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    @example(("de", "A-a-", "straße"))
    @example(("es", "calle a ", ""))
    def law(text: Text) -> None:
        slow = growth(
            lambda written: RULES[rule](written, text[0]),
            text,
            size=SIZE,
        )
        assert slow == [], f"{rule}, {text}"

    law()


@pytest.mark.parametrize("text", KNOWN[:9], ids=repr)
def test_scan_takes_linear_time_on_known_attacks(text: Text) -> None:
    scanner = SpokenScanner()
    slow_steps = growth(
        lambda written: scanner.scan(written, language=text[0]),
        text,
        size=SIZE,
    )
    assert slow_steps == []


def test_scan_takes_linear_time_on_any_repeated_text() -> None:
    scanner = SpokenScanner()
    scanner.scan("Hello Mary", language="en")
    scanner.scan("王先生", language="zh")

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(texts)
    def law(text: Text) -> None:
        slow = growth(
            lambda written: scanner.scan(written, language=text[0]),
            text,
            size=SIZE,
        )
        assert slow == [], text

    law()
