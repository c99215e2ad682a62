"""Commands about recordings: take them in, look at them, pre-label them, say what was dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.console import (
    Anywhere,
    AudioRoot,
    Json,
    open_here,
    run_named,
    show_file,
    show_json,
    show_result,
    show_rows,
    show_tables,
    tell,
)
from voxdata.errors import ConfigError, DropReason

if TYPE_CHECKING:
    from flows.workspace import Workspace


PathsArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders, globs, fsspec URLs; without any, the inbox."),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        help="CSV, TSV, JSON lines, Parquet, Kaldi folder or Lhotse manifest.",
    ),
]
WatchOption = Annotated[
    bool, typer.Option("--watch", help="Go on with every file that arrives, until Ctrl-C.")
]
PlanOption = Annotated[
    bool, typer.Option("--plan", help="Show what would be decoded and why; decode nothing.")
]
RetryOption = Annotated[
    DropReason | None,
    typer.Option(
        "--retry",
        metavar="REASON",
        help="Try now what was refused for this, such as timed_out; without a path all of it.",
    ),
]


def ingest(
    ctx: typer.Context,
    paths: PathsArgument = None,
    manifest: ManifestOption = None,
    audio_root: AudioRoot = None,
    anywhere: Anywhere = False,
    watch: WatchOption = False,
    plan: PlanOption = False,
    retry: RetryOption = None,
    as_json: Json = False,
) -> None:
    """Decode recordings once and keep canonical audio; a file that gives none goes to the
    ledger.
    """
    workspace = open_here(ctx)
    absolute = [_absolute(path) for path in paths or []]
    if manifest is not None and (absolute or watch):
        raise ConfigError(
            "--manifest names the recordings itself: give no PATH or --watch beside it"
        )
    if manifest is None and (audio_root or anywhere):
        raise ConfigError(
            "--audio-root and --anywhere set which files a manifest may name; give --manifest, too"
        )
    if retry is not None and watch:
        raise ConfigError("--retry tries once, and --watch goes on: give one of the two")
    if plan and watch:
        raise ConfigError("--plan runs nothing, so there is nothing to watch: give one of the two")
    if plan:
        from flows.ingest.plan import plan_ingest, plan_manifest

        if manifest is None:
            rows = plan_ingest(workspace, absolute, say=tell, retry=retry)
        else:
            rows = plan_manifest(
                workspace,
                manifest.absolute(),
                say=tell,
                audio_root=audio_root,
                anywhere=anywhere,
                retry=retry,
            )
        show_result("pending", rows, as_json=as_json, then="everything is done")
        return
    from flows.ingest.sources import STILL_S

    still_s = STILL_S if watch else 0.0
    table, root = _absolute_or_none(manifest), _absolute_or_none(audio_root)
    reason = None if retry is None else retry.value
    summary = run_named(workspace, "ingest", absolute, table, still_s, root, anywhere, reason)
    show_result("ingest", summary, as_json=as_json)
    if watch:
        _watch(workspace, absolute, still_s=still_s, as_json=as_json)


def _watch(workspace: Workspace, paths: list[str], *, still_s: float, as_json: bool) -> None:
    """Ingest whatever arrives, until Ctrl-C."""
    from flows.ingest.inbox import watch_inbox

    for folders in watch_inbox(workspace, paths, say=tell):
        summary = run_named(workspace, "ingest", folders, None, still_s)
        if summary["listed"] > summary["known"] + summary["waiting"]:
            show_result("ingest", summary, as_json=as_json)


def prelabel(
    ctx: typer.Context,
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what would run and why; run nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Diarize, transcribe and propose labels for whatever is pending."""
    workspace = open_here(ctx)
    if not plan:
        summary = run_named(workspace, "prelabel")
        show_result("prelabel", summary, as_json=as_json)
        return
    from flows.models import build_models, model_specs
    from flows.prelabel.plan import list_group_uris, plan_prelabel, plan_rows

    prelabelling = plan_prelabel(workspace, build_models(workspace, model_specs(workspace)))
    if as_json:
        show_json(plan_rows(prelabelling, list_group_uris(workspace, prelabelling)))
        return
    rows = plan_rows(prelabelling)
    show_rows("pending", rows, then="everything is done")
    if not rows:
        return
    total = sum(float(str(row["work_minutes"])) for row in rows)
    tell(f"about {total:.1f} minutes of one core's work; --json names the recordings")


def inspect(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Any recording.")],
    output: Annotated[
        Literal["table", "json", "rttm", "srt"],
        typer.Option("--format", help="The format on stdout."),
    ] = "table",
) -> None:
    """Show everything the models find in one file, without a warehouse."""
    from flows.prelabel.inspection import inspect_file

    show_file(
        inspect_file(
            file, output=output, directory=ctx.obj or Path.cwd(), explicit=ctx.obj is not None
        )
    )


def recordings(ctx: typer.Context, as_json: Json = False) -> None:
    """List recordings with their files, near-duplicates and what manifests state about them."""
    from flows.pages.views import recording_rows

    with open_here(ctx).warehouse(read_only=True) as con:
        rows = recording_rows(con)
    show_result(
        "recordings",
        rows,
        as_json=as_json,
        then="put files into the inbox and run `voxdata ingest`",
    )


def ledger(
    ctx: typer.Context,
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            "--what-if",
            metavar="MEASURE=NUMBER",
            help="Show what a threshold would remove; may be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what was dropped and why, and remarks about what was kept; or what a threshold
    removes.
    """
    from flows.cli.what_if import describe_limits, parse_limits
    from flows.pages.views import drop_row, remark_row
    from warehouse.ledger import list_drops
    from warehouse.measures import count_removed
    from warehouse.remarks import list_remarks

    title, limits = "dropped", parse_limits(what_if or ())
    remarks: list[dict[str, object]] = []
    with open_here(ctx).warehouse(read_only=True) as con:
        if limits:
            rows, title = count_removed(con, limits), f"{describe_limits(limits)} would remove"
            then = "`voxdata prelabel` measures utterances"
        else:
            then = "`voxdata ingest` and `voxdata prelabel` write down what they drop"
            rows = [drop_row(row) for row in list_drops(con)]
            remarks = [remark_row(row) for row in list_remarks(con)]
    tables = {title: rows}
    if remarks:
        tables["remarks about recordings that were kept"] = remarks
    show_tables(tables, exact=[*rows, *remarks], as_json=as_json, then={title: then})


def _absolute(source: str) -> str:
    return source if "://" in source else str(Path(source).absolute())


def _absolute_or_none(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _without_subjects(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "subjects"}
