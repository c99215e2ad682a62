"""Commands about the workspace as a whole: make it, start and stop its services, say how it
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import (
    Json,
    Row,
    open_here,
    show_json,
    show_line,
    show_rows,
    show_tables,
    tell,
)
from flows.folders.private_files import make_private_folder
from flows.place import DEMO_DIR, FILE_NAME
from voxdata.counted import counted
from voxdata.durable import write_file
from voxdata.errors import ConfigError

NO_SCHEDULE = "[schedule] in voxdata.toml plans runs"


def init(
    directory: Annotated[
        Path, typer.Argument(help="The folder of the workspace; created when absent.")
    ] = Path(),
) -> None:
    """Write a commented voxdata.toml and create an empty warehouse, which this workspace recognises
    from then on.
    """
    from flows.settings import template

    path = directory / FILE_NAME
    if path.exists():
        raise ConfigError(f"{path} is there already; edit it, or remove it first")
    make_private_folder(directory, say=tell)
    (directory / "inbox").mkdir(exist_ok=True)
    write_file(path, template().encode())
    from flows.workspace import open_workspace

    with open_workspace(directory).warehouse():
        pass
    tell(
        f"wrote {path} and created the warehouse; put recordings into {directory / 'inbox'} and "
        "run `voxdata ingest`"
    )


def demo(
    directory: Annotated[
        Path, typer.Option("--dir", help="Where the demo's workspace lies.")
    ] = Path(DEMO_DIR),
    annotate: Annotated[
        bool,
        typer.Option(
            "--annotate", help="Label the clips yourself instead of the scripted annotators."
        ),
    ] = False,
    stop: Annotated[
        bool,
        typer.Option(
            "--stop", help="Stop the servers at the end instead of leaving them up to look at."
        ),
    ] = False,
) -> None:
    """Run the whole loop on the sample recordings."""
    from flows.demo.loop import run_demo

    run_demo(directory, annotate=annotate, stop=stop)


def up(ctx: typer.Context, as_json: Json = False) -> None:
    """Start Prefect, the worker, Label Studio and the receiver of its webhooks on 127.0.0.1; safe
    to repeat.
    """
    from flows.run import connect_prefect
    from flows.services.schedules import read_schedules, schedule_rows, wait_planned
    from flows.services.start import start_services

    workspace = open_here(ctx)
    services = start_services(workspace, say=tell)
    wait_planned(workspace)
    if connect_prefect(workspace):
        from flows.release.flow import announce_versions

        announced = announce_versions(workspace)
        if announced:
            tell(
                f"up: announced {counted(announced, 'version')} released while Prefect was down; "
                "training starts by itself"
            )
    rows: list[dict[str, object]] = [
        {"service": s.name, "pid": s.pid, "url": s.url, "log": s.log} for s in services
    ]
    if as_json:
        show_json(rows)
        return
    show_rows("services", rows)
    show_rows("schedules (UTC)", schedule_rows(read_schedules(workspace)), then=NO_SCHEDULE)


def down(ctx: typer.Context) -> None:
    """Stop what `voxdata up` started."""
    from flows.services.start import stop_services

    stop_services(open_here(ctx), say=tell)


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Count what there is at every stage, what waits for whom, and how the schedules do.

    Exits with 1 when a schedule missed two of its ticks, or a forgetting is not finished.
    """
    from flows.forget.work import FINISH, list_work
    from flows.pages.status import read_status
    from flows.services.schedules import read_schedules, schedule_rows

    workspace = open_here(ctx)
    counts, standings = read_status(workspace), read_schedules(workspace)
    schedules = schedule_rows(standings)
    stages = {name: n for name, n in counts.items() if not isinstance(n, (dict, list))}
    tables: dict[str, Sequence[Row]] = {
        "status": [{"stage": name, "count": count} for name, count in stages.items()]
    }
    waiting = counts.get("waiting")
    if isinstance(waiting, dict):
        tables["waiting"] = [{"for": name, "count": count} for name, count in waiting.items()]
    tables["schedules (UTC)"] = schedules
    show_tables(
        tables,
        exact={**counts, "schedules": schedules},
        as_json=as_json,
        then={"schedules (UTC)": NO_SCHEDULE, "waiting": "nothing waits for anybody"},
    )
    problems = [row for row in standings if row.problem]
    for row in problems:
        tell(f"schedule {row.name}: {row.problem}")
    begun = list_work(workspace.state_dir)
    if begun:
        tell(f"forget: {len(begun)} begun and not proven; `{FINISH}` goes on with it")
    if problems or begun:
        raise typer.Exit(1)


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Report what works here, and how to fix what does not."""
    from flows.doctor.examine import render_checks, run_workspace_checks

    checks = run_workspace_checks(ctx.obj or Path.cwd(), explicit=ctx.obj is not None)
    if as_json:
        show_json(
            [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        )
    else:
        render_checks(checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


def report(ctx: typer.Context) -> None:
    """Write the HTML report of the workspace. Prints its path."""
    from flows.pages.report import write_report

    show_line(write_report(open_here(ctx)))
