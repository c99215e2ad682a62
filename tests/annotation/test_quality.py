from __future__ import annotations

import numpy as np
import pytest

from annotation.quality import judge_people, wilson_interval
from voxdata.agreement import Vote

LABELS = ("angry", "sad", "calm")


def crew(
    skills: dict[str, float],
    *,
    clips: int = 300,
    seed: int = 0,
    deaf: str = "",
) -> list[Vote]:
    """Votes of people of known skill; whoever is `deaf` takes every "sad" for "calm"."""
    rng = np.random.default_rng(seed)
    votes = []
    for clip in range(clips):
        truth = LABELS[rng.integers(3)]
        for person, skill in skills.items():
            others = [label for label in LABELS if label != truth]
            label = truth if rng.random() < skill else others[rng.integers(2)]
            if person == deaf and truth == "sad":
                label = "calm"
            votes.append(
                Vote(
                    utterance_id=f"u{clip}",
                    annotator=person,
                    labels=(label,),
                )
            )
    return votes


def test_judge_people_flags_who_is_far_below_the_others_and_nobody_else() -> None:
    found = {
        row.annotator: row
        for row in judge_people(crew({"a": 0.9, "b": 0.9, "c": 0.9, "careless": 0.5}))
        if row.label == ""
    }
    assert {name for name, row in found.items() if row.weak} == {"careless"}
    assert found["careless"].low < 0.5 < found["careless"].high
    assert found["a"].right / found["a"].clips > 0.8


def test_judge_people_finds_the_label_that_one_person_cannot_hear() -> None:
    found = {
        (row.annotator, row.label): row
        for row in judge_people(crew({"a": 0.9, "b": 0.9, "c": 0.9, "d": 0.9}, deaf="d"))
    }
    assert found["d", "sad"].weak
    assert found["d", "sad"].right < 5
    assert not found["d", "angry"].weak
    assert not found["a", "sad"].weak


def test_judge_people_needs_two_others_who_agree() -> None:
    pair = [
        Vote(
            utterance_id="u",
            annotator=p,
            labels=("sad",),
        )
        for p in "ab"
    ]
    split = [
        Vote(
            utterance_id="v",
            annotator=p,
            labels=(label,),
        )
        for p, label in zip("abc", LABELS, strict=True)
    ]
    assert judge_people([*pair, *split]) == []
    assert judge_people([]) == []


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (0, 0, 0, 1),
        (10, 10, 0.7225, 1),
        (5, 10, 0.2366, 0.7634),
        (0, 20, 0, 0.1611),
    ],
)
def test_wilson_interval_gives_the_published_values(
    hits: int, total: int, low: float, high: float
) -> None:
    assert wilson_interval(hits, total) == pytest.approx((low, high), abs=5e-4)
