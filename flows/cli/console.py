"""What every command does alike: find the workspace, run a flow, print. Status goes to stderr, data
to stdout.

The one place that writes to the terminal: what a file is called, or somebody said, is shown with
everything that a terminal would act on as escapes.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from flows.pages.shown import shown_number
from flows.place import DEMO_DIR, find_workspace
from flows.say import end_progress
from flows.say import tell as tell
from voxdata.visible import visible, visible_json

if TYPE_CHECKING:
    from flows.workspace import Workspace

Row = dict[str, object]
NOTHING_NEXT: Mapping[str, str] = MappingProxyType({})
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
AudioRoot = Annotated[
    Path | None,
    typer.Option(
        "--audio-root",
        metavar="FOLDER",
        help=(
            "The folder that audio paths in a table are relative to; by default the table's folder."
        ),
    ),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="OLD=NEW",
        help="Replace one label by another, such as ON=on; may be repeated.",
    ),
]
ForExcel = Annotated[
    bool,
    typer.Option(
        "--for-excel",
        help="Make a CSV safe to open in a spreadsheet: no text in it becomes a formula.",
    ),
]
Anywhere = Annotated[
    bool,
    typer.Option(
        "--anywhere", help="Let a table name files outside its folder and the audio root."
    ),
]


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


def show_result(
    title: str,
    data: Sequence[Row] | Row,
    *,
    as_json: bool,
    then: str = "",
    exact: object = None,
) -> None:
    """What a command found: a table for people, or all of it for programs.

    Args:
        data: Rows; or one row, such as a summary.
        then: What to do next when there are no rows.
        exact: What programs get; by default the rows.
    """
    if as_json:
        show_json(data if exact is None else exact)
        return
    show_rows(title, [data] if isinstance(data, dict) else data, then=then)


def show_tables(
    tables: Mapping[str, Sequence[Row]],
    *,
    exact: object,
    as_json: bool,
    then: Mapping[str, str] = NOTHING_NEXT,
) -> None:
    """What a command found: several tables for people, or all of it for programs.

    Args:
        tables: Title -> rows.
        exact: What programs get.
        then: Title -> what to do next when there are no rows.
    """
    if as_json:
        show_json(exact)
        return
    for title, rows in tables.items():
        show_rows(title, rows, then=then.get(title, ""))


def field_rows(fields: Mapping[str, object]) -> list[Row]:
    """Values by name as rows of a table."""
    return [{"what": name, "value": value} for name, value in fields.items()]


def show_json(value: object) -> None:
    """Data for programs: exact, whatever it holds."""
    end_progress()
    typer.echo(visible_json(json.dumps(value, ensure_ascii=False, indent=2, default=str)))


def show_line(value: object) -> None:
    """One line of data for people."""
    end_progress()
    typer.echo(visible(str(value)))


def show_file(content: str) -> None:
    """What would be a file's content: exact where it goes into a file or a program, with escapes on
    a terminal.
    """
    end_progress()
    typer.echo(visible(content) if sys.stdout.isatty() else content, nl=False)


def show_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What nobody foresaw; for `sys.excepthook`."""
    tell("".join(traceback.format_exception(kind, error, trace)).rstrip())


class SafeGroup(TyperGroup):
    """A group of commands that says what is wrong with an argument without letting the terminal act
    on it.

    Its help is plain text: rich alone would take longer to import than everything else that
    `--help` needs.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands under the headings they were added with, in that order."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            heading = getattr(command, "rich_help_panel", None)
            title = heading if isinstance(heading, str) else "Commands"
            sections.setdefault(title, []).append((name, command.get_short_help_str(limit=300)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """See click."""
        with _visible_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """See click."""
        with _visible_errors():
            return super().invoke(ctx)


@contextmanager
def _visible_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # An error in the use of the command line; typer has a click of its own, whose classes it
        # does not give out.
        if hasattr(error, "format_message"):
            vars(error)["message"] = visible(str(vars(error).get("message", "")))
        raise


def show_rows(title: str, rows: Sequence[Row], *, then: str = "") -> None:
    """Data for people, rounded; of no data a line.

    Args:
        then: What to do next when there are no rows.
    """
    end_progress()
    if not rows:
        tell(f"{title}: none" + (f"; {then}" if then else ""))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title), style="table.title"), title_justify="left")
    for name in rows[0]:
        table.add_column(Text(visible(str(name))), overflow="fold")
    for row in rows:
        # As text: a file name or a transcript may look like markup.
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(name))} {_cell(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value)
    return shown_number(value) if isinstance(value, float) else visible(str(value))
