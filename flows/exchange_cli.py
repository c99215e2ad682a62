"""Commands that bring dataset versions out and in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.console import Anywhere, AudioRoot, Json, Rename, open_here, show_json, tell
from voxdata.errors import ConfigError

if TYPE_CHECKING:
    from warehouse.versions import DatasetVersion

Format = Literal["parquet", "jsonl", "csv", "huggingface", "webdataset", "shar", "kaldi", "audformat"]
Source = Literal["auto", "manifest", "kaldi", "lhotse", "huggingface", "audformat"]

NAMELESS = "say what the dataset is called: --name NAME"


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
    as_json: Json = False,
) -> None:
    """Write a dataset version in a format of others; the same version gives the same bytes. Prints where."""
    from flows.exchange.bundle import open_bundle
    from flows.exchange.export import FOLDERS, export_bundle, publish_bundle

    workspace = open_here(ctx)
    bundle = open_bundle(workspace, version)
    if "://" in path:
        where = publish_bundle(bundle, format_name=output, url=path, audio=audio)
        _tell_where(where, bundle.version, as_json)
        return
    name = f"{bundle.version.name}-{bundle.version.number}"
    folder = output in FOLDERS or audio == "clips"
    target = Path(path) if path else workspace.exports_dir / (f"{name}.{output}.d" if folder else f"{name}.{output}")
    if not folder and target.is_dir():
        target = target / f"{name}.{output}"
    _tell_where(str(export_bundle(bundle, format_name=output, output=target, audio=audio)), bundle.version, as_json)


def _tell_where(where: str, version: DatasetVersion, as_json: bool) -> None:
    if as_json:
        show_json({"path": where, "version": version.ref, "version_id": version.version_id, "root": version.root})
    else:
        typer.echo(where)


def import_(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="What `voxdata export` wrote (a folder or fsspec URL), or labelled clips of others.")],
    name: Annotated[str, typer.Option("--name", help="The dataset it becomes a version of.")] = "",
    kind: Annotated[
        Source, typer.Option("--format", help="Whose format it is; auto: an export of ours, or a manifest when it is a file.")
    ] = "auto",
    scheme: Annotated[str, typer.Option("--scheme", help="Under which the labels of others stand.")] = "",
    label: Annotated[str, typer.Option("--label", metavar="COLUMN", help="The column that holds them.")] = "label",
    rename: Rename = None,
    audio_root: AudioRoot = None,
    anywhere: Anywhere = False,
    check: Annotated[bool, typer.Option("--check", help="Verify an export, files and root; import nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Bring an export, or somebody's labelled clips, in as a dataset version."""
    with tempfile.TemporaryDirectory(prefix="voxdata-") as scratch:
        if "://" not in path:
            place = Path(path)
        elif kind != "auto":
            raise ConfigError(f"{path}: a dataset in {kind} format is read from this machine; copy it here first")
        else:
            from flows.exchange.importing import fetch_export

            place = fetch_export(path, Path(scratch))
        ours = kind == "auto" and (check or not place.is_file())
        if ours:
            answer = _import_ours(ctx, place, name, check)
        else:
            answer = _import_others(ctx, place, name, kind, scheme, label, rename=rename or (), audio_root=audio_root, anywhere=anywhere)
    if as_json:
        show_json(answer)


def _import_ours(ctx: typer.Context, path: Path, name: str, check: bool) -> dict[str, object]:
    from flows.exchange.importing import import_export, read_export

    if not check and not name:
        raise ConfigError(NAMELESS)
    export = read_export(path)
    if check:
        ref = f"{export.header['name']}@{export.header['number']}"
        tell(f"import: {path} holds {ref}, {len(export.examples)} examples; root {export.root} verified")
        return {"version": ref, "root": export.root, "num_examples": len(export.examples), "verified": True}
    version, new = import_export(open_here(ctx), export, name=name, say=tell)
    return _said(version, new, [])


def _import_others(
    ctx: typer.Context, path: Path, name: str, kind: Source, scheme: str, label: str, *, rename: Sequence[str],
    audio_root: Path | None, anywhere: bool,
) -> dict[str, object]:  # fmt: skip
    from flows.exchange.labelled import import_manifest
    from voxdata.label_names import parse_renames

    if not name:
        raise ConfigError(NAMELESS)
    if not scheme:
        raise ConfigError("say under which scheme the labels stand: --scheme NAME")
    as_kind = "manifest" if kind == "auto" else kind
    version, new, imported = import_manifest(
        open_here(ctx), path, name=name, scheme=scheme, label=label, kind=as_kind, say=tell, audio_root=audio_root,
        anywhere=anywhere, rename=parse_renames(rename),
    )  # fmt: skip
    for row, why in imported.dropped:
        tell(f"import: row {row} was dropped: {why}")
    return _said(version, new, [{"row": row, "why": why} for row, why in imported.dropped])


def _said(version: DatasetVersion, new: bool, dropped: list[dict[str, object]]) -> dict[str, object]:
    what = "new version" if new else "nothing changed since"
    tell(f"import: {what} {version.ref} ({version.version_id[:12]}), {version.num_examples} examples")
    known = {"version": version.ref, "version_id": version.version_id, "root": version.root, "num_examples": version.num_examples}
    return {**known, "new": new, "dropped": dropped}
