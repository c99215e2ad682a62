"""The command line. A command is a library call: it reads the workspace, calls one function, prints what came back.

Status goes to stderr, data to stdout. Exit codes: 0 done, 1 something failed (and what), 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows import audit_cli, dataset_cli, exchange_cli, forget_cli, warehouse_cli
from flows.annotation_cli import annotation_app
from flows.console import (
    Anywhere,
    AudioRoot,
    Json,
    SafeGroup,
    open_here,
    run_named,
    show_crash,
    show_file,
    show_json,
    show_line,
    show_rows,
    tell,
)
from flows.private_files import keep_files_private, make_private_folder
from flows.quiet_exit import quiet_exit
from flows.receipts_cli import receipts_app
from flows.settings import DEMO_DIR, FILE_NAME, template
from voxdata.errors import ConfigError, DropReason, VoxdataError
from voxdata.machine import find_fault, machine_error

app = typer.Typer(
    cls=SafeGroup, name="voxdata", help="The open data loop for voice models.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _root(
    ctx: typer.Context,
    directory: Annotated[
        Path | None, typer.Option("--dir", "-C", envvar="VOXDATA_DIR", help="The workspace: the folder that holds voxdata.toml.")
    ] = None,
) -> None:
    ctx.obj = directory


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="Where; made when absent.")] = Path()) -> None:
    """Write a commented voxdata.toml and make an empty warehouse, which this workspace knows from then on."""
    path = directory / FILE_NAME
    if path.exists():
        raise ConfigError(f"{path} is there already; edit it, or remove it first")
    make_private_folder(directory, say=tell)
    (directory / "inbox").mkdir(exist_ok=True)
    path.write_text(template(), encoding="utf-8")
    from flows.workspace import open_workspace

    with open_workspace(directory).warehouse():
        pass
    tell(f"wrote {path} and made the warehouse; put recordings into {directory / 'inbox'} and run `voxdata ingest`")


@app.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the demo's workspace lies.")] = Path(DEMO_DIR),
    annotate: Annotated[bool, typer.Option("--annotate", help="Label the clips yourself instead of the scripted annotators.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the servers at the end instead of leaving them up to look at.")] = False,
) -> None:
    """Run the whole loop on the sample recordings."""
    from flows.demo.loop import run_demo

    run_demo(directory, annotate=annotate, stop=stop)


@app.command()
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Say what works here, and how to mend what does not."""
    from flows.doctor import render_checks, run_workspace_checks

    checks = run_workspace_checks(ctx.obj or Path.cwd(), explicit=ctx.obj is not None)
    if as_json:
        show_json([{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks])
    else:
        render_checks(checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


@app.command()
def ingest(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders, globs, fsspec URLs; without any, the inbox.")] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", metavar="FILE", help="CSV, TSV, JSON lines, Parquet, Kaldi folder or Lhotse manifest.")
    ] = None,
    audio_root: AudioRoot = None,
    anywhere: Anywhere = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with every file that arrives, until Ctrl-C.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be decoded and why; decode nothing.")] = False,
    retry: Annotated[
        DropReason | None,
        typer.Option("--retry", metavar="REASON", help="Try now what was refused for this, such as timed_out; without a path all of it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Decode recordings once and keep canonical audio; what gives none goes to the ledger."""
    workspace = open_here(ctx)
    absolute = [path if "://" in path else str(Path(path).absolute()) for path in paths or []]
    if manifest is not None and (absolute or watch):
        raise ConfigError("--manifest names the recordings itself: give no PATH or --watch beside it")
    if manifest is None and (audio_root or anywhere):
        raise ConfigError("--audio-root and --anywhere say which files a manifest may name; give --manifest, too")
    if retry is not None and watch:
        raise ConfigError("--retry tries once, and --watch goes on: give one of the two")
    if plan and watch:
        raise ConfigError("--plan runs nothing, so there is nothing to watch: give one of the two")
    if plan:
        from flows.ingest import plan_ingest, plan_manifest

        if manifest is None:
            rows = plan_ingest(workspace, absolute, say=tell, retry=retry)
        else:
            table_file = manifest.absolute()
            rows = plan_manifest(workspace, table_file, say=tell, audio_root=audio_root, anywhere=anywhere, retry=retry)
        show_json(rows) if as_json else show_rows("pending", rows)
        return
    from flows.sources import STILL_S

    still_s = STILL_S if watch else 0.0
    table, root = (str(path.absolute()) if path else None for path in (manifest, audio_root))
    reason = None if retry is None else retry.value
    summary = run_named(workspace, "ingest", absolute, table, still_s, root, anywhere, reason)
    show_json(summary) if as_json else show_rows("ingest", [summary])
    if watch:
        from flows.inbox import watch_inbox

        for folders in watch_inbox(workspace, absolute, say=tell):
            summary = run_named(workspace, "ingest", folders, None, STILL_S)
            if summary["listed"] > summary["known"] + summary["waiting"]:
                show_json(summary) if as_json else show_rows("ingest", [summary])


@app.command()
def prelabel(
    ctx: typer.Context,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would run and why; run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Diarize, transcribe and propose labels for whatever is pending."""
    workspace = open_here(ctx)
    if not plan:
        summary = run_named(workspace, "prelabel")
        show_json(summary) if as_json else show_rows("prelabel", [summary])
        return
    from flows.models import build_models, labeler_specs
    from flows.prelabel_plan import plan_prelabel, plan_rows

    rows = plan_rows(plan_prelabel(workspace, build_models(workspace, labeler_specs(workspace))))
    if as_json:
        show_json(rows)
        return
    show_rows("pending", [{name: value for name, value in row.items() if name != "subjects"} for row in rows])
    total = sum(float(str(row["work_minutes"])) for row in rows)
    tell(f"about {total:.1f} minutes of one core's work; --json names the recordings")


@app.command()
def inspect(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Any recording.")],
    output: Annotated[Literal["table", "json", "rttm", "srt"], typer.Option("--format", help="The format on stdout.")] = "table",
) -> None:
    """Show everything the models say about one file, without a warehouse."""
    from flows.inspection import inspect_file

    show_file(inspect_file(file, output=output, directory=ctx.obj or Path.cwd(), explicit=ctx.obj is not None))


@app.command()
def push(
    ctx: typer.Context,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Time each annotator has, such as 45min: push what fits.")] = "",
    annotators: Annotated[int, typer.Option("--annotators", min=1, help="How many have that time.")] = 1,
    as_json: Json = False,
) -> None:
    """Put clips with their proposals into Label Studio, each once, the most useful first."""
    summary = run_named(open_here(ctx), "push", budget, annotators)
    show_json(summary) if as_json else show_rows("push", [summary])


@app.command()
def pull(ctx: typer.Context, as_json: Json = False) -> None:
    """Bring annotations from Label Studio into the warehouse."""
    summary = run_named(open_here(ctx), "pull")
    show_json(summary) if as_json else show_rows("pull", [summary])


@app.command()
def train(
    ctx: typer.Context,
    scheme: Annotated[str, typer.Argument(metavar="TASK", help="The scheme to learn: intent or emotion.")],
    version: Annotated[str, typer.Option("--version", help="A version: name, name@2 or the start of its id.")],
    force: Annotated[bool, typer.Option("--force", help="Train again though this was trained before.")] = False,
    as_json: Json = False,
) -> None:
    """Fine-tune on a dataset version and judge the model against the one before."""
    workspace = open_here(ctx)
    from flows.finetune import train_version
    from flows.views import run_row

    runs = train_version(workspace, [scheme], version, force=force, say=tell)
    rows = [run_row(run) for run in runs]
    show_json(rows) if as_json else show_rows("train", rows)


@app.command()
def models(ctx: typer.Context, as_json: Json = False) -> None:
    """List training runs with their figures before and after, and which model is promoted."""
    from flows.views import run_row
    from warehouse.runs import list_training_runs, promoted_run

    workspace = open_here(ctx)
    with workspace.warehouse(read_only=True) as con:
        runs = list_training_runs(con)
        current = {run.training_id for s in workspace.schemes if (run := promoted_run(con, s.name)) is not None}
    rows = [{**run_row(run), "in use": "yes" if run.training_id in current else ""} for run in runs]
    show_json(rows) if as_json else show_rows("models", rows)


@app.command()
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Count what there is at every stage, what waits for whom, and how the schedules do.

    Exits with 1 when a schedule missed two of its ticks, or a forgetting is not finished.
    """
    from flows.forget.work import FINISH, list_work
    from flows.schedules import read_schedules, schedule_rows
    from flows.status import read_status

    workspace = open_here(ctx)
    counts, standings = read_status(workspace), read_schedules(workspace)
    if as_json:
        show_json({**counts, "schedules": schedule_rows(standings)})
    else:
        stages = {name: n for name, n in counts.items() if not isinstance(n, (dict, list))}
        show_rows("status", [{"stage": name, "count": count} for name, count in stages.items()])
        waiting = counts.get("waiting")
        if isinstance(waiting, dict):
            show_rows("waiting", [{"for": name, "count": n} for name, n in waiting.items()])
        show_rows("schedules (UTC)", schedule_rows(standings))
    problems = [row for row in standings if row.problem]
    for row in problems:
        tell(f"schedule {row.name}: {row.problem}")
    begun = list_work(workspace.state_dir)
    if begun:
        tell(f"forget: {len(begun)} begun and not proven; `{FINISH}` goes on with it")
    if problems or begun:
        raise typer.Exit(1)


@app.command()
def recordings(ctx: typer.Context, as_json: Json = False) -> None:
    """List recordings with their files, near-duplicates and what manifests say about them."""
    from flows.views import recording_rows

    with open_here(ctx).warehouse(read_only=True) as con:
        rows = recording_rows(con)
    show_json(rows) if as_json else show_rows("recordings", rows)


@app.command()
def ledger(
    ctx: typer.Context,
    what_if: Annotated[
        list[str] | None, typer.Option("--what-if", metavar="MEASURE=NUMBER", help="Say what this threshold would remove; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what was dropped and why, and remarks about what was kept; or what a threshold removes."""
    from flows.views import drop_row, remark_row
    from flows.what_if import describe_limits, parse_limits
    from warehouse.ledger import list_drops
    from warehouse.measures import count_removed
    from warehouse.remarks import list_remarks

    title, limits = "dropped", parse_limits(what_if or ())
    remarks: list[dict[str, object]] = []
    with open_here(ctx).warehouse(read_only=True) as con:
        if limits:
            rows, title = count_removed(con, limits), f"{describe_limits(limits)} would remove"
        else:
            rows = [drop_row(row) for row in list_drops(con)]
            remarks = [remark_row(row) for row in list_remarks(con)]
    if as_json:
        show_json([*rows, *remarks])
        return
    show_rows(title, rows)
    if remarks:
        show_rows("remarks about recordings that were kept", remarks)


dataset_cli.register(app)
exchange_cli.register(app)
forget_cli.register(app)
warehouse_cli.register(app)
audit_cli.register(app)
app.add_typer(annotation_app, name="annotation")
app.add_typer(receipts_app, name="receipts")
voices_app = typer.Typer(help="List who was recognised across recordings; merge and split correct it, on record.")
app.add_typer(voices_app, name="voices", invoke_without_command=True)
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]


@voices_app.callback()
def voices(ctx: typer.Context, as_json: Json = False) -> None:
    """List who was recognised across recordings; merge and split correct it, on record."""
    if ctx.invoked_subcommand is None:
        from flows.voices import voice_rows

        rows = voice_rows(open_here(ctx))
        show_json(rows) if as_json else show_rows("voices", rows)


@voices_app.command()
def merge(
    ctx: typer.Context,
    voice: Annotated[str, typer.Argument(help="A voice that is the same person as another; the start of its id is enough.")],
    into: Annotated[str, typer.Argument(help="The voice that stays.")],
    reason: Reason = "by hand",
) -> None:
    """Say that two voices are one person."""
    from flows.voices import merge_voice

    merge_voice(open_here(ctx), voice, into, reason=reason, say=tell)


@voices_app.command()
def split(
    ctx: typer.Context,
    speaker: Annotated[str, typer.Argument(metavar="RECORDING:CHANNEL:SPEAKER", help="As `voxdata voices` shows it.")],
    reason: Reason = "by hand",
) -> None:
    """Say that a speaker is somebody else than the rest of its voice."""
    from flows.voices import split_speaker

    split_speaker(open_here(ctx), speaker, reason=reason, say=tell)


@app.command()
def report(ctx: typer.Context) -> None:
    """Write the HTML report of the workspace. Prints its path."""
    from flows.report import write_report

    show_line(write_report(open_here(ctx)))


@app.command()
def up(ctx: typer.Context, as_json: Json = False) -> None:
    """Start Prefect, the worker, Label Studio and the receiver of its webhooks on 127.0.0.1; safe to repeat."""
    from flows.run import connect_prefect
    from flows.schedules import read_schedules, schedule_rows, wait_planned
    from flows.services import start_services

    workspace = open_here(ctx)
    services = start_services(workspace, say=tell)
    wait_planned(workspace)
    if connect_prefect(workspace):
        from flows.release import announce_versions

        announced = announce_versions(workspace)
        if announced:
            tell(f"up: announced {announced} version(s) released while Prefect was down; training starts by itself")
    rows: list[dict[str, object]] = [{"service": s.name, "pid": s.pid, "url": s.url, "log": s.log} for s in services]
    if as_json:
        show_json(rows)
        return
    show_rows("services", rows)
    show_rows("schedules (UTC)", schedule_rows(read_schedules(workspace)))


@app.command()
def down(ctx: typer.Context) -> None:
    """Stop what `voxdata up` started."""
    from flows.services import stop_services

    stop_services(open_here(ctx), say=tell)


def main() -> None:
    """Entry point of the `voxdata` script."""
    quiet_exit()
    sys.excepthook = show_crash
    keep_files_private()
    code = _run_command()
    from flows.run import leave

    leave(code)


def _run_command() -> int:
    """Run the command line. Returns the exit code."""
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ConfigError as error:
        tell(f"voxdata: {error}")
        return 2
    except VoxdataError as error:
        tell(f"voxdata: {error}")
        return 1
    except (OSError, MemoryError) as error:
        place = getattr(error, "filename", None)
        fault = find_fault(error) or (machine_error(place, error) if place else None)
        if fault is None:
            raise
        tell(f"voxdata: {fault}")
        return 1
    except KeyboardInterrupt:
        tell("voxdata: interrupted; run the command again to go on where it stopped")
        return 130
    return 0


if __name__ == "__main__":
    main()
