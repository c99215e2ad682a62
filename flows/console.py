"""What every command does alike: find the workspace, run a flow, print. Status goes to stderr, data to stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.settings import DEMO_DIR, find_workspace
from flows.shown import shown_number

if TYPE_CHECKING:
    from flows.workspace import Workspace

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
AudioRoot = Annotated[
    Path | None,
    typer.Option("--audio-root", metavar="FOLDER", help="What audio paths in a table are relative to; else its folder."),
]
Rename = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="OLD=NEW", help="Take a label for another, such as ON=on; may be repeated."),
]
Anywhere = Annotated[bool, typer.Option("--anywhere", help="Let a table name files outside its folder and the audio root.")]


def open_here(ctx: typer.Context) -> Workspace:
    """The workspace that --dir names, or the one around the current folder."""
    from flows.run import connect_prefect
    from flows.workspace import open_workspace

    root = find_workspace(Path.cwd(), explicit=ctx.obj)
    if ctx.obj is None and root == (Path.cwd() / DEMO_DIR).resolve():
        tell(f"workspace: {DEMO_DIR} (the demo's; choose another with --dir)")
    workspace = open_workspace(root)
    # Before anything imports Prefect, which settles for good which server it talks to.
    connect_prefect(workspace)
    return workspace


def run_named(workspace: Workspace, name: str, *args: Any) -> Any:
    """Run a flow by its name, on Prefect when that is up."""
    from flows.run import run_flow

    return run_flow(workspace, name, *args, say=tell)


def tell(line: str) -> None:
    """One line of status."""
    print(line, file=sys.stderr, flush=True)


def show_json(value: object) -> None:
    """Data for programs."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def show_rows(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Data for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ["nothing"]:
        table.add_column(name, overflow="fold")
    for row in rows:
        # As text: a file name or a transcript may look like markup.
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return shown_number(value) if isinstance(value, float) else str(value)
