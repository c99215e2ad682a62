"""What a clip costs to label, and which clips fit a budget."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.acquire import Choice
from annotation.budget import (
    PRIOR,
    LeadTime,
    LeadTimeModel,
    fit_lead_times,
    fit_to_budget,
    parse_duration,
    predict_cost,
    utility,
)
from annotation.candidate import Arm, Candidate
from voxdata.errors import ConfigError

FLAT = LeadTimeModel(
    fixed_ms=10_000,
    per_duration=0,
    per_word_ms=0,
    per_overlap=0,
    num_rows=0,
)
BY_LENGTH = LeadTimeModel(
    fixed_ms=0,
    per_duration=1,
    per_word_ms=0,
    per_overlap=0,
    num_rows=0,
)


def choice(
    number: int,
    *,
    duration_ms: int = 1000,
    score: float | None = None,
    arm: Arm = "active",
) -> Choice:
    worth = score if score is not None else 1 - number / 100
    return Choice(
        candidate=Candidate(utterance_id=f"u{number}", duration_ms=duration_ms),
        arm=arm,
        score=worth,
        reason="",
    )


def past(
    count: int,
    *,
    seed: int = 0,
    breaks: float = 0.0,
) -> list[LeadTime]:
    draws = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        duration = int(draws.integers(500, 20_000))
        words = int(draws.integers(0, 50))
        overlap = float(draws.uniform(0, 1))
        cost = 3000 + 2.5 * duration + 200 * words + 0.8 * duration * overlap + draws.normal(0, 800)
        if draws.uniform() < breaks:
            cost += draws.uniform(300_000, 3_600_000)
        rows.append(
            LeadTime(
                lead_time_ms=max(0, int(cost)),
                duration_ms=duration,
                num_words=words,
                overlap_ratio=overlap,
            )
        )
    return rows


def test_fit_lead_times_is_the_prior_when_there_are_none() -> None:
    model = fit_lead_times([])
    assert model.num_rows == 0
    predicted = model.predict(4000, num_words=8, overlap_ratio=0.5)
    assert predicted == 6000 + 1.5 * 4000 + 125 * 8 + 1.5 * 2000


@pytest.mark.parametrize("breaks", [0.0, 0.1])
def test_fit_lead_times_finds_what_clips_cost_although_people_take_breaks(breaks: float) -> None:
    model = fit_lead_times(past(400, breaks=breaks))
    for duration, words, overlap in (
        (2000, 5, 0.0),
        (10_000, 20, 0.5),
        (18_000, 45, 1.0),
    ):
        true = 3000 + 2.5 * duration + 200 * words + 0.8 * duration * overlap
        predicted = model.predict(duration, num_words=words, overlap_ratio=overlap)
        assert predicted == pytest.approx(true, rel=0.06)


def test_fit_lead_times_stays_near_the_prior_with_few_and_leaves_it_with_many() -> None:
    slow = [LeadTime(lead_time_ms=60_000, duration_ms=4000)]
    prior = fit_lead_times([]).predict(4000)
    one = fit_lead_times(slow).predict(4000)
    many = fit_lead_times(slow * 200).predict(4000)
    assert prior < one < 20_000
    assert many > 50_000


@given(
    st.lists(
        st.builds(
            LeadTime,
            lead_time_ms=st.integers(0, 10**7),
            duration_ms=st.integers(0, 60_000),
        ),
        max_size=8,
    )
)
def test_fit_lead_times_predicts_something_positive_that_grows_with_length(
    rows: list[LeadTime],
) -> None:
    model = fit_lead_times(rows)
    assert (
        1
        <= model.predict(0)
        <= model.predict(5000)
        <= model.predict(30_000, num_words=9, overlap_ratio=0.3)
    )


def test_fit_lead_times_refuses_negative_times() -> None:
    with pytest.raises(ConfigError, match="lead time of -5 ms on a clip of 1000 ms"):
        fit_lead_times([LeadTime(lead_time_ms=-5, duration_ms=1000)])


def test_utility_is_the_score_a_second() -> None:
    worth = utility(choice(0, score=0.5), FLAT)
    assert worth == pytest.approx(0.05)
    assert predict_cost(choice(0, duration_ms=2500), BY_LENGTH) == 2500
    assert PRIOR[0] == predict_cost(choice(0, duration_ms=0), fit_lead_times([]))


def test_fit_to_budget_spends_everybodys_minutes_over_the_votes_wanted() -> None:
    choices = [choice(i) for i in range(50)]
    assert len(fit_to_budget(choices, FLAT, 60_000)) == 6
    kept = fit_to_budget(choices, FLAT, 60_000, annotators=3)
    assert len(kept) == 18
    kept = fit_to_budget(choices, FLAT, 60_000, annotators=3, votes_wanted=2)
    assert len(kept) == 9
    assert fit_to_budget(choices, FLAT, 60_000) == choices[:6]


def test_fit_to_budget_prefers_worth_a_second_over_worth() -> None:
    long = choice(0, duration_ms=10_000, score=1.0)
    short = [choice(i, duration_ms=1000, score=0.5) for i in range(1, 11)]
    kept = fit_to_budget([long, *short], BY_LENGTH, 10_000)
    assert kept == short


def test_fit_to_budget_does_not_choose_the_control_arm_by_price() -> None:
    control = [choice(i, duration_ms=1000 * (i + 1), arm="random") for i in range(10)]
    active = [choice(i, duration_ms=500, score=1) for i in range(10, 20)]
    kept = fit_to_budget(
        list(itertools.chain.from_iterable(zip(control, active, strict=True))),
        BY_LENGTH,
        12_000,
    )
    assert [c for c in kept if c.arm == "random"] == control[:3]
    assert [c for c in kept if c.arm == "active"] == active
    dear_first = fit_to_budget([*control[::-1], *active], BY_LENGTH, 12_000)
    utterance_ids = [c.utterance_id for c in dear_first if c.arm == "random"]
    assert utterance_ids == ["u9"]


def test_fit_to_budget_does_not_swap_a_control_clip_that_does_not_fit_for_a_cheaper_one() -> None:
    control = [
        choice(0, duration_ms=5000, arm="random"),
        choice(1, duration_ms=100, arm="random"),
    ]
    active = [choice(i, duration_ms=1000) for i in range(2, 8)]
    kept = fit_to_budget([*control, *active], BY_LENGTH, 3000)
    assert kept == active[:3]


@given(
    lengths=st.lists(st.integers(100, 30_000), min_size=1, max_size=30),
    budget_ms=st.integers(1, 200_000),
    annotators=st.integers(1, 4),
    data=st.data(),
)
def test_fit_to_budget_never_overdraws_and_keeps_the_order(
    lengths: list[int],
    budget_ms: int,
    annotators: int,
    data: st.DataObject,
) -> None:
    votes = data.draw(st.integers(1, annotators))
    choices = [
        choice(i, duration_ms=n, arm="random" if i % 4 == 0 else "active")
        for i, n in enumerate(lengths)
    ]
    if min(lengths) * votes > budget_ms * annotators:
        with pytest.raises(ConfigError, match="fits no clip"):
            fit_to_budget(choices, BY_LENGTH, budget_ms, annotators=annotators, votes_wanted=votes)
        return
    try:
        kept = fit_to_budget(
            choices,
            BY_LENGTH,
            budget_ms,
            annotators=annotators,
            votes_wanted=votes,
        )
    except (
        ConfigError
    ):  # only the control arm's later clips would have fitted, and they are not picked by price
        assert all(
            c.arm == "random" or c.candidate.duration_ms * votes > budget_ms * annotators
            for c in choices
        )
        return
    assert sum(c.candidate.duration_ms for c in kept) * votes <= budget_ms * annotators
    assert kept == [c for c in choices if c in kept]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget_ms": 0}, "buys nothing"),
        ({"budget_ms": 1000, "annotators": 0}, "buys nothing"),
        (
            {"budget_ms": 60_000, "annotators": 2, "votes_wanted": 3},
            "3 votes a clip need as many annotators, and there are 2",
        ),
        ({"budget_ms": 1000}, "fits no clip: the cheapest needs 10 s"),
    ],
)
def test_fit_to_budget_refuses_what_buys_nothing(options: dict[str, int], message: str) -> None:
    budget_ms = options.pop("budget_ms")
    with pytest.raises(ConfigError, match=message):
        fit_to_budget([choice(0)], FLAT, budget_ms, **options)


def test_fit_to_budget_of_nothing_is_nothing() -> None:
    assert fit_to_budget([], FLAT, 1000) == []


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("45min", 2_700_000),
        ("2h", 7_200_000),
        ("1h30min", 5_400_000),
        ("90 s", 90_000),
        (" 1 H 5 Min 3 s ", 3_903_000),
        ("0.5h", 1_800_000),
    ],
)
def test_parse_duration_reads_hours_minutes_and_seconds(text: str, expected_ms: int) -> None:
    assert parse_duration(text) == expected_ms


@pytest.mark.parametrize(
    "text",
    ["", "45", "min", "-5min", "0min", "5m", "30min1h", "1h 2h", "٤min", "1e3s", "nan s"],
)
def test_parse_duration_refuses_anything_else(text: str) -> None:
    with pytest.raises(ConfigError, match="write it like 45min"):
        parse_duration(text)


@given(
    st.integers(0, 50),
    st.integers(0, 59),
    st.integers(0, 59),
)
def test_parse_duration_reads_back_what_is_written(hours: int, minutes: int, seconds: int) -> None:
    total = (hours * 60 + minutes) * 60 + seconds
    if total:
        duration_ms = parse_duration(f"{hours}h{minutes}min{seconds}s")
        assert duration_ms == total * 1000
