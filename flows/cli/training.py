"""Commands about models: train one on a version, list what was trained."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.console import Json, open_here, show_result, tell


def train(
    ctx: typer.Context,
    scheme: Annotated[
        str, typer.Argument(metavar="TASK", help="The scheme to learn: intent or emotion.")
    ],
    version: Annotated[
        str, typer.Option("--version", help="A version: name, name@2 or the start of its id.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Train again though this was trained before.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune on a dataset version and judge the model against the one before."""
    workspace = open_here(ctx)
    from flows.pages.views import exact_run_row, run_row
    from flows.retrain.finetune import train_version

    runs = train_version(workspace, [scheme], version, force=force, say=tell)
    rows = [run_row(run) for run in runs]
    then = "[training] schemes in voxdata.toml names what is trained"
    exact = [exact_run_row(run) for run in runs]
    show_result("train", rows, as_json=as_json, then=then, exact=exact)


Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]


def models(
    ctx: typer.Context,
    promotions: Annotated[
        bool,
        typer.Option("--promotions", help="List who promoted and demoted what, when and why."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List training runs with their figures before and after, and which model is in use."""
    from flows.pages.views import exact_run_row, model_rows, promotion_row
    from warehouse.promotions import list_promotions
    from warehouse.runs import list_training_runs

    workspace = open_here(ctx)
    with workspace.warehouse(read_only=True) as con:
        runs = list_training_runs(con)
        decisions = list_promotions(con)
    if promotions:
        history = [promotion_row(decision) for decision in decisions]
        show_result("promotions", history, as_json=as_json, then="no model was promoted so far")
        return
    rows = model_rows(runs, decisions)
    exact = [{**row, **exact_run_row(run)} for row, run in zip(rows, runs, strict=True)]
    show_result(
        "models",
        rows,
        exact=exact,
        as_json=as_json,
        then=(
            "`voxdata train TASK --version VERSION` trains one, "
            "and a release does by itself while `voxdata up` runs"
        ),
    )


def promote(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A training run: see `models`.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Put the model of a training run to use, whatever the judge said."""
    from flows.pages.views import promotion_row
    from flows.retrain.promote import promote_run

    promotion = promote_run(open_here(ctx), run, reason=reason, say=tell)
    show_result("promote", promotion_row(promotion), as_json=as_json)


def demote(
    ctx: typer.Context,
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="A scheme, such as intent, or transcribe.")
    ],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Take the model of a scheme or role out of use: the cold start serves again."""
    from flows.pages.views import promotion_row
    from flows.retrain.promote import demote_role

    promotion = demote_role(open_here(ctx), role, reason=reason, say=tell)
    show_result("demote", promotion_row(promotion), as_json=as_json)
