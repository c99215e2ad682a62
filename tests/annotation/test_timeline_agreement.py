from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.timeline_agreement import match_speakers, timeline_alpha
from voxdata.agreement import Vote
from voxdata.reliability import krippendorff_alpha
from voxdata.testing import make_turn
from voxdata.turn import Turn


def turns(*spans: tuple[str, int, int]) -> list[Turn]:
    return [make_turn(start, end, speaker=speaker) for speaker, start, end in spans]


CALL = turns(
    ("A", 0, 2_000),
    ("B", 2_500, 4_000),
    ("A", 3_800, 6_000),
)


def test_timeline_alpha_is_one_when_all_agree_whatever_they_call_the_speakers() -> None:
    other = [
        make_turn(
            t.segment.start_ms, t.segment.end_ms, speaker={"A": "说话人二", "B": "one"}[t.speaker]
        )
        for t in CALL
    ]
    alpha = timeline_alpha([{"ann": CALL, "bob": other}], durations_ms=[7_000])
    assert alpha == pytest.approx(1)


def test_timeline_alpha_falls_with_the_time_that_is_disputed() -> None:
    short = timeline_alpha(
        [
            {
                "ann": CALL,
                "bob": turns(("A", 0, 2_200), ("B", 2_500, 4_000), ("A", 3_800, 6_000)),
            }
        ],
        durations_ms=[7_000],
    )
    long = timeline_alpha(
        [
            {
                "ann": CALL,
                "bob": turns(("A", 0, 2_000), ("A", 2_500, 4_000), ("A", 3_800, 6_000)),
            }
        ],
        durations_ms=[7_000],
    )
    assert short is not None
    assert long is not None
    assert 1 > short > 0.9 > long


def test_timeline_alpha_is_about_zero_for_people_who_mark_at_random() -> None:
    rng = np.random.default_rng(0)

    def random_turns() -> list[Turn]:
        return [make_turn(i * 100, i * 100 + 100) for i in range(2_000) if rng.random() < 0.5]

    agreement = timeline_alpha(
        [{"ann": random_turns(), "bob": random_turns()}],
        durations_ms=[200_000],
    )
    assert agreement == pytest.approx(0, abs=0.07)


def test_timeline_alpha_is_none_where_there_is_nothing_to_compare() -> None:
    alpha = timeline_alpha([{"ann": CALL}], durations_ms=[7_000])
    assert alpha is None
    alpha = timeline_alpha([{"ann": [], "bob": []}], durations_ms=[7_000])
    assert alpha is None
    assert timeline_alpha([], durations_ms=[]) is None
    with pytest.raises(ValueError, match="shorter"):
        timeline_alpha([{"ann": CALL}], durations_ms=[])


@given(
    st.lists(
        st.lists(st.booleans(), min_size=3, max_size=3),
        min_size=3,
        max_size=20,
    )
)
def test_timeline_alpha_is_that_of_many_short_units_of_equal_length(rows: list[list[bool]]) -> None:
    people = {}
    for p in range(3):
        spoken = [i for i, row in enumerate(rows) if row[p]]
        people[f"p{p}"] = [make_turn(i * 50, i * 50 + 50) for i in spoken]
    agreement = timeline_alpha([people], durations_ms=[50 * len(rows)])
    votes = []
    for (i, row), copy, p in itertools.product(
        enumerate(rows),
        range(50),
        range(3),
    ):
        label = "talk" if row[p] else "silence"
        votes.append(
            Vote(
                utterance_id=f"{i}/{copy}",
                annotator=f"p{p}",
                labels=(label,),
            )
        )
    plain = krippendorff_alpha(votes)
    if plain is None:
        assert agreement is None
        return

    # Somebody who never spoke, and the reference, may leave names unmatched only when they never
    # overlap.
    def meet(p: int, q: int) -> bool:
        together = any(row[p] and row[q] for row in rows)
        return together or not any(row[p] for row in rows)

    overlaps = all(meet(p, q) for p, q in itertools.product(range(3), range(3)))
    if overlaps:
        assert agreement == pytest.approx(plain, abs=0.02)


def test_match_speakers_lets_two_people_agree_on_somebody_whom_the_first_missed() -> None:
    busy = turns(("A", 0, 9_000))
    two = turns(("X", 0, 2_000), ("Y", 2_000, 4_000))
    matched = match_speakers(
        {
            "ann": busy,
            "bob": two,
            "cid": turns(("1", 0, 2_000), ("2", 2_000, 4_000)),
        }
    )
    assert [name for name, _ in matched["bob"]] == [name for name, _ in matched["cid"]]


def test_match_speakers_keeps_a_speaker_that_only_one_person_heard_apart() -> None:
    matched = match_speakers(
        {
            "ann": CALL,
            "bob": turns(("X", 0, 2_000), ("Y", 2_500, 3_700), ("Z", 6_200, 6_500)),
        }
    )
    assert [name for name, _ in matched["bob"]] == ["A", "B", "bob: Z"]
