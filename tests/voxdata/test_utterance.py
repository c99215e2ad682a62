import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.errors import MixedRecordingsError
from voxdata.identity import ModelRef
from voxdata.segment import Segment, overlap_ms
from voxdata.testing import make_turn, make_utterance, make_word
from voxdata.utterance import Passage, Transcript, assign_words, cut_utterances

MODEL = ModelRef(name="fake", revision="1")


def transcript(words) -> Transcript:
    whole = Passage(
        segment=Segment(start_ms=0, end_ms=10_000_000),
        language="en",
        language_probability=1.0,
    )
    return Transcript(
        passages=(whole,),
        words=tuple(words),
        model=MODEL,
    )


@st.composite
def spoken(draw):
    """Words in order of time, none overlapping, and turns anywhere."""
    words = []
    at = draw(st.integers(0, 500))
    for number in range(draw(st.integers(0, 40))):
        length = draw(st.integers(1, 900))
        mark = draw(st.sampled_from(["", "", "", ".", "?", "。"]))
        words.append(make_word(f" w{number}{mark}", at, at + length))
        at += length + draw(st.sampled_from([0, 0, 20, 150, 250, 600, 2_000]))
    turns = []
    for number in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, at + 100))
        turns.append(
            make_turn(
                start,
                start + draw(st.integers(1, 8_000)),
                speaker=f"S{number % 2}",
            )
        )
    return words, turns


@given(spoken())
@settings(max_examples=300, deadline=None)
def test_cut_utterances_puts_every_word_into_exactly_one_utterance(made):
    words, turns = made
    cut = cut_utterances(turns, transcript(words))
    assert Counter(itertools.chain.from_iterable(utterance.words for utterance in cut)) == Counter(
        words
    )


@given(spoken(), st.integers(1_000, 4_000))
@settings(max_examples=300, deadline=None)
def test_cut_utterances_makes_none_longer_than_allowed(made, max_ms):
    words, turns = made
    for utterance in cut_utterances(turns, transcript(words), max_ms=max_ms):
        if utterance.words:
            span = utterance.words[-1].segment.end_ms - utterance.words[0].segment.start_ms
            assert span <= max_ms or len(utterance.words) == 1
            assert utterance.segment.duration_ms <= span + 200


@given(spoken())
@settings(max_examples=300, deadline=None)
def test_cut_utterances_gives_unique_ids_in_order_of_time(made):
    words, turns = made
    cut = cut_utterances(turns, transcript(words))
    assert len({utterance.utterance_id for utterance in cut}) == len(cut)
    segments = [u.segment for u in cut]
    assert segments == sorted(u.segment for u in cut)


@given(spoken())
@settings(max_examples=200, deadline=None)
def test_cut_utterances_contains_its_words_in_its_bounds(made):
    words, turns = made
    for utterance in cut_utterances(turns, transcript(words)):
        for word in utterance.words:
            assert utterance.segment.start_ms <= word.segment.start_ms
            assert word.segment.end_ms <= utterance.segment.end_ms


@given(spoken(), st.data())
def test_assign_words_does_not_depend_on_the_order_of_turns(made, data):
    words, turns = made
    assigned = assign_words(words, data.draw(st.permutations(turns)))
    assert assigned == assign_words(words, turns)


def test_assign_words_prefers_overlap_then_nearness():
    first = make_turn(0, 1_000)
    second = make_turn(2_000, 3_000, speaker="S1")
    inside = make_word(" a", 900, 2_050)
    between = make_word(" b", 1_600, 1_700)
    after = make_word(" c", 9_000, 9_100)
    assigned = assign_words([inside, between, after], [second, first])
    assert assigned == [
        (first, [inside]),
        (second, [between, after]),
    ]


def test_assign_words_refuses_several_recordings():
    with pytest.raises(MixedRecordingsError):
        assign_words([], [make_turn(), make_turn(recording_id="other")])


def test_cut_utterances_cuts_at_a_pause_and_at_a_sentence_end():
    words = [
        make_word(" Good", 0, 400),
        make_word(" morning.", 400, 1_000),
        make_word(" How", 1_250, 1_600),
        make_word(" are", 1_600, 1_900),
        make_word(" you", 2_500, 3_200),
    ]
    cut = cut_utterances([make_turn(0, 3_500)], transcript(words))
    texts = [utterance.text for utterance in cut]
    assert texts == ["Good morning.", "How are", "you"]


def test_cut_utterances_joins_chinese_without_spaces():
    words = [
        make_word(character, 200 * i, 200 * i + 200)
        for i, character in enumerate("你好，我要退款。")
    ]
    (utterance,) = cut_utterances([make_turn(0, 2_000)], transcript(words))
    assert utterance.text == "你好，我要退款。"


def test_cut_utterances_keeps_a_turn_without_words():
    (utterance,) = cut_utterances([make_turn(100, 900)], transcript([]))
    assert utterance.text == ""
    assert utterance.language == "und"
    assert utterance.segment.start_ms == 100
    assert utterance.segment.end_ms == 900


def test_cut_utterances_keeps_the_words_when_a_wordless_turn_has_the_same_bounds():
    turns = [make_turn(0, 350), make_turn(0, 400, speaker="S1")]
    cut = cut_utterances(turns, transcript([make_word(" yes", 100, 300)]))
    assert [
        (utterance.text, utterance.segment.start_ms, utterance.segment.end_ms) for utterance in cut
    ] == [("yes", 0, 400)]


def test_cut_utterances_keeps_two_interjections_with_the_same_bounds_apart():
    turns = [make_turn(0, 60), make_turn(60, 300, speaker="S1")]
    cut = cut_utterances(
        turns,
        transcript([make_word(" oh", 10, 50), make_word(" ah", 70, 290)]),
        pad_ms=500,
    )
    assert [utterance.text for utterance in cut] == ["oh", "ah"]
    cut = cut_utterances(
        turns,
        transcript([make_word(" oh", 10, 90), make_word(" ah", 70, 90)]),
        pad_ms=100,
    )
    assert [(utterance.text, utterance.segment.end_ms) for utterance in cut] == [
        ("oh", 190),
        ("ah", 191),
    ]


def test_utterance_id_depends_on_place_only():
    assert (
        make_utterance(text="a").utterance_id == make_utterance(text="b", speaker="S1").utterance_id
    )
    ids = {
        make_utterance(0, 5).utterance_id,
        make_utterance(0, 6).utterance_id,
        make_utterance(0, 5, channel=1).utterance_id,
    }
    assert len(ids) == 3


def closeness(word: Segment, turn: Segment) -> tuple[int, int, int]:
    gap = max(turn.start_ms - word.end_ms, word.start_ms - turn.end_ms, 0)
    return overlap_ms(word, turn), -gap, -turn.duration_ms


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 30)),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 9)), max_size=12),
)
@settings(max_examples=400, deadline=None)
def test_assign_words_chooses_among_all_turns(placed, heard):
    turns = [
        make_turn(start, start + length, speaker=f"S{n % 3}")
        for n, (start, length) in enumerate(placed)
    ]
    words = [make_word(f" w{n}", start, start + length) for n, (start, length) in enumerate(heard)]
    for turn, mine in assign_words(words, turns):
        for word in mine:
            best = max(closeness(word.segment, other.segment) for other in turns)
            assert closeness(word.segment, turn.segment) == best
