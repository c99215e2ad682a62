"""The annotation report on a workspace whose annotators are simulated with known skill."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.annotation_workspace import make_workspace
from flows.models import build_labelers
from flows.pages.annotation_figures import (
    AnnotationContent,
    agreement_rows,
    between_annotators,
    cost_rows,
    forecast_rows,
    gain_of,
    heard_answers,
    skill_dots,
    speed_ranges,
    why_no_effect,
)
from flows.pages.annotation_report import (
    read_annotation_content,
    render_annotation_report,
    write_annotation_report,
)
from flows.pages.report import write_report
from flows.workspace import Workspace
from tests.flows.results import make_result, make_scores
from training.result import encode_result
from voxdata.label import Annotation
from warehouse.annotations import add_annotations
from warehouse.pushes import PushedClip, note_project, record_pushes
from warehouse.runs import TrainingRun
from warehouse.utterances import list_utterances

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SKILLS = {"ann <b>@x": 0.97, "bob@x": 0.85, "careless@x": 0.4, "丁@x": 0.9}
LABELS = ("ask", "tell", "complain")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = make_workspace(
        tmp_path_factory.mktemp("w"),
        clips=120,
        name="calls",
    )
    rng = np.random.default_rng(0)
    with workspace.warehouse() as con:
        project = note_project(
            con,
            server_id=1,
            made_at="m",
            purpose="label",
            title="t",
            run_id="t",
        )
        keys = [u.utterance_id for u in list_utterances(con)]
        models = {scheme: labeler.model for scheme, labeler in build_labelers(workspace).items()}
        shown = " ".join(
            f"{scheme}:{model.name}@{model.key[:8]}" for scheme, model in sorted(models.items())
        )
        clips = [
            PushedClip(
                utterance_id=key,
                clip_digest="k",
                blind=i % 4 == 0,
                proposal=shown,
                arm="active" if i % 5 else "random",
            )
            for i, key in enumerate(keys)
        ]
        record_pushes(con, clips, project_id=project, run_id="t")
        rows = []
        for i, key in enumerate(keys[:100]):
            truth = LABELS[rng.integers(3)]
            for n, (person, skill) in enumerate(SKILLS.items()):
                others = [label for label in LABELS if label != truth]
                label = truth if rng.random() < skill else others[rng.integers(2)]
                rows.append(
                    Annotation(
                        annotation_id=10 * i + n,
                        project_id=project,
                        utterance_id=key,
                        annotator=person,
                        labels={"intent": (label,), "emotion": ("neutral",)},
                        lead_time_ms=4_000 + 1_000 * n,
                        updated_at=NOON + timedelta(minutes=30 * i + n),
                        author="eve@x" if i == 0 and n == 0 else "",
                        proposal="" if i % 4 == 0 else shown,
                    )
                )
        add_annotations(con, rows, run_id="t")
    return workspace


def test_report_figures_are_those_of_the_simulation(workspace: Workspace) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    assert len(content.pushed) == 120
    intent = agreement_rows(content)[0]
    assert intent["clips"] == 100
    assert intent["votes"] == 400
    assert 0.2 < float(str(intent["alpha"])) < 0.7
    dots = {
        name.split(" (")[0]: (low, share, high)
        for name, low, share, high in skill_dots(content, "intent")
    }
    assert dots["careless@x"][2] < dots["ann <b>@x"][0]
    rounded = {name.split(" (")[0]: round(value) for name, _, value, _ in speed_ranges(content)}
    assert rounded == {
        "ann <b>@x": 4,
        "bob@x": 5,
        "careless@x": 6,
        "丁@x": 7,
    }
    counts = np.array(between_annotators(content.settled["intent"], LABELS))
    assert counts.sum() == 100 * 4 * 3
    assert (counts == counts.T).all()
    heard = heard_answers(content, "intent")
    assert len(heard) == 400
    assert sum(answer.blind for answer in heard) == 100


def test_report_page_escapes_names_and_needs_nothing_from_outside(workspace: Workspace) -> None:
    page = render_annotation_report(
        read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    )
    assert "ann <b>@x" not in page
    assert "ann &lt;b&gt;@x" in page
    assert "丁@x" in page
    assert "written in the name of another" in page
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert "<script" not in page
    assert page.count("<svg") >= 6
    assert "simulated" not in page


def test_report_page_hides_people_behind_pseudonyms_and_says_who_is_simulated(
    workspace: Workspace,
) -> None:
    content = replace(
        read_annotation_content(workspace, created_at=NOON, pseudonyms=True),
        num_simulated=1,
    )
    page = render_annotation_report(content)
    assert not any(name in page for name in ("bob@x", "丁@x", "careless@x", "ann &lt;b&gt;"))
    assert "Annotator 4" in page
    assert "1 of the 4 annotators were simulated" in page


def test_report_of_an_empty_workspace_says_what_to_do(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, clips=1, name="calls")
    path = write_annotation_report(workspace, pseudonyms=False)
    page = path.read_text(encoding="utf-8")
    assert "No clip was given out yet" in page
    assert "blind_share" in page
    assert path.stat().st_mode & 0o077 == 0


def test_gain_of_follows_past_trainings_and_says_when_they_are_too_few() -> None:
    def run(size: int, uar: float) -> TrainingRun:
        scores = make_scores(uar=uar)
        result = make_result(after=scores, counts={"train": size})
        return TrainingRun(
            training_id=f"t{size}",
            scheme="intent",
            role="label:intent",
            version_id="v",
            config_key="c",
            state="done",
            model_key="m",
            model_name="n",
            checkpoint_dir="d",
            result=encode_result(result),
            promoted=False,
            reason="",
            seconds=1.0,
        )

    runs = [
        run(100, 0.6),
        run(200, 0.7),
        run(400, 0.78),
    ]
    assert "three trainings" in gain_of(runs[:2], "intent", 100)
    gain = float(gain_of(runs, "intent", 400).split(",")[0])
    assert 0.03 < gain < 0.1
    assert gain_of(runs, "emotion", 100).startswith("needs")


def test_heard_answers_leave_out_clips_on_which_nothing_was_or_would_have_been_ticked(
    workspace: Workspace,
) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    emotion_only = {
        key: f"emotion:{clip.proposal.rpartition('emotion:')[2].split()[0]}"
        for key, clip in content.pushed.items()
    }
    unsure = replace(
        content,
        pushed={
            key: replace(clip, proposal=emotion_only[key]) for key, clip in content.pushed.items()
        },
        answers=replace(
            content.answers,
            labels=tuple(
                replace(a, proposal=a.proposal and emotion_only[a.utterance_id])
                for a in content.answers.labels
            ),
        ),
    )
    assert heard_answers(unsure, "intent") == []
    assert len(heard_answers(unsure, "emotion")) == len(heard_answers(content, "emotion")) == 400


@pytest.mark.parametrize(
    ("simulated", "expected"),
    [(0.05, 1), (None, 0)],
)
def test_report_calls_annotators_simulated_by_what_their_answers_carry(
    tmp_path: Path, simulated: float | None, expected: int
) -> None:
    workspace = make_workspace(tmp_path, clips=2, name="calls")
    with workspace.warehouse() as con:
        keys = [u.utterance_id for u in list_utterances(con)]
        annotation = Annotation(
            annotation_id=1,
            project_id=1,
            utterance_id=keys[0],
            annotator="annotator-1@voxdata.local",
            labels={"intent": ("ask",)},
            lead_time_ms=2_000,
            updated_at=NOON,
            simulated=simulated,
        )
        add_annotations(con, [annotation], run_id="t")
    assert (
        read_annotation_content(workspace, created_at=NOON, pseudonyms=False).num_simulated
        == expected
    )
    page = write_report(workspace).read_text(encoding="utf-8")
    assert ("SIMULATED, 5% errors" in page) is bool(expected)
    assert ("Some annotators were simulated" in page) is bool(expected)


def page_of(content: AnnotationContent) -> str:
    return render_annotation_report(content)


def test_report_does_not_say_that_nothing_was_heard_blind_when_only_the_comparison_is_missing(
    workspace: Workspace,
) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    all_blind = replace(
        content,
        pushed={key: replace(clip, blind=True) for key, clip in content.pushed.items()},
    )
    blind_only = replace(
        all_blind,
        answers=replace(
            content.answers,
            labels=tuple(replace(a, proposal="") for a in content.answers.labels),
        ),
    )
    assert "none with a ticked proposal yet" in why_no_effect(blind_only)
    assert (
        "No clip was"
        not in page_of(blind_only).partition("Do proposals sway people?")[2].partition("<h2>")[0]
    )


def test_why_no_effect_tells_blind_clips_that_nobody_answered_from_none_at_all(
    workspace: Workspace,
) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    silent = replace(content, answers=replace(content.answers, labels=()))
    assert (
        why_no_effect(silent) == "30 clips were given out blind, and nobody has answered any yet."
    )
    seeing = replace(
        content,
        pushed={key: replace(clip, blind=False) for key, clip in content.pushed.items()},
    )
    assert why_no_effect(seeing).startswith("No clip was given out blind yet.")


def test_forecast_rows_count_every_person_who_is_to_hear_a_clip(workspace: Workspace) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    shared = replace(
        content,
        pushed={key: replace(clip, votes_wanted=2) for key, clip in content.pushed.items()},
    )
    once, twice = (int(str(forecast_rows(each)[1]["figure"])) for each in (content, shared))
    assert twice == pytest.approx(once / 2, abs=1)
    assert "2 vote(s) each" in str(forecast_rows(shared)[1]["what"])


def test_cost_rows_leave_skips_out_of_the_seconds_an_answer(workspace: Workspace) -> None:
    content = read_annotation_content(workspace, created_at=NOON, pseudonyms=False)
    answer = replace(content.answers.labels[0], lead_time_ms=4_000)
    skip = replace(
        answer,
        annotation_id=999,
        skipped=True,
        labels={},
        lead_time_ms=60_000,
    )
    few = replace(content, answers=replace(content.answers, labels=(answer, skip)))
    figure = {row["what"]: row["figure"] for row in cost_rows(few)}
    assert figure["seconds an answer, skips left out"] == "4.0"
