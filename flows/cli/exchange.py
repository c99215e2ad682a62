"""Commands that bring dataset versions out and in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.console import (
    Anywhere,
    AudioRoot,
    ForExcel,
    Json,
    Rename,
    open_here,
    show_json,
    show_line,
    tell,
)
from voxdata.counted import counted
from voxdata.durable import scratch_folder
from voxdata.errors import AudioError, ConfigError
from warehouse.exchange.formats import BUILT_IN, TABLES

if TYPE_CHECKING:
    from flows.workspace import Workspace
    from warehouse.exchange.bundle import Bundle
    from warehouse.versions import DatasetVersion

Source = Literal["auto", "manifest", "kaldi", "lhotse", "huggingface", "audformat"]

NAMELESS = "name the dataset: --name NAME"


VersionArgument = Annotated[
    str, typer.Argument(help="A version: name, name@2, a tag or the start of its id.")
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"A table: {', '.join(TABLES)}. A folder with clips: {', '.join(BUILT_IN)}, "
        "or a format of another package.",
    ),
]
PathOption = Annotated[
    str,
    typer.Option("--output", help="File, folder or fsspec URL; by default in the exports folder."),
]
AudioOption = Annotated[
    Literal["none", "clips"],
    typer.Option("--audio", help="Give a table its clips, too, in a folder."),
]
AbsolutePathsOption = Annotated[
    bool,
    typer.Option(
        "--absolute-paths",
        help=(
            "Let a Kaldi folder name its files by absolute path, so that it opens from anywhere."
        ),
    ),
]


def export(
    ctx: typer.Context,
    version: VersionArgument,
    output: OutputOption = "parquet",
    path: PathOption = "",
    audio: AudioOption = "none",
    absolute_paths: AbsolutePathsOption = False,
    for_excel: ForExcel = False,
    as_json: Json = False,
) -> None:
    """Write a dataset version in a format of others; the same version gives the same bytes. Prints
    where.
    """
    if for_excel and output != "csv":
        raise ConfigError("--for-excel is about CSV; give --format csv, too")
    from flows.exchange.export import open_bundle
    from flows.locks import copying
    from flows.stored_audio import note_bad

    workspace = open_here(ctx)
    if absolute_paths and (output != "kaldi" or "://" in path):
        raise ConfigError(
            "--absolute-paths is for --format kaldi on this machine; "
            "other formats hold no paths, or relative ones"
        )
    with copying(workspace, say=tell):
        bundle = replace(open_bundle(workspace, version), for_excel=for_excel)
        try:
            where = _write(
                workspace, bundle, output, path, audio=audio, absolute_paths=absolute_paths
            )
        except AudioError as error:
            if error.recording_id:
                note_bad(workspace, {error.recording_id: error}, stage="export")
            raise
    _tell_where(where, bundle.version, as_json)


def _tell_where(where: str, version: DatasetVersion, as_json: bool) -> None:
    if as_json:
        show_json(
            {
                "path": where,
                "version": version.ref,
                "version_id": version.version_id,
                "root": version.root,
            }
        )
    else:
        show_line(where)


def _write(
    workspace: Workspace,
    bundle: Bundle,
    output: str,
    path: str,
    *,
    audio: Literal["none", "clips"],
    absolute_paths: bool,
) -> str:
    """Write a version where the user wants it. Returns where that is."""
    from warehouse.exchange.write import export_bundle, publish_bundle

    if not bundle.terms.licence:
        tell(
            "export: no licence is stated; [project] license in voxdata.toml states the terms "
            "under which the data may be used"
        )
    if output == "kaldi" and not absolute_paths:
        tell(
            "export: paths in wav.scp are relative to each split's folder: "
            "work in it, or export with --absolute-paths"
        )
    if "://" in path:
        return publish_bundle(bundle, format_name=output, url=path, audio=audio)
    name = f"{bundle.version.name}-{bundle.version.number}"
    folder = output not in TABLES or audio == "clips"
    target = (
        Path(path)
        if path
        else workspace.exports_dir / (f"{name}.{output}.d" if folder else f"{name}.{output}")
    )
    if not folder and target.is_dir():
        target = target / f"{name}.{output}"
    return str(
        export_bundle(
            bundle, format_name=output, output=target, audio=audio, absolute_paths=absolute_paths
        )
    )


def _fetch(path: str, kind: Source, scratch: Path) -> Path:
    """Where an import lies on this machine."""
    if "://" not in path:
        return Path(path)
    if kind != "auto":
        raise ConfigError(
            f"{path}: a dataset in {kind} format is read from this machine; copy it here first"
        )
    from warehouse.exchange.read import fetch_export

    return fetch_export(path, scratch)


def import_(
    ctx: typer.Context,
    path: Annotated[
        str,
        typer.Argument(
            help="What `voxdata export` wrote (a folder or fsspec URL), "
            "or labelled clips of others."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="The dataset it becomes a version of.")] = "",
    kind: Annotated[
        Source,
        typer.Option(
            "--format",
            help="The format; auto: an export of voxdata, or a manifest when it is a file.",
        ),
    ] = "auto",
    scheme: Annotated[
        str, typer.Option("--scheme", help="The scheme of the labels of others.")
    ] = "",
    label: Annotated[
        str,
        typer.Option(
            "--label", metavar="COLUMN", help="The column that holds the labels of others."
        ),
    ] = "label",
    rename: Rename = None,
    audio_root: AudioRoot = None,
    anywhere: Anywhere = False,
    check: Annotated[
        bool, typer.Option("--check", help="Verify an export, files and root; import nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring an export, or somebody's labelled clips, in as a dataset version."""
    with scratch_folder(near=ctx.obj or Path.cwd()) as scratch:
        place = _fetch(path, kind, scratch)
        if kind == "auto" and (check or not place.is_file()):
            if scheme or rename or audio_root or anywhere:
                raise ConfigError(
                    f"{path}: an export comes back with its own labels and clips; "
                    "--scheme, --rename, --audio-root and --anywhere are for "
                    "data of others: name their format with --format"
                )
            answer = _import_ours(ctx, place, path, name, check)
        else:
            from voxdata.label_names import parse_renames

            theirs = Theirs(
                scheme=scheme,
                label=label,
                rename=parse_renames(rename or ()),
                audio_root=audio_root,
                anywhere=anywhere,
            )
            answer = _import_others(ctx, place, name, kind, theirs)
    if as_json:
        show_json(answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """How somebody's labelled clips are to be taken; see
    `flows.exchange.theirs.import_manifest`.
    """

    scheme: str
    label: str
    rename: Mapping[str, str]
    audio_root: Path | None
    anywhere: bool


def _import_ours(
    ctx: typer.Context, path: Path, origin: str, name: str, check: bool
) -> dict[str, object]:
    from flows.exchange.ours import import_export
    from warehouse.exchange.read import read_export

    if not check and not name:
        raise ConfigError(NAMELESS)
    export = read_export(path, origin=origin)
    if check:
        tell(
            f"import: {origin} holds {export.ref}, {counted(len(export.examples), 'example')}; "
            f"root {export.root} verified"
        )
        return {
            "version": export.ref,
            "root": export.root,
            "num_examples": len(export.examples),
            "verified": True,
        }
    workspace = open_here(ctx)
    version, new = import_export(workspace, export, name=name, say=tell)
    return _said(workspace, version, new, [])


def _import_others(
    ctx: typer.Context, path: Path, name: str, kind: Source, theirs: Theirs
) -> dict[str, object]:
    from flows.exchange.theirs import import_manifest

    if not name:
        raise ConfigError(NAMELESS)
    if not theirs.scheme:
        raise ConfigError("name the scheme of the labels: --scheme NAME")
    as_kind = "manifest" if kind == "auto" else kind
    workspace = open_here(ctx)
    version, new, imported = import_manifest(
        workspace,
        path,
        name=name,
        scheme=theirs.scheme,
        label=theirs.label,
        kind=as_kind,
        audio_root=theirs.audio_root,
        anywhere=theirs.anywhere,
        rename=theirs.rename,
        say=tell,
    )
    for row, why in imported.dropped:
        tell(f"import: row {row} was dropped: {why}")
    return _said(
        workspace, version, new, [{"row": row, "why": why} for row, why in imported.dropped]
    )


def _said(
    workspace: Workspace, version: DatasetVersion, new: bool, dropped: list[dict[str, object]]
) -> dict[str, object]:
    from flows.signing.sign import sign_version, try_signing

    if new:
        try_signing(version.ref, lambda: sign_version(workspace, version), say=tell)
    outcome = "new version" if new else "nothing changed since"
    tell(
        f"import: {outcome} {version.ref} ({version.version_id[:12]}), "
        f"{counted(version.num_examples, 'example')}"
    )
    row = {
        "version": version.ref,
        "version_id": version.version_id,
        "root": version.root,
        "num_examples": version.num_examples,
    }
    return {**row, "new": new, "dropped": dropped}
