from __future__ import annotations

import pytest

from voxdata.guards import compression, mark_utterance, repeats
from voxdata.segment import Segment
from voxdata.testing import make_utterance, make_word
from voxdata.utterance import Passage, Utterance


def spoken(
    text: str,
    *,
    duration_ms: int = 4_000,
    probability: float = 0.9,
) -> Utterance:
    """The words of a text, evenly spread."""
    parts = text.split() if " " in text else list(text)
    step = duration_ms // max(len(parts), 1)
    words = tuple(
        make_word(part, i * step, (i + 1) * step, probability=probability)
        for i, part in enumerate(parts)
    )
    return make_utterance(0, duration_ms, text=text, words=words)


def passage(no_speech: float = 0.0, mean: float = -0.2) -> Passage:
    segment = Segment(start_ms=0, end_ms=30_000)
    return Passage(
        segment=segment,
        language="en",
        language_probability=1.0,
        no_speech_probability=no_speech,
        mean_log_probability=mean,
    )


@pytest.mark.parametrize(
    ("text", "copies"),
    [
        ("no no no no", 4),
        ("谢谢观看谢谢观看谢谢观看", 3),
        ("very very good", 2),
        ("what is that", 1),
        ("", 0),
        ("Thank you. Thank you.", 2),
    ],
)
def test_repeats_counts_copies_that_follow_each_other(text: str, copies: int) -> None:
    assert repeats(text) == copies


def test_mark_utterance_finds_nothing_wrong_with_speech() -> None:
    for text in (
        "I would like to cancel my order from last week please",
        "我想查一下明天的天气怎么样",
        "yes yes",
    ):
        assert mark_utterance(spoken(text), [passage()]) == ()
    assert mark_utterance(make_utterance(), []) == ()


@pytest.mark.parametrize(
    ("utterance", "heard", "mark"),
    [
        (spoken("so " * 6), passage(), "repetition"),
        (spoken("谢谢" * 6), passage(), "repetition"),
        (spoken("thanks for watching"), passage(no_speech=0.9, mean=-1.5), "no_speech"),
        (
            spoken("a whole sentence within a quarter of a second", duration_ms=250),
            passage(),
            "speaking_rate",
        ),
        (spoken("mumble rumble tumble", probability=0.1), passage(), "low_probability"),
    ],
)
def test_mark_utterance_names_what_is_doubtful(
    utterance: Utterance, heard: Passage, mark: str
) -> None:
    assert mark in mark_utterance(utterance, [heard])


def test_mark_utterance_believes_sure_words_in_a_quiet_passage() -> None:
    assert (
        mark_utterance(spoken("hello there my friend"), [passage(no_speech=0.9, mean=-0.3)]) == ()
    )


def test_compression_grows_with_repetition() -> None:
    assert (
        compression("again and " * 30)
        > 2.4
        > compression("the quick brown fox jumps over the lazy dog near the river bank")
    )
