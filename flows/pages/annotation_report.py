"""The annotation report: one HTML page on how the labelling goes, in pictures, without scripts or
anything to fetch.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annotation.anchoring import measure_anchoring
from annotation.settle import settle_all
from flows.labelling.answers import read_answers
from flows.labelling.choose import learn_lead_times
from flows.locks import copying
from flows.pages import annotation_figures as figures
from flows.pages import plots
from flows.pages.annotation_figures import AnnotationContent
from flows.pages.page import picture, render_page
from flows.say import tell
from flows.workspace import Workspace
from voxdata.label import Prediction
from voxdata.register import write_page
from voxdata.scheme import Scheme
from warehouse.annotations import find_oddities, list_simulated
from warehouse.checks import list_checks
from warehouse.labels import list_predictions, model_keys
from warehouse.pushes import PushedClip, first_pushed_at, list_projects, list_pushed
from warehouse.runs import list_training_runs
from warehouse.utterances import list_utterances


def write_annotation_report(workspace: Workspace, *, pseudonyms: bool) -> Path:
    """Write reports/annotation.html anew; only its owner may read it.

    Args:
        pseudonyms: Call people "Annotator 1", "Annotator 2".

    Returns:
        Its path.
    """
    path = workspace.reports_dir / "annotation.html"
    with copying(workspace, say=tell):
        content = read_annotation_content(
            workspace, created_at=datetime.now(UTC), pseudonyms=pseudonyms
        )
        write_page(path, render_annotation_report(content), register=workspace.written)
    return path


def read_annotation_content(
    workspace: Workspace, *, created_at: datetime, pseudonyms: bool
) -> AnnotationContent:
    """Read everything the page says, in one go."""
    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
        projects = [
            project.project_id for project in list_projects(con) if project.purpose == "label"
        ]
        checks = list_checks(con)
        pushed: dict[str, PushedClip] = {}
        given_out_at: list[datetime] = []
        for number in projects:
            pushed |= list_pushed(con, project_id=number)
            given_out_at += first_pushed_at(con, project_id=number)
        proposals: dict[tuple[str, str], Mapping[str, Prediction]] = {}
        for scheme in workspace.schemes:
            for key in model_keys(con, scheme=scheme.name):
                predictions = list_predictions(con, scheme=scheme.name, model_key=key)
                proposals[scheme.name, key[:8]] = predictions
        everybody = (*answers.labels, *answers.checks, *answers.decisions)
        names = figures.name_people(everybody, pseudonyms=pseudonyms)
        oddities = [
            {
                **row,
                "annotator": names.get(str(row["annotator"]), ""),
                "author": names.get(str(row["author"]), str(row["author"])),
            }
            for row in find_oddities(con)
        ]
        return AnnotationContent(
            title=workspace.settings.project.name,
            created_at=created_at,
            schemes=workspace.schemes,
            answers=answers,
            settled=settle_all(
                answers,
                workspace.schemes,
                method="dawid_skene",
                min_votes=workspace.settings.release.min_votes,
            ),
            utterances={u.utterance_id: u for u in list_utterances(con)},
            names=names,
            num_simulated=len(set(names) & list_simulated(con).keys()),
            pushed={key: clip for key, clip in pushed.items() if key not in checks},
            given_out_at=tuple(given_out_at),
            proposals=proposals,
            lead_times=learn_lead_times(con),
            votes_wanted=workspace.settings.annotation.votes_wanted,
            runs=tuple(list_training_runs(con)),
            oddities=tuple(oddities),
        )


def render_annotation_report(content: AnnotationContent) -> str:
    """The page. Everything that came from a person or a file is escaped."""
    lines = figures.progress(content)
    days = max((points[-1][0] for points in lines.values()), default=0.0)
    units = (
        ("days", 1.0, 2.0),
        ("hours", 24.0, 0.1),
        ("minutes", 1_440.0, 0.0015),
        ("seconds", 86_400.0, 0.0),
    )
    unit, scale = next((name, scale) for name, scale, least in units if days >= least)
    scaled: dict[str, list[tuple[float, float]]] = {}
    for name, points in lines.items():
        scaled[name] = [(x * scale, y) for x, y in points]
    ends = [0.0, days * scale / 2, days * scale]
    speed = figures.speed_ranges(content)
    return render_page(
        "annotation",
        content=content,
        progress=picture(
            plots.plot_lines(
                scaled,
                ticks=[(x, f"{x:.0f} {unit}") for x in ends],
                title="clips, answers",
                salt="progress",
            )
        )
        if scaled
        else "",
        agreement=figures.agreement_rows(content) if content.answers.labels else [],
        schemes=[
            _scheme_view(content, scheme, number) for number, scheme in enumerate(content.schemes)
        ],
        speed=picture(plots.plot_ranges(speed, unit="seconds a clip", salt="speed"))
        if speed
        else "",
        arms=figures.arm_rows(content),
        cost=figures.cost_rows(content) if content.answers.labels else [],
        forecast=figures.forecast_rows(content),
        why_no_effect=figures.why_no_effect(content),
        num_blind=sum(clip.blind for clip in content.pushed.values()),
        num_unticked=figures.num_unticked(content),
        oddities=list(content.oddities)[:100],
        num_oddities=len(content.oddities),
    )


def _scheme_view(content: AnnotationContent, scheme: Scheme, number: int) -> dict[str, Any]:
    state = content.settled[scheme.name]
    bars = [(label, alpha, None, plots.PALETTE[0]) for label, alpha in figures.alpha_bars(state)]
    by_day = figures.alpha_by_day(content, scheme.name)
    skill = [
        (name, share, (low, high), plots.PALETTE[2])
        for name, low, share, high in figures.skill_dots(content, scheme.name)
    ]
    counts = figures.between_annotators(state, scheme.label_names)
    effects = measure_anchoring(figures.heard_answers(content, scheme.name), draws=500)
    return {
        "name": scheme.name,
        "title": scheme.title or scheme.name,
        "alphas": picture(plots.plot_scores(bars, salt=f"alphas-{number}")) if bars else "",
        "by_day": picture(
            plots.plot_lines(
                {"alpha": [(float(i), alpha) for i, (_, alpha) in enumerate(by_day)]},
                ticks=[(float(i), day) for i, (day, _) in enumerate(by_day)],
                title="alpha",
                salt=f"days-{number}",
            )
        )
        if len(by_day) > 1
        else "",
        "confusion": picture(
            plots.plot_confusions(
                [("two people on one clip", counts)],
                labels=scheme.label_names,
                salt=f"between-{number}",
                rows="one says",
                columns="another says",
            )
        )
        if any(map(any, counts))
        else "",
        "skill": picture(plots.plot_scores(skill, salt=f"skill-{number}")) if skill else "",
        "without": figures.without_rows(content, scheme.name)
        if len({v.annotator for v in state.votes}) > 2
        else [],
        "effects": [
            {
                "figure": name,
                "shown": f"{e.shown:.2f}",
                "blind": f"{e.blind:.2f}",
                "difference": f"{e.difference:+.2f}",
                "95 % over calls": f"{e.low:+.2f} to {e.high:+.2f}",
            }
            for name, e in effects.items()
        ],
    }
