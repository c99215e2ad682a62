"""Personal data as it is written and as it is spoken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.backends.privacy.spoken_scanner import SpokenScanner, join_overlapping
from voxdata.ports import PrivateText
from voxdata.privacy import mask_text, scan_utterances
from voxdata.testing import make_utterance

pytestmark = pytest.mark.slow  # the model of English names


@pytest.fixture(scope="module")
def scanner() -> SpokenScanner:
    return SpokenScanner()


def found(
    scanner: SpokenScanner,
    text: str,
    language: str,
) -> list[tuple[str, str]]:
    return [(t.kind, text[t.start : t.end]) for t in scanner.scan(text, language=language)]


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        ("you can call me at 415-555-0132 after five", "phone", "415-555-0132"),
        (
            "it is four one five, five five five, oh one three two, thanks",
            "phone",
            "four one five, five five five, oh one three two",
        ),
        ("My card is 4111 1111 1111 1111, please", "card", "4111 1111 1111 1111"),
        ("card: four one one one, one one one one, one one one one, one one one one", "card", None),
        ("write to jane.doe@example.org today", "email", "jane.doe@example.org"),
        ("that's jane dot doe at example dot org", "email", "jane dot doe at example dot org"),
        ("Hello, my name is Peter Miller.", "name", "Peter Miller"),
        ("I live at 12 Church Road in Bath", "address", None),
        (
            "I was born on the fifth of June nineteen seventy",
            "birth_date",
            "the fifth of June nineteen seventy",
        ),
        ("the last four digits are double two one seven", "number", "double two one seven"),
        ("GB29 NWBK 6016 1331 9268 19 is the IBAN", "iban", "GB29 NWBK 6016 1331 9268 19"),
    ],
)
def test_scan_finds_in_english(
    scanner: SpokenScanner,
    text: str,
    kind: str,
    secret: str | None,
) -> None:
    spans = found(scanner, text, "en")
    assert [k for k, _ in spans] == [kind]
    assert secret is None or spans[0][1] == secret


@pytest.mark.parametrize(
    ("text", "kind", "secret"),
    [
        ("我的电话是13912345678。", "phone", "13912345678"),
        ("手机号一三九一二三四五六七八", "phone", "一三九一二三四五六七八"),
        ("我叫李小红。", "name", "李小红"),
        ("请王女士接电话", "name", "王"),
        ("我家在南京市鼓楼区中山路18号", "address", "南京市鼓楼区中山路18号"),
        ("身份证11010519491231002X", "id", "11010519491231002X"),
        ("我一九八零年五月六号出生的", "birth_date", "一九八零年五月六号"),
        ("密码是六六八九", "number", "六六八九"),
    ],
)
def test_scan_finds_in_chinese(scanner: SpokenScanner, text: str, kind: str, secret: str) -> None:
    spans = found(scanner, text, "zh")
    assert [k for k, _ in spans] == [kind]
    assert secret in spans[0][1]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("Please hold the line, one of us will be with you in two minutes.", "en"),
        ("We sold twelve thousand units in 2019, up 15 percent.", "en"),
        ("It costs three hundred and twenty dollars.", "en"),
        ("Can you meet me at ten thirty on Friday?", "en"),
        ("今天天气很好，我们去公园吧", "zh"),
        ("这个三百五十块，那个两千", "zh"),
        ("我等了二十分钟", "zh"),
        ("Das kostet 250 Euro im Monat.", "de"),
        ("何もありません", "ja"),
    ],
)
def test_scan_finds_nothing_where_nothing_is(
    scanner: SpokenScanner, text: str, language: str
) -> None:
    assert found(scanner, text, language) == []


def test_scan_gives_spans_inside_the_text_sorted_and_apart(scanner: SpokenScanner) -> None:
    text = "I am Anna Smith, anna.smith@example.com, 415-555-0132, card 4111 1111 1111 1111"
    spans = scanner.scan(text, language="en")
    assert len(spans) >= 4
    ends = [0, *(t.end for t in spans)]
    assert all(
        before <= t.start < t.end <= len(text) for before, t in zip(ends, spans, strict=False)
    )
    assert spans == scanner.scan(text, language="en")


@pytest.mark.parametrize(
    "language",
    ["xx", "", "en", "zh", "de", "ar"],
)
def test_scan_survives_any_language_and_odd_text(scanner: SpokenScanner, language: str) -> None:
    for text in (
        "\x00 \u202e 12",
        "٣٤٥ 6",
        "😀" * 20,
        "+",
        "@ at dot",
        "一" * 60,
        "9" * 300,
        "double",
        "①②③④⑤⑥⑦⑧",
    ):
        assert all(0 <= t.start < t.end <= len(text) for t in scanner.scan(text, language=language))


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("four two double four", "4244"),
        ("四二四四", "4244"),
        ("4-2, 44", "4244"),
        ("twenty three", "23"),
        ("oh one", "01"),
        ("幺三八", "138"),
    ],
)
def test_digits_view_writes_spoken_numbers_as_digits(text: str, view: str) -> None:
    digits = digits_view(text)
    assert digits.text == view
    assert digits.original(0, len(view)) == (0, len(text))


@pytest.mark.parametrize("language", ["es", "de"])
def test_digits_view_leaves_french_numbers_as_words_when_another_language_is_spoken(
    language: str,
) -> None:
    assert digits_view("dix sept", language=language).text == "dix sept"
    assert digits_view("dix sept", language="fr").text == "17"


def test_digits_view_keeps_dates_sums_and_words() -> None:
    assert digits_view("on 2019-03-04").text == "on 2019-03-04"
    assert digits_view("1,000,000 people").text == "1,000,000 people"
    assert digits_view("一起").text == "一起"


def test_join_overlapping_keeps_the_surest_kind_and_the_widest_reach() -> None:
    spans = [
        PrivateText(kind="number", start=0, end=6, score=0.5),
        PrivateText(kind="card", start=4, end=9, score=1.0),
    ]
    assert join_overlapping(spans) == [PrivateText(kind="card", start=0, end=9, score=1.0)]
    assert join_overlapping([]) == []


@pytest.mark.parametrize(
    ("said", "masked"),
    [
        (
            ["My phone number is", "555", "0142", "998."],
            ["My phone number is", "[phone]", "[phone]", "[phone]."],
        ),
        (["4, 1, 5, 5.", "5, 5, 0, 1.", "3, 2."], None),
        (
            ["The card is 4111", "1111.", "1111.", "1111 thanks"],
            ["The card is [card]", "[card].", "[card].", "[card] thanks"],
        ),
        (["我的电话是一三八", "零零一三", "八零零零。"], None),
        (["I live in Austin, Texas,", "7-8701."], ["I live in Austin, Texas,", "[address]."]),
        (["We open at 9.", "There are 12 of us."], ["We open at 9.", "There are 12 of us."]),
    ],
)
def test_scan_utterances_finds_what_is_dictated_in_groups(
    scanner: SpokenScanner,
    said: list[str],
    masked: list[str] | None,
) -> None:
    language = "zh" if "电话" in said[0] else "en"
    utterances = [
        replace(make_utterance(2_000 * i, 2_000 * i + 1_000, text=text), language=language)
        for i, text in enumerate(said)
    ]
    private = scan_utterances(scanner, utterances)
    left = [mask_text(u.text, private[u.utterance_id]) for u in utterances]
    if masked is None:
        characters = "".join(left)
        assert not any(c.isdigit() or c in "一三八零" for c in characters)
    else:
        assert left == masked


def test_scan_utterances_does_not_join_what_two_people_or_two_moments_say(
    scanner: SpokenScanner,
) -> None:
    one = make_utterance(0, 1_000, text="My number is 4155")
    late = make_utterance(60_000, 61_000, text="5501 32")
    spans = scan_utterances(scanner, [one, late])
    assert spans[late.utterance_id] == scan_utterances(scanner, [late])[late.utterance_id]


@pytest.mark.parametrize(
    ("language", "text", "kind", "secret"),
    [
        ("en", "I live in Springfield, Illinois 62704.", "address", "62704"),
        ("en", "austin texas seven eight seven oh one", "address", "seven eight seven oh one"),
        (
            "en",
            "born on the twenty third of March nineteen eighty two",
            "birth_date",
            "the twenty third of March nineteen eighty two",
        ),
        (
            "en",
            "It's the third of May nineteen eighty two.",
            "birth_date",
            "the third of May nineteen eighty two",
        ),
        ("en", "my password is tiger seven seven and it works", "password", "tiger seven seven"),
        ("en", "find me at jane underscore doe", "username", "jane underscore doe"),
        ("en", "my username is jdoe82", "username", "jdoe82"),
        ("en", "follow @jane_doe on there", "username", "@jane_doe"),
        ("en", "write to www.janemillergmail.com today", "email", "www.janemillergmail.com"),
        ("en", "J O H N S O N", "spelled", "J O H N S O N"),
        ("en", "J as in Juliet", "spelled", "J as in Juliet"),
        ("en", "B for boy, A for apple", "spelled", "B for boy, A for apple"),
        ("fr", "zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit", "phone", None),
        (
            "fr",
            "née le trois mai mille neuf cent quatre-vingt-deux",
            "birth_date",
            "trois mai mille neuf cent quatre-vingt-deux",
        ),
        ("es", "seis uno dos, treinta y cuatro, cincuenta y seis, setenta y ocho", "phone", None),
        ("es", "mi contraseña es gato negro", "password", "gato negro"),
        (
            "de",
            "geboren am dritten Mai neunzehnhundertzweiundachtzig",
            "birth_date",
            "dritten Mai neunzehnhundertzweiundachtzig",
        ),
        ("de", "Kundennummer siebenundvierzig elf drei", "number", "siebenundvierzig elf drei"),
        ("de", "Ich wohne in 10115 Berlin.", "address", "10115 Berlin"),
        ("zh", "弓长张", "spelled", "弓长张"),
        ("zh", "我的微信号是wang_xm88", "username", "wang_xm88"),
        ("zh", "密码是abc123", "password", "abc123"),
    ],
)
def test_scan_finds_what_is_said_in_passing(
    scanner: SpokenScanner,
    language: str,
    text: str,
    kind: str,
    secret: str | None,
) -> None:
    assert (kind, secret or text) in found(scanner, text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The password is wrong."),
        ("en", "Please enter your password followed by the pound key."),
        ("en", "A B C D, that is how the alphabet begins."),
        ("en", "We signed it on the third of May, 2015, in Dallas."),
        ("en", "In Houston 40000 people came."),
        ("en", "I got an A for effort."),
        ("en", "go to www.gmail.com and click there"),
        ("fr", "il y avait deux cent cinquante mille personnes"),
        ("es", "costó mil doscientos cincuenta euros"),
        ("de", "wir waren zweihundertfünfzig Leute"),
        ("de", "Wir haben 12000 Kunden in 20345 Tagen"),
        ("zh", "密码错了，请重新输入"),
        ("zh", "我们公司是2008年5月3号成立的"),
    ],
)
def test_scan_leaves_ordinary_talk_of_the_same_words(
    scanner: SpokenScanner, language: str, text: str
) -> None:
    assert found(scanner, text, language) == []


def test_scan_finds_a_name_after_a_long_run_of_signs(scanner: SpokenScanner) -> None:
    text = "'" * 9_000 + " Hello, my name is Peter Miller."
    assert ("name", "Peter Miller") in found(scanner, text, "en")
