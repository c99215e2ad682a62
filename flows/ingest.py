"""Ingest: decode every source once, keep canonical audio, and write down what was dropped and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow

from flows.say import tell
from flows.sources import Source, list_sources, open_local
from flows.steps import call, show_table, step
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import canonicalise, decode_audio, is_silent, write_canonical
from voxdata.errors import AudioError, ConfigError, DropReason
from warehouse.ledger import record_drop
from warehouse.recordings import add_recording, add_source, find_source

BATCH_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSummary:
    """What an ingestion did, in files.

    Attributes:
        listed: Files the sources named.
        recordings: New recordings.
        known: Files seen before, unchanged.
        duplicates: Other files with the content of a recording that was there.
        dropped: Files that gave no audio to go on with; the ledger says why.
    """

    listed: int = 0
    recordings: int = 0
    known: int = 0
    duplicates: int = 0
    dropped: int = 0


def ingest_source(workspace: Workspace, source: Source) -> str:
    """Ingest one file.

    Returns:
        The field of `IngestSummary` it counts for.

    Raises:
        TransientError: A remote source could not be fetched; nothing was written.
    """
    with workspace.warehouse() as con:
        if find_source(con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns) is not None:
            return "known"
    try:
        with open_local(source) as path:
            decoded = decode_audio(path, max_duration_ms=round(workspace.settings.sources.max_hours * 3_600_000))
        recording, samples = canonicalise(decoded)
    except AudioError as error:
        with workspace.warehouse() as con:
            record_drop(con, stage="ingest", subject=source.uri, reason=error.reason, detail=str(error), run_id=workspace.run_id)
            _settle(con, workspace, source, recording_id=None)
        return "dropped"
    audio_file = f"{recording.recording_id[:2]}/{recording.recording_id}.flac"
    target = workspace.audio_dir / audio_file
    if not target.exists():
        write_canonical(target, samples)
    silent = is_silent(decoded)
    with workspace.warehouse() as con:
        new = add_recording(con, recording, audio_file=audio_file, run_id=workspace.run_id)
        _settle(con, workspace, source, recording_id=recording.recording_id)
        if silent:
            record_drop(
                con,
                stage="ingest",
                subject=source.uri,
                reason=DropReason.SILENT,
                detail="no sample above the noise floor; the recording is kept, nothing is pre-labelled",
                recording_id=recording.recording_id,
                run_id=workspace.run_id,
            )
    if silent:
        return "dropped"
    return "recordings" if new else "duplicates"


def _settle(con: DuckDBPyConnection, workspace: Workspace, source: Source, *, recording_id: str | None) -> None:
    add_source(
        con,
        uri=source.uri,
        size_bytes=source.size_bytes,
        modified_ns=source.modified_ns,
        recording_id=recording_id,
        run_id=workspace.run_id,
    )


@step("ingest-batch")
def ingest_batch(workspace: Workspace, sources: Sequence[Source]) -> IngestSummary:
    """Ingest some files; one bad file never stops the others."""
    summary = IngestSummary(listed=len(sources))
    for source in sources:
        field = ingest_source(workspace, source)
        summary = replace(summary, **{field: getattr(summary, field) + 1})
    return summary


def ingest_sources(workspace: Workspace, patterns: Sequence[str], *, say: Say) -> IngestSummary:
    """Ingest files, folders, globs and URLs; without any, the inbox of voxdata.toml.

    Raises:
        ConfigError: No source is given or configured, or one matches nothing.
    """
    chosen = list(patterns) or [_inbox_path(workspace, entry) for entry in workspace.settings.sources.inbox]
    if not chosen:
        raise ConfigError("nothing to ingest: name files, folders or URLs, or set [sources] inbox in voxdata.toml")
    sources = list_sources(chosen)
    total = IngestSummary()
    for start in range(0, len(sources), BATCH_SIZE):
        part = call(ingest_batch, workspace, sources[start : start + BATCH_SIZE])
        total = IngestSummary(**{name: getattr(total, name) + getattr(part, name) for name in IngestSummary.__slots__})
        say(f"ingest: {total.listed}/{len(sources)} files, {total.recordings} new recordings, {total.dropped} dropped")
    show_table("ingest", [{name: getattr(total, name) for name in IngestSummary.__slots__}], description="Files of this ingestion")
    return total


def _inbox_path(workspace: Workspace, entry: str) -> str:
    return entry if "://" in entry or Path(entry).is_absolute() else str(workspace.root / entry)


@flow(name="ingest", flow_run_name="ingest", validate_parameters=False, log_prints=True)
def ingest(root: str, patterns: list[str] | None = None) -> dict[str, int]:
    """Ingest what is new in the sources of the workspace at `root`."""
    summary = ingest_sources(open_workspace(Path(root)), patterns or [], say=tell)
    return {name: getattr(summary, name) for name in IngestSummary.__slots__}
