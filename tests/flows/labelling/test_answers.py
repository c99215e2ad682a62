"""Which annotations count, what they settle on, and what a change of labels does to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from annotation.settle import Answers, require_no_orphans, settle
from flows.labelling.answers import read_answers
from flows.labelling.push import push_pending
from flows.place import FILE_NAME
from flows.settings import parse_settings
from flows.workspace import Workspace, open_workspace
from voxdata.check import CheckClip
from voxdata.errors import AnnotationError, ConfigError
from voxdata.label import Annotation
from voxdata.scheme import Scheme, SchemeLabel
from warehouse.annotations import add_annotations
from warehouse.checks import add_checks
from warehouse.pushes import note_project

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EMOTION = Scheme(
    name="emotion",
    version=1,
    choice="ranked",
    labels=tuple(SchemeLabel(name=n) for n in ("angry", "sad", "calm")),
)
SETTINGS = """
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[[schemes]]
name = "intent"
version = {version}
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{labels}]
{changes}
[training]
schemes = []
"""


def said(
    number: int,
    person: str,
    *labels: str,
    key: str = "u",
    project: int = 1,
    scheme: str = "emotion",
) -> Annotation:
    return Annotation(
        annotation_id=number,
        project_id=project,
        utterance_id=key,
        annotator=person,
        labels={scheme: labels},
        updated_at=NOON + timedelta(seconds=number),
        scheme_versions={scheme: 1},
    )


def make(
    root: Path,
    *,
    version: int,
    labels: str,
    changes: str = "",
) -> Workspace:
    named = ", ".join(f'{{ name = "{label}" }}' for label in labels.split())
    settings_file = root / FILE_NAME
    settings_file.write_text(
        SETTINGS.format(
            version=version,
            labels=named,
            changes=changes,
        )
    )
    return open_workspace(root)


def test_settle_weighs_a_second_choice_less_and_keeps_the_shares() -> None:
    answers = Answers(
        labels=(said(1, "ann", "sad", "angry"), said(2, "bob", "angry")),
        checks=(),
        decisions=(),
    )
    gold = settle(answers, EMOTION).gold["u"]
    assert gold.label == "angry"
    assert gold.distribution == pytest.approx({"angry": 2 / 3, "sad": 1 / 3})
    assert gold.num_votes == 2
    assert gold.posterior == {}


def test_settle_keeps_posterior_beside_shares_when_skill_is_inferred() -> None:
    votes = []
    for i in range(12):
        label = ("sad", "calm")[i % 2]
        votes += [said(10 * i + p, f"p{p}", label, key=f"u{i}") for p in range(2)]
        votes.append(said(10 * i + 2, "p2", "angry", key=f"u{i}"))
    gold = settle(
        Answers(labels=tuple(votes), checks=(), decisions=()), EMOTION, method="dawid_skene"
    ).gold["u0"]
    assert gold.label == "sad"
    assert sum(gold.posterior.values()) == pytest.approx(1, abs=1e-5)
    assert gold.distribution == pytest.approx({"angry": 1 / 3, "sad": 2 / 3})


def test_settle_lets_a_decision_go_before_the_votes() -> None:
    votes = tuple(said(n, f"p{n}", "angry") for n in range(3))
    settled = settle(
        Answers(
            labels=votes,
            checks=(),
            decisions=(said(9, "expert", "calm", project=2),),
        ),
        EMOTION,
        min_votes=2,
    )
    assert settled.gold["u"].label == "calm"
    assert settled.gold["u"].standing == "decided"
    assert settled.gold["u"].num_votes == 3
    alone = settle(
        Answers(
            labels=(),
            checks=(),
            decisions=(said(9, "expert", "calm"),),
        ),
        EMOTION,
        min_votes=2,
    )
    assert alone.gold["u"].label == "calm"


def test_read_answers_tells_work_from_checks_and_decisions(tmp_path: Path) -> None:
    workspace = make(tmp_path, version=1, labels="ask tell")
    with workspace.warehouse() as con:
        note_project(
            con,
            server_id=1,
            made_at="m",
            purpose="label",
            title="t",
            run_id="t",
        )
        note_project(
            con,
            server_id=2,
            made_at="m",
            purpose="adjudicate",
            title="t",
            run_id="t",
        )
        add_checks(
            con,
            [CheckClip(key="k", utterance_id="u", purpose="gold", shift_ms=80)],
            run_id="t",
        )
        rows = [
            said(1, "a", "ask", scheme="intent"),
            said(2, "a", "ask", key="k", scheme="intent"),
            said(3, "x", "tell", project=2, scheme="intent"),
        ]
        add_annotations(
            con,
            [*rows, replace(rows[0], annotation_id=4, deleted=True)],
            run_id="t",
        )
        answers = read_answers(con, workspace.histories)
    assert [a.annotation_id for a in answers.labels] == [1]
    assert [a.annotation_id for a in answers.checks] == [2]
    assert [a.annotation_id for a in answers.decisions] == [3]


def test_a_label_in_use_does_not_vanish_without_a_word(tmp_path: Path) -> None:
    workspace = make(tmp_path, version=1, labels="ask tell refund")
    with workspace.warehouse() as con:
        add_annotations(
            con,
            [said(n, f"p{n}", "refund", scheme="intent") for n in range(3)],
            run_id="t",
        )
    shrunk = make(tmp_path, version=1, labels="ask tell")
    with shrunk.warehouse() as con:
        answers = read_answers(con, shrunk.histories)
    assert [dict(a.labels) for a in answers.labels] == [{}, {}, {}]
    with pytest.raises(
        AnnotationError, match=r"3 annotations name 'refund'.*\[\[schemes.changes\]\]"
    ):
        require_no_orphans(answers.orphans)
    with pytest.raises(AnnotationError, match="refund"):
        push_pending(shrunk, say=lambda line: None)
    renamed = make(
        tmp_path,
        version=2,
        labels="ask tell money",
        changes='changes = [{ to_version = 2, rename = { refund = "money" } }]',
    )
    with renamed.warehouse() as con:
        answers = read_answers(con, renamed.histories)
    assert [dict(a.labels) for a in answers.labels] == [{"intent": ("money",)}] * 3
    require_no_orphans(answers.orphans)


def test_settings_refuse_a_change_that_leads_nowhere(tmp_path: Path) -> None:
    text = SETTINGS.format(
        version=2,
        labels='{ name = "a" }, { name = "b" }',
        changes='changes = [{ to_version = 2, rename = { c = "d" } }]',
    )
    with pytest.raises(ConfigError, match="leads from 'c' to d"):
        parse_settings(text, origin="voxdata.toml")
