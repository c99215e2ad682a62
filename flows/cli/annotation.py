"""The commands under `voxdata annotation`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Json, open_here, show_json, show_line, show_result, show_rows, tell
from voxdata.counted import counted

if TYPE_CHECKING:
    from annotation.quality import Skill

annotation_app = typer.Typer(
    rich_markup_mode=None,
    help="Prove, rebuild and judge what people labelled.",
    no_args_is_help=True,
)


@annotation_app.command()
def verify(ctx: typer.Context, as_json: Json = False) -> None:
    """Prove that Label Studio and the warehouse agree, or list every difference. Exit code 1 when
    there is one.
    """
    from flows.labelling.reconcile import verify_annotations

    proof = verify_annotations(open_here(ctx), say=tell)
    if as_json:
        show_json({**asdict(proof), "unexplained": proof.unexplained})
    else:
        if proof.differences:
            show_rows("differences", [asdict(difference) for difference in proof.differences])
        if proof.broken:
            show_rows("ledger", [{"broken": line} for line in proof.broken])
        if proof.oddities:
            show_rows("to look at", list(proof.oddities))
        show_line(
            f"{counted(proof.clips, 'clip')}, {counted(proof.annotations, 'annotation')}, "
            f"{proof.unexplained} unexplained"
            + (f", {len(proof.oddities)} to look at" if proof.oddities else "")
        )
    if proof.unexplained:
        raise typer.Exit(1)


@annotation_app.command()
def rebuild(
    ctx: typer.Context,
    vanished: Annotated[
        bool,
        typer.Option(
            "--vanished", help="Also bring back annotations that were deleted in Label Studio."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Restore a lost Label Studio project from the warehouse: clips, and annotations in their
    makers' names.
    """
    workspace = open_here(ctx)
    from flows.labelling.rebuild import rebuild_project

    summary = asdict(rebuild_project(workspace, vanished=vanished, say=tell))
    show_result("rebuild", summary, as_json=as_json)


@annotation_app.command()
def history(
    ctx: typer.Context,
    utterance: Annotated[str, typer.Argument(help="An utterance's id.")],
    as_json: Json = False,
) -> None:
    """Show every revision of every annotation of one clip: who, when, how long, and what differs
    from the proposal.
    """
    from flows.labelling.history import revision_rows

    rows = revision_rows(open_here(ctx), utterance)
    then = "nobody has answered; `voxdata push`, then `voxdata pull`"
    show_result(f"history of {utterance}", rows, as_json=as_json, then=then)


@annotation_app.command()
def adjudicate(
    ctx: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="List the clips; push nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Give experts the clips that people do not agree about, with the rival answers under
    pseudonyms.
    """
    workspace = open_here(ctx)
    from annotation.settle import settle_all
    from flows.labelling.adjudicate import find_contested, push_cases
    from flows.labelling.answers import read_answers

    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
    cases = find_contested(answers, settle_all(answers, workspace.schemes, method="dawid_skene"))
    rows = [asdict(case) for case in cases]
    if cases and not plan:
        push_cases(workspace, cases, say=tell)
    then = "people agree, or too few have answered; `voxdata pull` brings answers"
    show_result("contested clips", rows, as_json=as_json, then=then)


@annotation_app.command()
def doubts(
    ctx: typer.Context,
    scheme: Annotated[str, typer.Argument(help="The scheme whose labels are looked at.")],
    version: Annotated[
        str,
        typer.Option("--version", help="A dataset version: name, name@2 or the start of its id."),
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="How many labels to list.")] = 50,
    push: Annotated[
        bool, typer.Option("--push", help="Give them to experts in the adjudication project.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List labels that are probably wrong, worst first: models of other voices would not have given
    them.
    """
    workspace = open_here(ctx)
    from flows.labelling.adjudicate import Case, find_doubts, push_cases

    doubtful = find_doubts(workspace, scheme=scheme, version=version, count=count, say=tell)
    if push and doubtful:
        cases = [
            Case(
                utterance_id=d.utterance_id,
                why=f"{scheme}: {d.given}, models give {d.suggested}",
                urgency=1 - d.quality,
            )
            for d in doubtful
        ]
        push_cases(workspace, cases, say=tell)
    rows = [asdict(doubt) for doubt in doubtful]
    then = "models of other voices would have given every label that they could judge"
    show_result(f"doubtful labels of {scheme}", rows, as_json=as_json, then=then)


@annotation_app.command()
def checks(ctx: typer.Context, as_json: Json = False) -> None:
    """Show how each person did on clips whose answer is known, and how often each gives the same
    answer again.
    """
    from annotation.checks import score_checks
    from annotation.settle import settle_all
    from flows.labelling.answers import read_answers
    from warehouse.checks import list_checks

    workspace = open_here(ctx)
    with workspace.warehouse() as con:
        answers, check_clips = read_answers(con, workspace.histories), list_checks(con)
    rows = [
        asdict(score)
        for score in score_checks(answers, settle_all(answers, workspace.schemes), check_clips)
    ]
    show_result(
        "check clips", rows, as_json=as_json, then="[annotation] check_share gives some out"
    )


@annotation_app.command()
def report(
    ctx: typer.Context,
    pseudonyms: Annotated[
        bool, typer.Option("--pseudonyms", help='Call people "Annotator 1", "Annotator 2".')
    ] = False,
) -> None:
    """Write one HTML page, in pictures: progress, agreement, people, anchoring, cost, forecast.
    Prints its path.
    """
    from flows.pages.annotation_report import write_annotation_report

    show_line(write_annotation_report(open_here(ctx), pseudonyms=pseudonyms))


@annotation_app.command()
def people(
    ctx: typer.Context,
    person: Annotated[
        str | None, typer.Argument(help="A login name: only that person's own view.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how often each person answers as most of the others do, label by label, with intervals;
    nobody's own vote judges them.
    """
    from annotation.quality import judge_people
    from annotation.settle import settle_all
    from flows.labelling.answers import read_answers

    workspace = open_here(ctx)
    with workspace.warehouse() as con:
        settled = settle_all(read_answers(con, workspace.histories), workspace.schemes)
    rows: list[dict[str, object]] = []
    for scheme, state in settled.items():
        rows += [
            _skill_row(scheme, skill)
            for skill in judge_people(state.votes)
            if person in {None, skill.annotator}
        ]
    show_result(
        "people",
        rows,
        as_json=as_json,
        then="nobody has answered yet; `voxdata push`, then `voxdata pull`",
    )


def _skill_row(scheme: str, skill: Skill) -> dict[str, object]:
    return {
        "annotator": skill.annotator,
        "scheme": scheme,
        "label": skill.label or "all",
        "clips": skill.clips,
        "right": skill.right,
        "share": skill.right / skill.clips,
        "low": skill.low,
        "high": skill.high,
        "weak": "yes" if skill.weak else "",
    }
