"""Answers in sets say what answers one by one say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.settle import decide, settle, settle_votes
from flows.labelling.answers import read_answers
from voxdata.agreement import Vote, collect_votes
from voxdata.check import CheckClip
from voxdata.label import Annotation
from voxdata.reliability import krippendorff_alpha
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.scheme_history import SchemeChange, SchemeHistory
from warehouse.annotations import add_annotations
from warehouse.answers import Ballots, open_answers
from warehouse.checks import add_checks
from warehouse.connection import open_warehouse
from warehouse.pushes import note_project
from warehouse.rows import read_rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
INTENT = Scheme(
    name="intent",
    title="Intent",
    version=2,
    choice="ranked",
    labels=tuple(SchemeLabel(name=name, description=name) for name in ("ask", "tell", "money")),
)
HISTORY = SchemeHistory(
    scheme=INTENT,
    changes=(
        SchemeChange(to_version=2, rename={"refund": "money"}, split={"both": ("ask", "tell")}),
    ),
)
HISTORIES = {"intent": HISTORY}

answers = st.lists(
    st.builds(
        dict,
        utterance=st.sampled_from(["u1", "u2", "u3", "check"]),
        annotator=st.sampled_from(["a", "b", "\x1e\x1f:1 2", "丁"]),
        project=st.sampled_from([1, 2]),
        labels=st.lists(
            st.sampled_from(["ask", "tell", "money", "refund", "both", "orphan"]),
            unique=True,
            max_size=2,
        ),
        version=st.sampled_from([1, 2]),
        minute=st.integers(0, 3),
        skipped=st.booleans(),
        deleted=st.sampled_from([False, False, False, True]),
    ),
    max_size=14,
)


def annotation(number: int, said: dict) -> Annotation:
    labels = {} if said["skipped"] or not said["labels"] else {"intent": tuple(said["labels"])}
    return Annotation(
        annotation_id=number,
        project_id=said["project"],
        utterance_id=said["utterance"],
        annotator=said["annotator"],
        labels=labels,
        skipped=said["skipped"],
        deleted=said["deleted"],
        scheme_versions={"intent": said["version"]},
        updated_at=NOON + timedelta(minutes=said["minute"]),
    )


def votes_of(ballots: Ballots, ballot_of: dict[str, str]) -> list[Vote]:
    """The votes about each utterance, as they would be without ballots."""
    return [
        Vote(
            utterance_id=utterance_id,
            annotator=vote.annotator,
            labels=vote.labels,
        )
        for utterance_id, ballot in sorted(ballot_of.items())
        for vote in ballots.votes
        if vote.utterance_id == ballot
    ]


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_answers=answers, alike=st.booleans())
def test_answers_in_sets_are_the_answers_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    given_answers: list[dict],
    alike: bool,
) -> None:
    path: Path = tmp_path_factory.mktemp("answers") / "w.duckdb"
    with open_warehouse(path) as con:
        for number, purpose in ((1, "label"), (2, "adjudicate")):
            note_project(
                con,
                server_id=number,
                made_at=purpose,
                purpose=purpose,
                title="t",
                run_id="t",
            )
        check = CheckClip(
            key="check",
            utterance_id="u1",
            purpose="known",
            shift_ms=0,
        )
        add_checks(con, [check], run_id="t")
        rows = [annotation(number, said) for number, said in enumerate(given_answers)]
        add_annotations(con, rows, run_id="t")
        one_by_one = read_answers(con, HISTORIES)
        expected_votes = collect_votes(one_by_one.labels, scheme="intent")
        expected = settle(one_by_one, INTENT)
        with open_answers(con, HISTORIES) as standing:
            ballots = standing.cast_ballots("intent", alike=alike)
            decisions = standing.list_decisions("intent")
            cast = read_rows(con, f"select utterance_id, ballot from {ballots.table}")
            counts, orphans = standing.counts, standing.orphans
            voters = standing.list_voters()

    ballot_of = {str(row["utterance_id"]): str(row["ballot"]) for row in cast}
    assert votes_of(ballots, ballot_of) == expected_votes
    assert decisions == collect_votes(one_by_one.decisions, scheme="intent")
    assert orphans == one_by_one.orphans
    assert voters == {a.annotator for a in (*one_by_one.labels, *one_by_one.decisions)}
    assert (counts.labels, counts.checks, counts.decisions) == (
        len(one_by_one.labels),
        len(one_by_one.checks),
        len(one_by_one.decisions),
    )

    settled = settle_votes(ballots.votes, INTENT, times=ballots.times)
    by_vote = {utterance_id: settled.gold[ballot] for utterance_id, ballot in ballot_of.items()}
    gold = decide(by_vote, decisions, INTENT)
    assert {key: (g.label, g.distribution, g.num_votes, g.standing) for key, g in gold.items()} == {
        key: (g.label, g.distribution, g.num_votes, g.standing) for key, g in expected.gold.items()
    }
    alpha = krippendorff_alpha(ballots.votes, times=ballots.times)
    assert alpha == pytest.approx(krippendorff_alpha(expected_votes))
