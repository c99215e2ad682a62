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


def models(ctx: typer.Context, as_json: Json = False) -> None:
    """List training runs with their figures before and after, and which model is promoted."""
    from flows.pages.views import exact_run_row, run_row
    from warehouse.runs import list_training_runs, promoted_run

    workspace = open_here(ctx)
    with workspace.warehouse(read_only=True) as con:
        runs = list_training_runs(con)
        promoted = [promoted_run(con, scheme.name) for scheme in workspace.schemes]
    in_use = {run.training_id: "yes" for run in promoted if run is not None}
    rows = [{**run_row(run), "in use": in_use.get(run.training_id, "")} for run in runs]
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
