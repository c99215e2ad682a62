"""Commands that bring clips to people, and their answers back."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.console import Json, open_here, run_named, show_result


def push(
    ctx: typer.Context,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Time each annotator has, such as 45min: push what fits.")] = "",
    annotators: Annotated[int, typer.Option("--annotators", min=1, help="How many have that time.")] = 1,
    as_json: Json = False,
) -> None:
    """Put clips with their proposals into Label Studio, each once, the most useful first."""
    summary = run_named(open_here(ctx), "push", budget, annotators)
    show_result("push", summary, as_json=as_json)


def pull(ctx: typer.Context, as_json: Json = False) -> None:
    """Bring annotations from Label Studio into the warehouse."""
    summary = run_named(open_here(ctx), "pull")
    show_result("pull", summary, as_json=as_json)
