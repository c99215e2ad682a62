"""Commands that bring dataset versions out and in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.console import open_here, show_rows, tell
from voxdata.errors import ConfigError

Format = Literal["parquet", "jsonl", "csv", "huggingface", "webdataset", "shar", "kaldi", "audformat"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command("import")(import_)


def export(
    ctx: typer.Context,
    version: Annotated[str, typer.Argument(help="A version: name, name@2, a tag or the start of its id.")],
    output: Annotated[Format, typer.Option("--format", help="A table as one file, or a folder with clips.")] = "parquet",
    path: Annotated[str, typer.Option("--output", help="File, folder or fsspec URL; by default in the exports folder.")] = "",
    audio: Annotated[Literal["none", "clips"], typer.Option("--audio", help="Give a table its clips, too, in a folder.")] = "none",
) -> None:
    """Write a dataset version in a format of others; the same version gives the same bytes. Prints where."""
    from flows.exchange.bundle import open_bundle
    from flows.exchange.export import FOLDERS, export_bundle, publish_bundle

    workspace = open_here(ctx)
    bundle = open_bundle(workspace, version)
    if "://" in path:
        typer.echo(publish_bundle(bundle, format_name=output, url=path, audio=audio))
        return
    name = f"{bundle.version.name}-{bundle.version.number}"
    folder = output in FOLDERS or audio == "clips"
    target = Path(path) if path else workspace.exports_dir / (f"{name}.{output}.d" if folder else f"{name}.{output}")
    if not folder and target.is_dir():
        target = target / f"{name}.{output}"
    typer.echo(export_bundle(bundle, format_name=output, output=target, audio=audio))


def import_(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A folder that `voxdata export` wrote, or a manifest of labelled clips.")],
    name: Annotated[str, typer.Option("--name", help="The dataset it becomes a version of.")] = "",
    scheme: Annotated[str, typer.Option("--scheme", help="Under which a manifest's labels stand.")] = "",
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="The manifest's column of labels.")] = "label",
    check: Annotated[bool, typer.Option("--check", help="Verify an export, files and root; import nothing.")] = False,
) -> None:
    """Bring an export, or somebody's manifest of labelled clips, in as a dataset version."""
    from flows.exchange.importing import import_export, import_manifest, read_export

    if check:
        found = read_export(path)
        ref = f"{found.header['name']}@{found.header['number']}"
        tell(f"import: {path} holds {ref}, {len(found.examples)} examples; root {found.root} verified")
        return
    if not name:
        raise ConfigError("say what the dataset is called: --name NAME")
    workspace = open_here(ctx)
    if path.is_dir():
        version, new = import_export(workspace, read_export(path), name=name, say=tell)
    else:
        if not scheme:
            raise ConfigError("say under which scheme the labels stand: --scheme NAME")
        version, new, imported = import_manifest(workspace, path, name=name, scheme=scheme, label=label, say=tell)
        if imported.dropped:
            show_rows("dropped", [{"row": row, "why": why} for row, why in imported.dropped])
    what = "new version" if new else "nothing changed since"
    tell(f"import: {what} {version.ref} ({version.version_id[:12]}), {version.num_examples} examples")
