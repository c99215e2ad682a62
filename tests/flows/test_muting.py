"""What the benchmark of muted speech counts as heard, as played, and as covered."""

from __future__ import annotations

import json

import pytest

from benchmarks.crosstalk import START_MS, covers
from benchmarks.muted_sentences import BORDERS, FOLDER, SENTENCES
from benchmarks.muting import part_keys, played_ms, read_parts, stands_in
from voxdata.segment import Segment


def segment(start_ms: int, end_ms: int) -> Segment:
    return Segment(start_ms=start_ms, end_ms=end_ms)


@pytest.mark.parametrize(
    ("kind", "text", "keys"),
    [
        ("name", "Rachel Cooper", ("rachel", "cooper")),
        ("phone", "six one seven, five five five, zero one two nine", ("6175550129",)),
        ("phone", "five five five", ("555",)),
        ("address", "forty two", ("42",)),
        ("address", "thirty seven Willow Avenue", ("willow",)),
        ("email", "emma dot fletcher at yahoo dot com", ("emma", "fletcher")),
        ("email", "at gmail dot com", ("gmail",)),
        ("spelled", "B E C K E R", ("becker",)),
        ("username", "falcon twelve", ("falcon",)),
    ],
)
def test_part_keys_are_what_gives_a_part_away(
    kind: str,
    text: str,
    keys: tuple[str, ...],
) -> None:
    assert part_keys(kind, text) == keys


@pytest.mark.parametrize(
    ("key", "text", "stands"),
    [
        ("becker", "My name is Becker.", True),
        ("becker", "That is B-E-C-K.", True),
        ("becker", "That is [spelled].", False),
        ("becker", "I see a T V set.", False),
        ("6175550129", "call 617-555 now", True),
        ("6175550129", "call five five five zero", True),
        ("6175550129", "call 555", False),
        ("555", "it is 555.", True),
        ("555", "it is 5551.", False),
        ("rachel", "[name] called", False),
    ],
)
def test_stands_in_finds_words_letters_and_digits(key: str, text: str, stands: bool) -> None:
    assert stands_in([key], text) is stands


@pytest.mark.parametrize(
    ("clips", "played"),
    [
        ([], 0),
        ([(segment(0, 3_000), [])], 1_000),
        ([(segment(0, 3_000), [segment(900, 2_100)])], 0),
        ([(segment(0, 3_000), [segment(1_200, 2_100)])], 200),
        (
            [
                (segment(0, 3_000), [segment(900, 2_100)]),
                (segment(1_500, 4_000), []),
            ],
            500,
        ),
        ([(segment(0, 1_300), [segment(1_000, 1_100)])], 200),
    ],
)
def test_played_ms_counts_what_any_clip_plays(
    clips: list[tuple[Segment, list[Segment]]], played: int
) -> None:
    assert played_ms(segment(1_000, 2_000), clips) == played


@pytest.mark.parametrize(
    ("found", "covered"),
    [
        (None, False),
        (segment(START_MS, START_MS + 840), True),
        (segment(START_MS, START_MS + 800), False),
        (segment(START_MS + 100, START_MS + 940), False),
        (segment(START_MS - 90, START_MS + 900), True),
    ],
)
def test_covers_wants_all_of_a_leak(found: Segment | None, covered: bool) -> None:
    assert covers(found, length_ms=800, lag_ms=40) is covered


def test_the_times_of_the_recordings_fit_their_sentences() -> None:
    text = (FOLDER / "truth.json").read_text(encoding="utf-8")
    truth = json.loads(text)
    recordings = {**SENTENCES, **BORDERS}
    assert (
        sorted(truth) == sorted(recordings) == sorted(path.name for path in FOLDER.glob("*.opus"))
    )
    for name, sentences in recordings.items():
        for sentence, row in zip(sentences, truth[name], strict=True):
            for part in read_parts(name, sentence, row["private_ms"]):
                assert (
                    row["start_ms"] <= part.segment.start_ms < part.segment.end_ms <= row["end_ms"]
                )
