"""Check clips: which are drawn, how they leave, what they tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from annotation.checks import disguise, draw_checks, score_checks
from annotation.settle import Answers, settle_all
from voxdata.check import CheckClip
from voxdata.label import Annotation
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing import make_utterance

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
INTENT = Scheme(
    name="intent",
    version=1,
    labels=(SchemeLabel(name="ask"), SchemeLabel(name="tell")),
)
UTTERANCES = [make_utterance(1_000 * i, 1_000 * i + 800) for i in range(1, 9)]
DURATIONS = {UTTERANCES[0].recording_id: 10_000}


def said(number: int, person: str, label: str, key: str) -> Annotation:
    return Annotation(
        annotation_id=number,
        project_id=1,
        utterance_id=key,
        annotator=person,
        labels={"intent": (label,)},
        updated_at=NOON + timedelta(seconds=number),
    )


def work() -> Answers:
    """Three agree on the first utterance, two disagree on the second, one heard the third."""
    keys = [u.utterance_id for u in UTTERANCES]
    rows = [said(n, f"p{n}", "ask", keys[0]) for n in range(3)]
    rows += [
        said(10, "p0", "ask", keys[1]),
        said(11, "p1", "tell", keys[1]),
        said(12, "p0", "tell", keys[2]),
    ]
    return Answers(
        labels=tuple(rows),
        checks=(),
        decisions=(),
    )


def test_draw_checks_prefers_what_is_known_and_the_least_used() -> None:
    settled = settle_all(work(), [INTENT])
    first = draw_checks(
        settled,
        UTTERANCES,
        DURATIONS,
        known={},
        new=10,
        share=0.1,
    )
    assert [(c.utterance_id, c.purpose) for c in first] == [(UTTERANCES[0].utterance_id, "gold")]
    drawn = draw_checks(
        settled,
        UTTERANCES,
        DURATIONS,
        known={},
        new=10,
        share=0.1,
    )
    assert drawn == first
    again = draw_checks(
        settled,
        UTTERANCES,
        DURATIONS,
        known={c.key: c for c in first},
        new=10,
        share=0.1,
    )
    assert again[0].key != first[0].key
    several = draw_checks(
        settled,
        UTTERANCES,
        DURATIONS,
        known={},
        new=30,
        share=0.1,
    )
    purposes = [c.purpose for c in several]
    assert purposes == ["gold", "retest", "retest"]
    drawn = draw_checks(
        settled,
        UTTERANCES,
        DURATIONS,
        known={},
        new=0,
        share=0.1,
    )
    assert drawn == []


def test_disguise_moves_the_edges_inside_the_recording_and_gives_another_key() -> None:
    (check,) = draw_checks(
        settle_all(work(), [INTENT]),
        UTTERANCES,
        DURATIONS,
        known={},
        new=1,
        share=0.1,
    )
    assert 60 <= abs(check.shift_ms) <= 150
    twin = disguise(
        UTTERANCES[0],
        shift_ms=check.shift_ms,
        num_ms=10_000,
    )
    assert twin.utterance_id == check.key != UTTERANCES[0].utterance_id
    edge = disguise(
        make_utterance(0, 500),
        shift_ms=-100,
        num_ms=450,
    )
    assert edge.segment.start_ms == 0
    assert edge.segment.end_ms == 400


def test_score_checks_counts_right_answers_and_repeated_ones() -> None:
    keys = [u.utterance_id for u in UTTERANCES]
    checks = {
        "g": CheckClip(
            key="g",
            utterance_id=keys[0],
            purpose="gold",
            shift_ms=80,
        ),
        "r": CheckClip(
            key="r",
            utterance_id=keys[2],
            purpose="retest",
            shift_ms=80,
        ),
    }
    done = (
        said(20, "p0", "ask", "g"),
        said(21, "new", "tell", "g"),
        said(22, "p0", "ask", "r"),
    )
    base = work()
    answers = Answers(
        labels=base.labels,
        checks=done,
        decisions=(),
    )
    scores = {
        (s.annotator, s.purpose): (s.clips, s.right)
        for s in score_checks(answers, settle_all(answers, [INTENT]), checks)
    }
    assert scores == {
        ("new", "gold"): (1, 0),
        ("p0", "retest"): (2, 1),
    }
