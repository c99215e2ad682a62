import csv
import itertools
import warnings
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask

from voxdata.agreement import Vote, collect_votes, resolve, weigh
from voxdata.label import Annotation
from voxdata.reliability import krippendorff_alpha

units = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(st.sampled_from("xyz"), min_size=1, max_size=5),
    max_size=12,
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ballots(cast):
    """One vote a label, each by another person."""
    rows = []
    for unit, labels in cast.items():
        rows += [(unit, person, label) for person, label in enumerate(labels)]
    return [
        Vote(
            utterance_id=unit,
            annotator=f"p{person}",
            labels=(label,),
        )
        for unit, person, label in rows
    ]


def annotation(number, annotator, label, *, minutes=0, **fields):
    return Annotation(
        annotation_id=number,
        project_id=1,
        utterance_id="u1",
        annotator=annotator,
        labels={"emotion": (label,)},
        updated_at=NOON + timedelta(minutes=minutes),
        **fields,
    )


@given(units)
def test_krippendorff_alpha_equals_nltk(cast):
    pairable = {unit: labels for unit, labels in cast.items() if len(labels) > 1}
    used = set(itertools.chain.from_iterable(pairable.values()))
    alpha = krippendorff_alpha(ballots(cast))
    if len(used) < 2:
        assert alpha is None
        return
    rows = []
    for unit, labels in pairable.items():
        rows += [(str(person), unit, label) for person, label in enumerate(labels)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert alpha == pytest.approx(AnnotationTask(rows).alpha())


def test_krippendorff_alpha_reproduces_the_published_example():
    # Krippendorff 2011, section C: four observers, twelve units, nominal: 0.743
    rows = "11-1 2232 3333 3333 2222 1234 4444 1121 2222 -555 --11 --3-"
    cast = {}
    for unit, row in enumerate(rows.split()):
        cast[str(unit)] = [vote for vote in row if vote != "-"]
    assert krippendorff_alpha(ballots(cast)) == pytest.approx(0.743, abs=0.0005)


@given(units, st.integers(1, 3))
def test_resolve_gives_the_majority_and_its_shares(cast, min_votes):
    golds = {
        gold.utterance_id: gold
        for gold in resolve(ballots(cast), scheme="emotion", min_votes=min_votes)
    }
    assert set(golds) == {unit for unit, labels in cast.items() if len(labels) >= min_votes}
    for unit, gold in golds.items():
        counts = Counter(cast[unit])
        assert counts[gold.label] == max(counts.values())
        assert gold.distribution == pytest.approx(
            {label: count / len(cast[unit]) for label, count in counts.items()}
        )
        assert gold.num_votes == len(cast[unit])


def test_resolve_breaks_a_tie_by_name():
    resolved = resolve(ballots({"u": ["sad", "angry"]}), scheme="emotion")
    assert resolved[0].label == "angry"


def test_resolve_divides_the_vote_of_who_names_several_labels():
    cast = [
        Vote(utterance_id="u", annotator="ann", labels=("sad", "angry")),
        Vote(utterance_id="u", annotator="bob", labels=("angry",)),
    ]
    resolved = resolve(cast, scheme="emotion")
    assert resolved[0].distribution == pytest.approx({"angry": 0.75, "sad": 0.25})
    resolved = resolve(cast, scheme="emotion", ranked=True)
    assert resolved[0].distribution == pytest.approx({"angry": 2 / 3, "sad": 1 / 3})
    assert sum(weigh(cast[0], ranked=True).values()) == pytest.approx(1)


def test_collect_votes_takes_the_newest_of_each_person():
    votes = collect_votes(
        [
            annotation(1, "ann", "sad", minutes=5),
            annotation(1, "ann", "angry"),
            annotation(2, "bob", "sad"),
        ],
        scheme="emotion",
    )
    assert [(vote.annotator, vote.labels) for vote in votes] == [
        ("ann", ("sad",)),
        ("bob", ("sad",)),
    ]


def test_collect_votes_leaves_out_skips_deletions_and_other_schemes():
    given_votes = [
        annotation(1, "ann", "sad"),
        annotation(1, "ann", "sad", minutes=1, deleted=True),
        annotation(2, "bob", "sad", skipped=True),
    ]
    assert collect_votes(given_votes, scheme="emotion") == []
    votes = collect_votes([annotation(3, "cid", "sad")], scheme="intent")
    assert votes == []


@pytest.mark.corpus
def test_resolve_reproduces_the_cremad_crowd(corpora):
    with (corpora / "cremad_votes" / "tabulatedVotes.csv").open(encoding="utf-8") as file:
        voice_only = [
            row for row in csv.DictReader(file) if row[""].startswith("1") and len(row[""]) == 6
        ]
    cast = {}
    for row in voice_only:
        cast[row["fileName"]] = list("".join(label * int(row[label]) for label in "ADFHNS"))
    golds = resolve(ballots(cast), scheme="emotion")
    tied = {
        gold.utterance_id
        for gold in golds
        if list(gold.distribution.values()).count(max(gold.distribution.values())) > 1
    }
    as_acted = [
        gold
        for gold in golds
        if gold.utterance_id not in tied and gold.label == gold.utterance_id.split("_")[2][0]
    ]
    assert len(golds) == 7_442
    assert len(tied) == 644
    assert len(as_acted) / len(golds) == pytest.approx(0.416, abs=0.0005)
    assert krippendorff_alpha(ballots(cast)) == pytest.approx(0.281, abs=0.0005)
