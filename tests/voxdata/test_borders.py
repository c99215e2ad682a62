"""Personal data that lies across the borders of utterances is found in each of them."""

from __future__ import annotations

import time

import pytest

from voxdata.backends.privacy.spoken_scanner import SpokenScanner
from voxdata.ports import PrivateText
from voxdata.privacy import mask_text, scan_utterances
from voxdata.testing import make_utterance
from voxdata.utterance import Utterance

SCANNER = SpokenScanner()


def said_in_turn(
    *texts: str, gap_ms: int = 500, languages: tuple[str, ...] = ("en",)
) -> list[Utterance]:
    """Utterances of one speaker of two seconds each, with a word of the other party in every
    pause.
    """
    lines = []
    for number, text in enumerate(texts):
        start_ms = number * (2_000 + gap_ms)
        lines.append(
            make_utterance(
                start_ms,
                start_ms + 2_000,
                text=text,
                language=languages[number % len(languages)],
            )
        )
        lines.append(
            make_utterance(
                start_ms + 2_000,
                start_ms + 2_300,
                text="Mm-hm.",
                speaker="S9",
                language="en",
            )
        )
    return lines


def masked(*texts: str, gap_ms: int = 500, languages: tuple[str, ...] = ("en",)) -> list[str]:
    turns = said_in_turn(*texts, gap_ms=gap_ms, languages=languages)
    spans = scan_utterances(SCANNER, turns)
    return [mask_text(u.text, spans[u.utterance_id]) for u in turns if u.speaker != "S9"]


@pytest.mark.parametrize(
    "texts",
    [
        ("john.smith at gmail.", "com."),
        ("It is john.smith at gmail.", "Com."),
        ("anna.lee@outlook.", "com"),
        ("anna.lee@outlook", ".com"),
        ("johnsmith@gmail", "dot com."),
        ("anna.lee@", "Outlook.com"),
        ("john at", "gmail", "dot com"),
        ("It's john.smith", "at gmail.com."),
        ("j o h n at", "gmail dot com"),
    ],
)
def test_scan_utterances_finds_an_email_in_parts(texts: tuple[str, ...]) -> None:
    for left in masked(*texts):
        assert "[email]" in left
        assert not {"john", "smith", "anna", "lee", "gmail", "outlook", "com"} & set(
            left.lower().replace(".", " ").replace("@", " ").split()
        )


@pytest.mark.parametrize(
    ("texts", "hidden"),
    [
        (("My name is Wu.", "That's W U."), {"wu", "w", "u"}),
        (("Ng.", "N G."), {"ng", "n", "g"}),
        (("I am Jo.", "J O."), {"jo", "j", "o"}),
        (("My name is Sarah Lee.", "L E E."), {"lee", "l", "e"}),
        (("Sarah Johnson.", "J. O. H. N.", "S. O. N."), {"j", "h", "n", "s"}),
    ],
)
def test_scan_utterances_finds_the_letters_of_a_name_said_before(
    texts: tuple[str, ...], hidden: set[str]
) -> None:
    joined = " ".join(masked(*texts)).lower()
    left = joined.replace(".", " ").replace(",", " ").split()
    assert not hidden & set(left)


@pytest.mark.parametrize(
    ("texts", "hidden"),
    [
        (("My password is...", "Golden River"), "golden"),
        (("My password is.", "Golden River."), "golden"),
        (("The user name is...", "walter"), "walter"),
        (("Dr.", "Hughes told me to call you."), "hughes"),
        (("My name is...", "Becker."), "becker"),
    ],
)
def test_scan_utterances_finds_what_follows_its_word_after_a_pause(
    texts: tuple[str, ...], hidden: str
) -> None:
    assert hidden not in " ".join(masked(*texts)).lower()


@pytest.mark.parametrize("gap_ms", [500, 12_000])
@pytest.mark.parametrize(
    "languages",
    [("en",), ("en", "de")],
)
def test_scan_utterances_finds_a_number_dictated_over_a_pause(
    gap_ms: int, languages: tuple[str, ...]
) -> None:
    for left in masked("It is 415", "555", "0132.", gap_ms=gap_ms, languages=languages):
        assert not any(character.isdigit() for character in left)


def test_scan_utterances_finds_a_number_across_a_hesitation() -> None:
    assert not any(
        "five" in left
        for left in masked("four one five", "uh", "five five five", "zero one three two")
    )


@pytest.mark.parametrize(
    "texts",
    [
        ("I do not know.", "Come here."),
        ("Is that all?", "So it is."),
        ("Plan A", "or B.", "I see."),
    ],
)
def test_scan_utterances_finds_nothing_in_what_is_not_private(texts: tuple[str, ...]) -> None:
    assert masked(*texts) == list(texts)


class EveryWord:
    """Finds every word, so that mapping spans back is what takes time."""

    def scan(self, text: str, *, language: str) -> list[PrivateText]:
        found, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            found.append(
                PrivateText(
                    kind="name",
                    start=at,
                    end=at + len(word),
                    score=1.0,
                )
            )
            at += len(word)
        return found


@pytest.mark.slow
def test_scan_utterances_takes_time_that_grows_with_the_length_of_a_call_and_no_faster() -> None:
    def seconds(number: int) -> float:
        said = [
            make_utterance(i * 1_000, i * 1_000 + 900, text="one two three four", language="en")
            for i in range(number)
        ]
        times = []
        for _ in range(3):
            began = time.process_time()
            # The scanner's model is not asked for.
            scan_utterances(EveryWord(), said)  # type: ignore[arg-type]
            times.append(time.process_time() - began)
        return min(times)  # what the machine did besides makes one slower, never faster

    assert seconds(8_000) < 8 * max(seconds(2_000), 0.02)
