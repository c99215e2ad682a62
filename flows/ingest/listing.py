"""Which sources an ingestion is about: the inbox, named ones, or the rows of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flows.ingest.listed import Listing, Source, list_all
from flows.ingest.manifests import ManifestRow, name_recordings
from flows.ingest.sources import list_file, list_sources
from flows.ingest.tries import (
    Retry,
    list_refused,
)
from flows.workspace import Say, Workspace
from voxdata.consent import count_problems
from voxdata.counted import counted
from voxdata.errors import (
    ConfigError,
    ManifestError,
    TransientError,
)
from voxdata.tables.reach import REMEDY, Reach
from voxdata.tables.read import read_file
from voxdata.tables.table import BadRow, Table

NAMED_PROBLEMS = 10
"""So many values of consent that nobody can understand are named; the others are counted."""


def list_wanted(
    workspace: Workspace, patterns: Sequence[str], retry: Retry, *, say: Say
) -> Listing:
    """The files that patterns name, or the inbox.

    Of a retry without patterns they are all that were refused for its reason.
    """
    if retry.reason is not None and not patterns:
        return list_refused(retry, say=say)
    return list_sources(source_patterns(workspace, patterns))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What a manifest names.

    Attributes:
        rows: Rows of recordings, in order.
        sources: URI as the row has it -> the file.
        bad: Rows that name nothing that may be read.
        unreachable: What is wrong with the stores of other rows, for now.
    """

    table: Table
    rows: list[ManifestRow]
    sources: dict[str, Source]
    bad: list[BadRow]
    unreachable: list[TransientError]

    @property
    def listing(self) -> Listing:
        """Each file once, sorted."""
        return list_all(self.sources.values())


def list_manifest(manifest: Path, *, audio_root: Path | None, anywhere: bool) -> _Named:
    """Read a manifest and look for the files that it names.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a file that is there and may be read.
    """
    if audio_root is not None and not audio_root.is_dir():
        raise ConfigError(
            f"--audio-root {audio_root} is no folder; name the one that the recordings lie in"
        )
    table = read_file(manifest, per_recording=True)
    reach = Reach(folder=table.folder, root=audio_root, anywhere=anywhere)
    rows, bad = name_recordings(table, reach)
    sources: dict[str, Source] = {}
    unreachable: list[TransientError] = []
    for row in rows:
        outside = reach.why_not(row.uri)
        try:
            if outside:
                raise ConfigError(outside)
            sources[row.uri] = list_file(row.uri)
        except ConfigError as error:
            # What the row repeats is as bad.
            bad += [BadRow(number=row.number, problem=str(error))] * (1 + row.repeats)
        except TransientError as error:
            unreachable.append(error)
    bad.sort(key=lambda trouble: trouble.number)
    if bad and not sources and not unreachable:
        rows_text = counted(len(bad), "row")
        raise ManifestError(
            f"{manifest}: none of its {rows_text} names a recording that can be read; "
            f"row {bad[0].number}: {bad[0].problem}. Nothing was written; {REMEDY}"
        )
    kept = [replace(row, repeats=row.repeats if row.uri in sources else 0) for row in rows]
    return _Named(table=table, rows=kept, sources=sources, bad=bad, unreachable=unreachable)


def tell_odd_consents(rows: Sequence[ManifestRow], *, say: Say) -> None:
    """Say in one line which consents cannot be understood, and how many rows have each."""
    problems = list(count_problems(row.metadata for row in rows).items())
    if not problems:
        return
    shown = "; ".join(
        f"{problem}: {counted(count, 'row')}" for problem, count in problems[:NAMED_PROBLEMS]
    )
    rest = problems[NAMED_PROBLEMS:]
    more = (
        f"; {counted(len(rest), 'other value')}: {counted(sum(count for _, count in rest), 'row')}"
        if rest
        else ""
    )
    remedy = "write yes or no, and a date as 2027-01-31"
    say(f"manifest: not understood, so these recordings are not used: {shown}{more}; {remedy}")


def source_patterns(workspace: Workspace, patterns: Sequence[str]) -> list[str]:
    """What an ingestion reads: the patterns given, or the inbox of voxdata.toml.

    Raises:
        ConfigError: There is neither.
    """
    chosen = list(patterns) or [
        _inbox_path(workspace, entry) for entry in workspace.settings.sources.inbox
    ]
    if not chosen:
        raise ConfigError(
            "nothing to ingest: name files, folders or URLs, or set [sources] inbox in voxdata.toml"
        )
    return chosen


def _inbox_path(workspace: Workspace, entry: str) -> str:
    return entry if "://" in entry or Path(entry).is_absolute() else str(workspace.root / entry)
