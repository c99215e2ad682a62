"""The commands under `voxdata annotation`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from flows.console import Json, open_here, show_json, show_rows, tell

annotation_app = typer.Typer(help="Prove, rebuild and judge what people labelled.", no_args_is_help=True)


@annotation_app.command()
def verify(ctx: typer.Context, as_json: Json = False) -> None:
    """Prove that Label Studio and the warehouse say the same; list every difference. Exit code 1 when there is one."""
    from flows.reconcile import verify_annotations

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
        typer.echo(
            f"{proof.clips} clips, {proof.annotations} annotations, {proof.unexplained} unexplained"
            + (f", {len(proof.oddities)} to look at" if proof.oddities else "")
        )
    if proof.unexplained:
        raise typer.Exit(1)


@annotation_app.command()
def rebuild(
    ctx: typer.Context,
    vanished: Annotated[bool, typer.Option("--vanished", help="Also bring back annotations that were deleted in Label Studio.")] = False,
    as_json: Json = False,
) -> None:
    """Write a lost Label Studio project again from the warehouse: clips, and annotations in their makers' names."""
    from flows.rebuild import rebuild_project

    summary = asdict(rebuild_project(open_here(ctx), vanished=vanished, say=tell))
    show_json(summary) if as_json else show_rows("rebuild", [summary])


@annotation_app.command()
def history(ctx: typer.Context, utterance: Annotated[str, typer.Argument(help="An utterance's id.")], as_json: Json = False) -> None:
    """Show every revision of every annotation of one clip: who, when, how long, and what differs from the proposal."""
    from flows.history import revision_rows

    rows = revision_rows(open_here(ctx), utterance)
    show_json(rows) if as_json else show_rows(f"history of {utterance}", rows)
