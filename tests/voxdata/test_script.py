"""One script for the Chinese of a transcript."""

from __future__ import annotations

import pytest

from voxdata.backends.transcription.chinese_script import load_script
from voxdata.identity import ModelRef
from voxdata.script import Script, write_in_script
from voxdata.segment import Segment
from voxdata.testing import make_word
from voxdata.utterance import Passage, Transcript


def heard(*said: tuple[str, str]) -> Transcript:
    """(language, word) each, a second long; one passage a word."""
    numbered = enumerate(said)
    words = tuple(make_word(text, 1_000 * i, 1_000 * i + 1_000) for i, (_, text) in numbered)
    passages = [
        Passage(
            segment=word.segment,
            language=language,
            language_probability=1.0,
        )
        for (language, _), word in zip(said, words, strict=True)
    ]
    model = ModelRef(
        name="m",
        revision="1",
        params={},
    )
    return Transcript(
        passages=tuple(passages),
        words=words,
        model=model,
    )


def texts(transcript: Transcript) -> list[str]:
    return [word.text for word in transcript.words]


@pytest.mark.parametrize(
    ("script", "written"),
    [
        ("simplified", ["电话", "号码", "是", "头发"]),
        ("traditional", ["電話", "號碼", "是", "頭髮"]),
    ],
)
def test_write_in_script_writes_mixed_words_in_one_script(script: str, written: list[str]) -> None:
    mixed = heard(
        ("zh", "电话"),
        ("zh", "號碼"),
        ("zh", "是"),
        ("zh", "头发"),
    )
    assert texts(write_in_script(mixed, load_script(script))) == written


def test_write_in_script_reads_a_word_with_its_neighbours() -> None:
    cut = heard(
        ("zh", "头"),
        ("zh", "发"),
        ("zh", "发"),
        ("zh", "展"),
    )
    assert texts(write_in_script(cut, load_script("traditional"))) == ["頭", "髮", "發", "展"]


def test_write_in_script_keeps_times_probabilities_and_passages() -> None:
    mixed = heard(("zh", "電"), ("zh", "話"))
    written = write_in_script(mixed, load_script("simplified"))
    segments = [w.segment for w in written.words]
    assert segments == [w.segment for w in mixed.words]
    probabilities = [w.probability for w in written.words]
    assert probabilities == [w.probability for w in mixed.words]
    assert written.passages == mixed.passages
    assert written.model == mixed.model


def test_write_in_script_leaves_other_languages_alone() -> None:
    both = heard(("ja", "電話"), ("zh", "電話"), ("en", " phone"))
    assert texts(write_in_script(both, load_script("simplified"))) == ["電話", "电话", " phone"]


def test_write_in_script_converts_words_apart_when_the_length_changes() -> None:
    longer = Script(
        name="x",
        revision="1",
        convert=lambda text: text.replace("甲", "乙乙"),
    )
    written = write_in_script(heard(("zh", "甲"), ("zh", "丙")), longer)
    assert texts(written) == ["乙乙", "丙"]
    segments = [w.segment for w in written.words]
    assert segments == [
        Segment(start_ms=0, end_ms=1_000),
        Segment(start_ms=1_000, end_ms=2_000),
    ]
