from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.consensus import Method, Standing, infer_consensus, judge_contests
from benchmarks.consensus import simulate
from voxdata.agreement import Vote

LABELS = ("angry", "happy", "neutral", "高兴")
BALLOTS = st.tuples(
    st.sampled_from("uvw"),
    st.sampled_from("abc"),
    st.sampled_from(LABELS),
)
METHODS: tuple[Method, ...] = ("majority", "dawid_skene", "mace", "glad")


def accuracy(
    votes: list[Vote],
    truth: dict[str, str],
    method: Method,
) -> float:
    consensus = infer_consensus(votes, labels=LABELS, method=method)
    return sum(consensus.label(key) == label for key, label in truth.items()) / len(truth)


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_beats_the_majority_when_skills_differ(seed):
    votes, truth = simulate(
        labels=LABELS,
        clips=500,
        skills=(0.95, 0.9, 0.45, 0.4, 0.35, 0.3),
        per_clip=3,
        seed=seed,
    )
    assert accuracy(votes, truth, "dawid_skene") > accuracy(votes, truth, "majority") + 0.03


@pytest.mark.parametrize("method", ["dawid_skene", "mace", "glad"])
def test_infer_consensus_finds_who_is_skilled(method):
    votes, _ = simulate(
        labels=LABELS,
        clips=300,
        skills=(0.95, 0.9, 0.7, 0.5, 0.3),
        per_clip=5,
        seed=4,
    )
    consensus = infer_consensus(votes, labels=LABELS, method=method)
    assert (
        consensus.skill("p0")
        > consensus.skill("p2")
        > consensus.skill("p3")
        > consensus.skill("p4")
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("uvw"), st.sampled_from("abc"), st.sampled_from(LABELS)),
        min_size=1,
        max_size=9,
        unique_by=lambda t: t[:2],
    ),
    st.sampled_from(METHODS),
)
@settings(max_examples=12, deadline=None)
def test_infer_consensus_gives_a_distribution_over_all_labels_whatever_the_votes(rows, method):
    votes = [
        Vote(
            utterance_id=unit,
            annotator=person,
            labels=(label,),
        )
        for unit, person, label in rows
    ]
    consensus = infer_consensus(votes, labels=LABELS, method=method)
    assert set(consensus.posterior) == {unit for unit, _, _ in rows}
    for shares in consensus.posterior.values():
        assert tuple(shares) == LABELS
        assert sum(shares.values()) == pytest.approx(1, abs=1e-6)
    for matrix in consensus.confusion.values():
        assert all(
            sum(given_labels.values()) == pytest.approx(1) for given_labels in matrix.values()
        )


def test_infer_consensus_of_nothing_is_nothing():
    assert infer_consensus([], labels=LABELS).posterior == {}


def test_infer_consensus_refuses_a_label_of_another_scheme():
    with pytest.raises(ValueError, match="votes for bored"):
        infer_consensus(
            [
                Vote(
                    utterance_id="u",
                    annotator="a",
                    labels=("bored",),
                )
            ],
            labels=LABELS,
        )


def test_infer_consensus_gives_the_same_twice():
    votes, _ = simulate(
        labels=LABELS,
        clips=60,
        skills=(0.9, 0.6, 0.5),
        per_clip=3,
        seed=5,
    )
    for method in METHODS:
        consensus = infer_consensus(votes, labels=LABELS, method=method)
        assert consensus == infer_consensus(votes, labels=LABELS, method=method)


def contested(seed: int) -> tuple[list[Vote], set[str], set[str]]:
    """Clear clips heard by all, ambiguous ones on which good annotators split, clear ones that
    careless annotators miss.
    """
    rng = np.random.default_rng(seed)
    skills = (0.95, 0.95, 0.93, 0.92, 0.9, 0.4, 0.35)
    votes, ambiguous, clear = [], set(), set()
    for clip in range(400):
        key = f"u{clip:04}"
        unclear = clip % 4 == 0
        first, second = rng.choice(
            len(LABELS),
            size=2,
            replace=False,
        )
        (ambiguous if unclear else clear).add(key)
        for person, skill in enumerate(skills):
            heard = second if unclear and rng.random() < 0.45 else first
            label = LABELS[heard] if rng.random() < skill else LABELS[rng.integers(len(LABELS))]
            votes.append(
                Vote(
                    utterance_id=key,
                    annotator=f"p{person}",
                    labels=(label,),
                )
            )
    return votes, ambiguous, clear


def test_judge_contests_tells_ambiguous_clips_from_careless_annotators():
    votes, ambiguous, _ = contested(seed=0)
    consensus = infer_consensus(votes, labels=LABELS)
    standings = {
        c.utterance_id: c.standing for c in judge_contests(votes, consensus, labels=LABELS)
    }
    called = {key for key, standing in standings.items() if standing is Standing.AMBIGUOUS}
    assert len(called & ambiguous) / len(called) > 0.8
    assert len(called & ambiguous) / len(ambiguous) > 0.5
    assert sum(standing is Standing.CARELESS for standing in standings.values()) > 50


def test_judge_contests_leaves_open_what_unknown_annotators_disagree_about():
    votes = [
        Vote(
            utterance_id="u",
            annotator=person,
            labels=(label,),
        )
        for person, label in zip("abc", LABELS, strict=False)
    ]
    (contest,) = judge_contests(
        votes,
        infer_consensus(votes, labels=LABELS, method="majority"),
        labels=LABELS,
    )
    assert contest.standing is Standing.OPEN
    assert contest.disagreement > 0.7


def test_judge_contests_leaves_open_what_too_few_have_heard():
    votes = [
        Vote(utterance_id="u", annotator="a", labels=("angry",)),
        Vote(utterance_id="u", annotator="b", labels=("happy",)),
    ]
    consensus = infer_consensus(votes, labels=LABELS)
    (contest,) = judge_contests(votes, consensus, labels=LABELS)
    assert contest.standing is Standing.OPEN
