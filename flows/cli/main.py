"""The command line. A command is a library call: it reads the workspace, calls one function, prints
what came back.

Status goes to stderr, data to stdout. Exit codes: 0 done, 1 something failed (and what), 2 wrong
usage or configuration.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from flows.cli import (
    audit,
    exchange,
    forget,
    labelling,
    recordings,
    services,
    training,
    versions,
    warehouse,
)
from flows.cli.annotation import annotation_app
from flows.cli.console import SafeGroup, show_crash, show_line, tell
from flows.cli.receipts import receipts_app
from flows.cli.voices import voices_app
from flows.folders.private_files import keep_files_private
from flows.quiet_exit import end_process, quiet_exit
from flows.say import MANNER, end_progress
from voxdata.errors import ConfigError, VoxdataError
from voxdata.machine import find_fault, machine_error

app = typer.Typer(
    cls=SafeGroup,
    name="voxdata",
    help="The open data loop for voice models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS = {
    "Start": (
        services.init,
        services.demo,
        services.doctor,
        services.up,
        services.down,
        services.status,
        services.report,
    ),
    "Collect": (
        recordings.ingest,
        recordings.inspect,
        recordings.recordings,
        recordings.ledger,
        audit.audit,
    ),
    "Label": (recordings.prelabel, labelling.push, labelling.pull),
    "Dataset": (
        versions.release,
        versions.versions,
        versions.show,
        versions.diff,
        versions.tag,
        versions.rollback,
        versions.verify,
        versions.why,
        exchange.export,
        exchange.import_,
    ),
    "Train": (training.train, training.models, training.promote, training.demote),
    "Care": (forget.forget, warehouse.query, warehouse.snapshot, warehouse.repair),
}
"""Group in `--help` -> its commands, in the order in which one meets them. A new command is a line
here.
"""

GROUPS = {
    "annotation": (annotation_app, "Label"),
    "voices": (voices_app, "Label"),
    "receipts": (receipts_app, "Care"),
}
"""Name -> commands below one word, and their group in `--help`."""

for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.rstrip("_"), rich_help_panel=panel)(command)
for name, (group, panel) in GROUPS.items():
    app.add_typer(group, name=name, rich_help_panel=panel)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show_line(f"voxdata {version('voxdata')}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            "-C",
            envvar="VOXDATA_DIR",
            help="The workspace: the folder that holds voxdata.toml.",
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print results, warnings and errors, and not how the work goes."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Print also what Prefect says, and where an error comes from."
        ),
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose contradict each other: give one of the two")
    MANNER.quiet, MANNER.verbose = quiet, verbose
    ctx.obj = directory


FREE_AT_ONCE = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
"""Has the allocator of polars give back what a frame leaves: half a gigabyte at a million rows."""


def main() -> None:
    """Entry point of the `voxdata` script."""
    quiet_exit()
    sys.excepthook = show_crash
    keep_files_private()
    os.environ.setdefault(*FREE_AT_ONCE)
    code = run_command()
    run = sys.modules.get("flows.run")
    if run is not None:
        run.leave(code)
    end_process(code)


def run_command() -> int:
    """Run the command line.

    Returns:
        The exit code. What went wrong has been said on stderr.
    """
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ConfigError as error:
        _tell_error(error)
        return 2
    except VoxdataError as error:
        _tell_error(error)
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
    finally:
        end_progress()
    return 0


def _tell_error(error: VoxdataError) -> None:
    """Tell an error in a line; with --verbose also where it comes from."""
    end_progress()
    if MANNER.verbose:
        tell("".join(traceback.format_exception(error)).rstrip())
    tell(f"voxdata: {error}")
