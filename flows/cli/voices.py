"""The commands under `voxdata voices`."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.console import Json, open_here, show_result, tell

voices_app = typer.Typer(
    rich_markup_mode=None,
    help="List who was recognised across recordings; merge and split correct it, on record.",
)
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays on record.")]


@voices_app.callback(invoke_without_command=True)
def voices(ctx: typer.Context, as_json: Json = False) -> None:
    """List who was recognised across recordings; merge and split correct it, on record."""
    if ctx.invoked_subcommand is None:
        from flows.prelabel.link_voices import voice_rows

        rows = voice_rows(open_here(ctx))
        show_result(
            "voices", rows, as_json=as_json, then="`voxdata prelabel` recognises who speaks"
        )


@voices_app.command()
def merge(
    ctx: typer.Context,
    voice: Annotated[
        str,
        typer.Argument(
            help="A voice that is the same person as another; the start of its id is enough."
        ),
    ],
    into: Annotated[str, typer.Argument(help="The voice that stays.")],
    reason: Reason = "by hand",
) -> None:
    """Record that two voices are one person."""
    from flows.prelabel.link_voices import merge_voice

    merge_voice(open_here(ctx), voice, into, reason=reason, say=tell)


@voices_app.command()
def split(
    ctx: typer.Context,
    speaker: Annotated[
        str,
        typer.Argument(metavar="RECORDING:CHANNEL:SPEAKER", help="As `voxdata voices` shows it."),
    ],
    reason: Reason = "by hand",
) -> None:
    """Record that a speaker is somebody else than the rest of its voice."""
    from flows.prelabel.link_voices import split_speaker

    split_speaker(open_here(ctx), speaker, reason=reason, say=tell)
