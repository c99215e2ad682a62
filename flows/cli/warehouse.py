"""Commands about the warehouse file itself: ask it, copy it, repair it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import (
    ForExcel,
    Json,
    Row,
    field_rows,
    open_here,
    show_file,
    show_line,
    show_result,
    show_tables,
    tell,
)
from voxdata.counted import counted
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from flows.workspace import Workspace


def query(
    ctx: typer.Context,
    sql: Annotated[
        str,
        typer.Argument(
            help="One query, such as 'select * from utterances limit 5'; "
            "docs/warehouse.md lists the views."
        ),
    ],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", metavar="FILE", help="Write a Parquet file instead.")
    ] = None,
    for_excel: ForExcel = False,
) -> None:
    """Ask the warehouse in SQL; nothing can be changed."""
    if as_json + as_csv + (parquet is not None) > 1:
        raise ConfigError("choose one of --json, --csv and --parquet")
    if for_excel and not as_csv:
        raise ConfigError("--for-excel is about CSV; give --csv, too")
    from flows.locks import copying
    from voxdata.spreadsheet import write_spreadsheet
    from warehouse.query import run_query

    workspace = open_here(ctx)
    with copying(workspace, say=tell):
        with workspace.warehouse(read_only=True) as con:
            frame = run_query(con, sql, seconds=workspace.settings.warehouse.query_seconds)
        if parquet is not None:
            frame.write_parquet(parquet)
    if parquet is not None:
        tell(f"query: {counted(len(frame), 'row')} in {parquet}")
    elif as_csv:
        show_file(write_spreadsheet(frame) if for_excel else frame.write_csv())
    else:
        rows = frame.to_dicts()
        title = counted(len(rows), "row") if rows else "rows"
        then = "`voxdata query 'show tables'` lists what can be asked"
        show_result(title, rows, as_json=as_json, then=then)


def snapshot(
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(help="A file; without it, one among the workspace's own snapshots."),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="How many of the workspace's own stay.")
    ] = 3,
) -> None:
    """Write a consistent, read-only copy of the warehouse, for BI tools and for `voxdata repair`.
    Prints its path.
    """
    from flows.keep import snapshot_warehouse
    from flows.locks import copying
    from warehouse.snapshot import write_copy

    workspace = open_here(ctx)
    with copying(workspace, say=tell):
        if path is None:
            made = snapshot_warehouse(workspace, keep=keep)
        elif path.exists():
            raise ConfigError(f"{path} is there already; name another file")
        else:
            with workspace.warehouse():
                path.absolute().parent.mkdir(parents=True, exist_ok=True)
            write_copy(workspace.warehouse_path, path.absolute())
            made = path
    show_line(made)


def repair(
    ctx: typer.Context,
    take: Annotated[
        list[str] | None,
        typer.Option(
            "--accept",
            metavar="WHAT",
            help=(
                "Rebuild nothing: accept the warehouse, or a storage folder such as media, "
                "as it is; may be repeated."
            ),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild a damaged warehouse from the best copy there is and from the batches; the damaged
    files are kept aside.
    """
    from flows.keep import accept, repair_workspace
    from flows.locks import copying

    workspace = open_here(ctx)
    if take:
        broken = accept(workspace, take, say=tell)
        tables: dict[str, list[Row]] = {
            "versions broken": [{"version": ref, "why": why} for ref, why in broken.items()]
        }
        show_tables(tables, exact=dict(broken), as_json=as_json)
        _forget_again(workspace)
        if broken:
            raise typer.Exit(1)
        return
    with copying(workspace, say=tell):
        repaired = repair_workspace(workspace, say=tell)
    row: dict[str, object] = {
        "made from": repaired.source,
        "kept aside": str(repaired.kept),
        "batches merged": repaired.batches,
        "transactions lost": repaired.lost_commits,
        "versions lost": " ".join(repaired.lost_versions),
        "entries of who must stay out lost": repaired.lost_bans,
        "versions broken": "; ".join(
            f"{ref}: {why}" for ref, why in repaired.broken_versions.items()
        ),
    }
    show_tables({"repair": field_rows(row)}, exact=row, as_json=as_json)
    _forget_again(workspace)
    if repaired.lost_versions or repaired.broken_versions or repaired.lost_bans:
        raise typer.Exit(1)


def _forget_again(workspace: Workspace) -> None:
    """Finish forgetting whom a warehouse from before brought back, and whatever else was begun.

    Receipts that were handed out stay as they are: they may speak of versions that this warehouse
    does not have.
    """
    from flows.forget.flow import finish_forgetting, require_gone
    from flows.forget.work import list_work

    if list_work(workspace.state_dir):
        for forgotten in finish_forgetting(workspace, say=tell):
            require_gone(forgotten)
            tell(f"repair: receipt {forgotten.receipt_id[:12]} is proven")
