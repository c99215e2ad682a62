"""Commands that bring clips to people, and their answers back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    Json,
    Row,
    open_here,
    run_named,
    show_json,
    show_result,
    show_rows,
    tell,
)

if TYPE_CHECKING:
    from flows.labelling.push_preview import PushPreview


TimeEach = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time each annotator has, such as 45min: push what fits.",
    ),
]
HowMany = Annotated[int, typer.Option("--annotators", min=1, help="How many have that time.")]
PlanOnly = Annotated[
    bool,
    typer.Option("--plan", help="Show what would go out and what would not; push nothing."),
]


def push(
    ctx: typer.Context,
    budget: TimeEach = "",
    annotators: HowMany = 1,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Put clips with their proposals into Label Studio, each once, the most useful first."""
    workspace = open_here(ctx)
    if not plan:
        summary = run_named(workspace, "push", budget, annotators)
        show_result("push", summary, as_json=as_json)
        return
    from flows.labelling.choose import read_budget
    from flows.labelling.push_preview import preview_push

    preview = preview_push(workspace, budget=read_budget(budget, annotators), say=tell)
    if as_json:
        show_json(preview.as_row())
        return
    _show_preview(preview)


def _show_preview(preview: PushPreview) -> None:
    from flows.labelling.push_preview import FIRST_SHOWN

    clips, held_back = preview.clip_rows(), preview.held_rows()
    if clips:
        show_rows("goes out", clips[:FIRST_SHOWN])
    if len(clips) > FIRST_SHOWN:
        tell(f"push: the first {FIRST_SHOWN} of {len(clips)}; --json lists all")
    if held_back:
        show_rows("stays", [_without_ids(row) for row in held_back])
    show_result("minutes", preview.count_rows(), as_json=False, then="run `voxdata prelabel`")


def _without_ids(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "utterance_ids"}


def pull(ctx: typer.Context, as_json: Json = False) -> None:
    """Bring annotations from Label Studio into the warehouse."""
    summary = run_named(open_here(ctx), "pull")
    show_result("pull", summary, as_json=as_json)
