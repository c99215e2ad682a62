from __future__ import annotations

import csv
import itertools
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask
from nltk.metrics.distance import masi_distance
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from voxdata.agreement import Vote
from voxdata.reliability import (
    alpha_by_label,
    alpha_interval,
    alpha_without,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)

SCALE = ("1", "2", "3", "4", "5")
cast = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(st.sampled_from(SCALE), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
)
sets = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(
        st.sets(st.sampled_from("xyz"), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=8,
)


def ballots(given_labels: dict[str, list[str]]) -> list[Vote]:
    rows = []
    for unit, labels in given_labels.items():
        rows += [(unit, person, label) for person, label in enumerate(labels)]
    return [
        Vote(
            utterance_id=unit,
            annotator=f"p{person}",
            labels=(label,),
        )
        for unit, person, label in rows
    ]


def nltk_alpha(rows: list[tuple[str, str, object]], distance) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(AnnotationTask(rows, distance).alpha())


@given(sets)
def test_krippendorff_alpha_of_label_sets_equals_nltk(given_sets):
    votes = []
    for unit, several in given_sets.items():
        for i, labels in enumerate(several):
            votes.append(
                Vote(
                    utterance_id=unit,
                    annotator=f"p{i}",
                    labels=tuple(sorted(labels)),
                )
            )
    alpha = krippendorff_alpha(votes, distance="masi")
    pairable = [v for v in votes if len(given_sets[v.utterance_id]) > 1]
    if len({frozenset(v.labels) for v in pairable}) < 2:
        assert alpha is None
        return
    rows = [(v.annotator, v.utterance_id, frozenset(v.labels)) for v in pairable]
    assert alpha == pytest.approx(nltk_alpha(rows, masi_distance), abs=1e-9)


@given(cast)
def test_krippendorff_alpha_of_ranks_equals_nltk(given_labels):
    alpha = krippendorff_alpha(ballots(given_labels), distance="ordinal", order=SCALE)
    pairable = {unit: labels for unit, labels in given_labels.items() if len(labels) > 1}
    totals = Counter(itertools.chain.from_iterable(pairable.values()))
    if len(totals) < 2:
        assert alpha is None
        return

    def between(a: str, b: str) -> float:
        low, high = sorted(
            (
                SCALE.index(a),
                SCALE.index(b),
            )
        )
        return (
            (sum(totals[SCALE[i]] for i in range(low, high + 1)) - (totals[a] + totals[b]) / 2) ** 2
            if a != b
            else 0.0
        )

    rows = []
    for unit, labels in pairable.items():
        rows += [(str(person), unit, label) for person, label in enumerate(labels)]
    assert alpha == pytest.approx(nltk_alpha(rows, between), abs=1e-9)


def test_krippendorff_alpha_refuses_a_rank_outside_the_scale():
    with pytest.raises(ValueError, match="'9' is not in the order"):
        krippendorff_alpha(
            ballots({"u": ["1", "9"]}),
            distance="ordinal",
            order=SCALE,
        )


@given(
    st.lists(
        st.lists(st.sampled_from("xyz"), min_size=4, max_size=4),
        min_size=2,
        max_size=12,
    )
)
def test_fleiss_kappa_equals_statsmodels_when_all_have_the_same_number(rows):
    kappa = fleiss_kappa(ballots({str(i): labels for i, labels in enumerate(rows)}))
    used = sorted(set(itertools.chain.from_iterable(rows)))
    if len(used) < 2:
        assert kappa is None
        return
    counts = [list(map(labels.count, used)) for labels in rows]
    table = np.array(counts)
    assert kappa == pytest.approx(float(statsmodels_fleiss(table)), abs=1e-9)


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")),
        min_size=2,
        max_size=30,
    )
)
def test_cohen_kappa_equals_scikit_learn(pairs):
    kappa = cohen_kappa(
        ballots({str(i): list(pair) for i, pair in enumerate(pairs)}),
        "p0",
        "p1",
    )
    if len(set(itertools.chain.from_iterable(pairs))) < 2:
        assert kappa is None
        return
    assert kappa == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)), abs=1e-9)


def test_cohen_kappa_is_none_when_two_people_share_nothing():
    assert cohen_kappa(ballots({"u": ["x"], "v": ["y"]}), "p0", "p1") is None


def _simulated(
    *, calls: int, per_call: int, agree: float, seed: int
) -> tuple[list[Vote], dict[str, str]]:
    rng = np.random.default_rng(seed)
    votes, call_of = [], {}
    for call in range(calls):
        mood = rng.integers(3)  # utterances of one call are alike
        for i in range(per_call):
            unit = f"{call}-{i}"
            call_of[unit] = str(call)
            for person in range(3):
                label = str(mood) if rng.random() < agree else str(rng.integers(3))
                votes.append(
                    Vote(
                        utterance_id=unit,
                        annotator=f"p{person}",
                        labels=(label,),
                    )
                )
    return votes, call_of


def test_alpha_interval_over_calls_is_wider_than_over_utterances_and_holds_the_value():
    votes, calls = _simulated(
        calls=12,
        per_call=20,
        agree=0.6,
        seed=1,
    )
    whole = alpha_interval(votes, calls=calls, draws=300)
    loose = alpha_interval(votes, calls={}, draws=300)
    assert whole is not None
    assert loose is not None
    assert whole.value == loose.value == krippendorff_alpha(votes)
    assert whole.low < whole.value < whole.high
    assert whole.high - whole.low > loose.high - loose.low
    assert alpha_interval(votes, calls=calls, draws=300) == whole


def test_alpha_interval_is_none_when_alpha_is():
    assert alpha_interval(ballots({"u": ["x"]}), calls={}) is None


def test_alpha_by_label_tells_which_labels_people_confuse():
    given_labels = {f"a{i}": ["angry", "angry"] for i in range(10)}
    given_labels |= {f"b{i}": ["sad", "bored"][:: 1 if i % 2 else -1] for i in range(10)}
    alphas = alpha_by_label(ballots(given_labels))
    assert alphas["angry"] == 1
    assert alphas["sad"] is not None
    assert alphas["sad"] < 0


def test_alpha_without_rises_when_a_careless_annotator_is_left_out():
    rng = np.random.default_rng(0)
    given_labels = {}
    for i in range(60):
        label = str(i % 3)
        given_labels[str(i)] = [label, label, str(rng.integers(3))]
    alphas = alpha_without(ballots(given_labels))
    assert alphas["p2"] == 1
    assert alphas["p0"] is not None
    assert alphas["p0"] < 0.3


@pytest.fixture
def cremad(corpora: Path) -> list[Vote]:
    with (corpora / "cremad_votes" / "tabulatedVotes.csv").open(encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file) if row[""].startswith("1") and len(row[""]) == 6
        ]
    heard = {}
    for row in rows:
        heard[row["fileName"]] = list("".join(label * int(row[label]) for label in "ADFHNS"))
    return ballots(heard)


@pytest.mark.corpus
def test_reliability_of_the_cremad_crowd(cremad: Sequence[Vote]):
    assert len({vote.utterance_id for vote in cremad}) == 7_442
    assert fleiss_kappa(cremad) == pytest.approx(0.278, abs=0.0005)
    alpha = krippendorff_alpha(cremad)
    rows: list[tuple[str, str, object]] = [(v.annotator, v.utterance_id, v.label) for v in cremad]
    assert alpha == pytest.approx(nltk_alpha(rows, lambda a, b: float(a != b)), abs=5e-5)
    interval = alpha_interval(
        cremad,
        calls={vote.utterance_id: vote.utterance_id[:4] for vote in cremad},
        draws=200,
    )
    assert interval is not None
    assert interval.low < 0.281 < interval.high
