"""The command `voxdata audit`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Anywhere, Json, Rename, show_json, show_line, show_rows, tell
from flows.place import find_workspace
from voxdata.errors import ConfigError
from voxdata.register import Register

if TYPE_CHECKING:
    from voxdata.audit.findings import Audit


PathArgument = Annotated[
    Path,
    typer.Argument(
        help="A .csv, .tsv, .jsonl or .parquet file, or a Kaldi folder, with audio, label, "
        "speaker, split."
    ),
]
AudioRootOption = Annotated[
    Path | None,
    typer.Option(
        "--audio-root",
        help="The folder that audio paths are relative to; by default the file's folder.",
    ),
]
LabelOption = Annotated[
    str, typer.Option("--label", metavar="NAME", help="The column of the label.")
]
SpeakerOption = Annotated[
    str, typer.Option("--speaker", metavar="NAME", help="The column of the speaker.")
]
AudioOption = Annotated[
    str, typer.Option("--audio", metavar="NAME", help="The column of the audio path.")
]
SplitOption = Annotated[
    str, typer.Option("--split", metavar="NAME", help="The column of the split.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", metavar="HTML", help="Write the page with tables and pictures here."),
]
NoAudioOption = Annotated[
    bool, typer.Option("--no-audio", help="Check only the table; listen to nothing.")
]
MaxClipsOption = Annotated[
    int,
    typer.Option(
        "--max-clips",
        min=2,
        help="The most clips to listen to, drawn at random; the bytes of all are compared.",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="The seed of everything drawn at random.")
]


def audit(
    path: PathArgument,
    audio_root: AudioRootOption = None,
    label: LabelOption = "",
    speaker: SpeakerOption = "",
    audio: AudioOption = "",
    split: SplitOption = "",
    rename: Rename = None,
    anywhere: Anywhere = False,
    output: OutputOption = None,
    no_audio: NoAudioOption = False,
    max_clips: MaxClipsOption = 2_000,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Look for leaks between the splits of any dataset. Exit code 0 clean, 1 leak found, 2 unusable
    input.
    """
    from flows.audit.verdict import audit_table
    from voxdata.audit.audit_table import check_reach, read_table
    from voxdata.label_names import parse_renames

    if audio_root is not None and not audio_root.is_dir():
        raise ConfigError(
            f"--audio-root {audio_root} is no folder; name the one that the audio paths start from"
        )
    columns = {"label": label, "speaker": speaker, "audio": audio, "split": split}
    names = {key: value for key, value in columns.items() if value}
    table = read_table(path, names=names, rename=parse_renames(rename or ()))
    if not no_audio:
        check_reach(table, path, audio_root=audio_root, anywhere=anywhere)
    for remark in table.remarks:
        tell(f"audit: {remark}")
    verdict = audit_table(
        table,
        audio_root=audio_root or table.folder,
        with_audio=not no_audio,
        max_clips=max_clips,
        seed=seed,
        say=tell,
    )
    if output is not None:
        _write_page(output, verdict, register=_register_of(path))
    if as_json:
        show_json({"verdict": verdict.verdict, "leak": verdict.has_leak, **asdict(verdict)})
    else:
        _show_verdict(verdict)
    if verdict.has_leak:
        raise typer.Exit(1)


def _write_page(output: Path, verdict: Audit, *, register: Register | None) -> None:
    from flows.pages.audit_page import write_audit_page

    try:
        write_audit_page(output, verdict, register=register)
    except OSError as error:
        raise ConfigError(
            f"--output {output} cannot be written ({error.strerror}); name another file"
        ) from error
    tell(f"audit: wrote {output}")


def _show_verdict(verdict: Audit) -> None:
    rows: list[dict[str, object]] = [
        {"": finding.severity.value, "found": finding.title, "remedy": finding.remedy}
        for finding in verdict.findings
    ]
    if rows:
        show_rows("findings", rows)
    show_line(f"{verdict.name}: {verdict.verdict}")


def _register_of(path: Path) -> Register | None:
    """The register of the workspace that holds the audited table, such as an export in its exports
    folder.
    """
    try:
        root = find_workspace(path.absolute().parent)
    except ConfigError:
        return None
    return Register(root=root) if path.resolve().is_relative_to(root) else None
