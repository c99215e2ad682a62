"""Personal data: what is hidden is not there any more, and comes back only where it belongs."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voxdata.identity import ModelRef
from voxdata.ports import MODEL_RATE_HZ, PrivateText
from voxdata.privacy import (
    PrivateSpan,
    heard_when,
    hidden_parts,
    mask_text,
    masking_key,
    mute,
    restore_text,
    scan_utterances,
)
from voxdata.segment import Segment
from voxdata.testing import make_utterance, make_word

KINDS = ("name", "phone", "card", "birth_date")


def span(start: int, end: int, kind: str = "phone", **fields: int) -> PrivateSpan:
    segment = Segment(
        start_ms=fields.get("start_ms", 0),
        end_ms=fields.get("end_ms", 1_000),
    )
    return PrivateSpan(
        kind=kind,
        start=start,
        end=end,
        segment=segment,
        score=1.0,
    )


@st.composite
def hidden_texts(draw: st.DrawFn) -> tuple[str, list[PrivateSpan]]:
    text = draw(st.text(alphabet="abc 电话0123", max_size=40))
    ends = st.integers(-2, len(text) + 3)
    made = draw(st.lists(st.tuples(ends, ends, st.sampled_from(KINDS)), max_size=5))
    return text, [span(start, end, kind) for start, end, kind in made]


@given(hidden_texts())
def test_mask_text_is_undone_by_restore_text(made: tuple[str, list[PrivateSpan]]) -> None:
    text, spans = made
    restored = restore_text(mask_text(text, spans), hidden_parts(text, spans))
    assert restored == text


@given(hidden_texts())
def test_mask_text_leaves_no_character_of_a_span(made: tuple[str, list[PrivateSpan]]) -> None:
    text, spans = made
    secret = set(
        itertools.chain.from_iterable(range(max(s.start, 0), min(s.end, len(text))) for s in spans)
    )
    left = "".join(c for at, c in enumerate(text) if at not in secret)
    masked = mask_text(text, spans)
    for kind in KINDS:
        masked = masked.replace(f"[{kind}]", "")
    assert masked == left
    hidden = [characters for _, characters in hidden_parts(text, spans)]
    assert sum(map(len, hidden)) == len(secret)


def test_mask_text_makes_one_of_spans_that_overlap() -> None:
    text = "call 555 0132 now"
    masked_text = mask_text(
        text,
        [
            span(5, 13),
            span(9, 13, "number"),
        ],
    )
    assert masked_text == "call [phone] now"
    masked_text = mask_text(
        text,
        [
            span(5, 8),
            span(9, 13, "number"),
        ],
    )
    assert masked_text == "call [phone] [number] now"
    assert mask_text(text, []) == text


def test_restore_text_keeps_what_a_person_changed_around_a_placeholder() -> None:
    hidden = [("name", "Mary"), ("phone", "555 0132")]
    assert restore_text("Hello [name], call [phone]!", hidden) == "Hello Mary, call 555 0132!"
    assert restore_text("call [phone]", hidden) == "call 555 0132"
    assert sorted(restore_text("[name] and [name]", hidden).split(" and ")) == ["Mary", "[name]"]
    assert restore_text("[city] [sic]", hidden) == "[city] [sic]"
    assert restore_text("nobody", hidden) == "nobody"


def test_restore_text_takes_the_right_one_of_a_kind_when_another_kind_lies_between() -> None:
    hidden = [("name", "Mary"), ("phone", "1"), ("name", "Paul")]
    assert restore_text("[phone] then [name]", hidden) == "1 then Paul"


def test_heard_when_goes_from_the_first_word_touched_to_the_last() -> None:
    words = (
        make_word(" my", 0, 200),
        make_word(" number", 300, 600),
        make_word(" 555", 1_000, 1_500),
        make_word(" 0132", 1_600, 2_200),
    )
    u = make_utterance(0, 4_000, text="my number 555 0132", words=words)
    assert heard_when(u, 10, 18) == Segment(start_ms=800, end_ms=2_400)
    assert heard_when(u, 14, 15, margin_ms=0) == Segment(start_ms=1_600, end_ms=2_200)
    assert heard_when(u, 0, 2) == Segment(start_ms=0, end_ms=400)


def test_heard_when_tells_words_apart_that_are_written_alike() -> None:
    words = (
        make_word(" one", 0, 200),
        make_word(" two", 1_000, 1_200),
        make_word(" one", 3_000, 3_200),
    )
    u = make_utterance(0, 4_000, text="one two one", words=words)
    assert heard_when(u, 8, 11, margin_ms=0) == Segment(start_ms=3_000, end_ms=3_200)


def test_heard_when_is_the_whole_utterance_when_words_do_not_tell() -> None:
    u = make_utterance(
        500,
        4_000,
        text="number 555",
        words=(make_word(" something", 600, 900), make_word(" ", 900, 950)),
    )
    assert heard_when(u, 7, 10) == u.segment
    assert heard_when(make_utterance(0, 900), 0, 5) == Segment(start_ms=0, end_ms=900)


@given(
    st.integers(0, 17),
    st.integers(1, 18),
    st.lists(st.integers(0, 4_000), min_size=6, max_size=6),
)
def test_heard_when_covers_the_words_or_the_whole_utterance(
    start: int, end: int, times: list[int]
) -> None:
    pairs = zip(times[::2], times[1::2], strict=True)
    segments = [Segment(start_ms=min(a, b), end_ms=max(a, b) + 1) for a, b in pairs]
    words = tuple(
        make_word(f" {t}", s.start_ms, s.end_ms)
        for t, s in zip(("call", "555", "0132"), segments, strict=True)
    )
    u = make_utterance(1_000, 2_000, text="call 555 0132 now", words=words)
    span = heard_when(u, start, end)
    at = [0, 5, 9]
    touched = [
        s
        for s, begin, word in zip(segments, at, ("call", "555", "0132"), strict=True)
        if begin < end and begin + len(word) > start
    ]
    covers = all(
        span.start_ms <= max(0, s.start_ms - 200) and s.end_ms + 200 <= span.end_ms for s in touched
    )
    assert span == u.segment or (touched and covers)


@given(
    st.lists(st.tuples(st.integers(-500, 2_500), st.integers(1, 900)), max_size=4),
    st.integers(0, 1_000),
)
def test_mute_leaves_nothing_inside_and_everything_outside(
    stretches: list[tuple[int, int]], offset_ms: int
) -> None:
    draws = np.random.default_rng(0)
    samples = draws.uniform(0.5, 0.9, 2 * MODEL_RATE_HZ).astype(np.float32)
    segments = [
        Segment(start_ms=max(0, a + offset_ms), end_ms=max(0, a + offset_ms) + length)
        for a, length in stretches
    ]
    muted = mute(samples, segments, offset_ms=offset_ms)
    inside = np.zeros(len(samples), bool)
    for s in segments:
        start = max(0, s.start_ms - offset_ms)
        end = max(0, s.end_ms - offset_ms)
        inside[start * 16 : end * 16] = True
    assert (np.abs(muted[inside]) <= 0.03).all()
    assert np.array_equal(muted[~inside], samples[~inside])
    assert (samples >= 0.5).all()


def test_mute_puts_a_tone_that_can_be_heard() -> None:
    samples = np.zeros(MODEL_RATE_HZ, np.float32)
    muted = mute(samples, [Segment(start_ms=200, end_ms=800)])
    spectrum = np.abs(np.fft.rfft(muted))
    assert abs(int(spectrum.argmax()) - 330) <= 2
    assert not muted[: 200 * 16].any()


def test_masking_key_differs_with_what_is_hidden() -> None:
    spans = [
        span(0, 3),
        span(0, 3, "name"),
        span(0, 4),
        span(0, 3, end_ms=1_100),
    ]
    assert len({masking_key([s]) for s in spans}) == 4
    assert masking_key([]) == ""
    assert masking_key(spans) == masking_key(list(spans))


def test_restore_text_leaves_what_only_looks_like_a_placeholder() -> None:
    text = "he said [phone] and my phone is 415 555 0132"
    spans = [span(text.index("415"), len(text))]
    assert mask_text(text, spans) == "he said [phone] and my phone is [phone]"
    restored = restore_text(mask_text(text, spans), hidden_parts(text, spans))
    assert restored == text


def test_scan_utterances_answers_for_every_utterance() -> None:
    class Numbers:
        model = ModelRef(name="numbers", revision="1")

        def scan(self, text: str, *, language: str) -> list[PrivateText]:
            at = text.find("555")
            return [] if at < 0 else [PrivateText(kind="phone", start=at, end=at + 3, score=0.5)]

    quiet = make_utterance(0, 900)
    loud = make_utterance(
        1_000,
        2_000,
        text="at 555",
        words=(make_word(" 555", 1_500, 1_700),),
    )
    spans = scan_utterances(Numbers(), [quiet, loud])
    assert spans[quiet.utterance_id] == ()
    (private,) = spans[loud.utterance_id]
    assert private.kind == "phone"
    assert private.start == 3
    assert private.end == 6
    assert private.score == 0.5
    assert private.segment == Segment(start_ms=1_300, end_ms=1_900)
