"""Ingest: decode every source once, keep canonical audio, and write down what was dropped and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import flow

from flows.decode_work import Refused, audio_file_of, decode_file
from flows.duplicates import find_duplicates
from flows.manifests import BadRow, ManifestRow, read_manifest
from flows.say import tell
from flows.sources import Source, list_file, list_sources, open_local
from flows.steps import call, show_table, step
from flows.workers import WorkerPool, count_cores, result_of
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import decoder_version
from voxdata.canonical import open_canonical
from voxdata.canonicalise import Canonical
from voxdata.consent import count_problems
from voxdata.errors import AudioError, ConfigError, DropReason, TransientError, WorkerError
from voxdata.sound import MODEL_RATE_HZ
from warehouse.connection import transaction
from warehouse.erase import is_forgotten
from warehouse.ledger import record_drop, unreadable_recordings
from warehouse.metadata import store_metadata
from warehouse.recordings import add_recording, add_source, find_source, get_recording, known_uris

Decode = Callable[[Path, Path, int], Canonical | Refused]

PATIENT_BYTES = 20_000_000
"""A file of this size is granted [sources] decode_seconds once more."""

BATCH_SIZE = 16
NAMED_PROBLEMS = 10
"""So many values of consent that nobody can understand are named; the others are counted."""

CHECKED_AT_ONCE = 60 * MODEL_RATE_HZ


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


@step("ingest-batch")
def ingest_batch(workspace: Workspace, sources: Sequence[Source], pool: WorkerPool, decode: Decode) -> IngestSummary:
    """Ingest some files at once; one bad file never stops the others, and the order of the workers changes nothing.

    Raises:
        TransientError: A remote source could not be fetched; what was fetched before it is stored.
    """
    settings = workspace.settings.sources
    known = _known(workspace, sources)
    summary = IngestSummary(listed=len(sources), known=len(known))
    limit_ms = round(settings.max_hours * 3_600_000)
    with ExitStack() as opened:
        waiting: list[tuple[Source, Future[Canonical | Refused] | Refused]] = []
        for source in sources:
            if source.uri in known:
                continue
            try:
                path = opened.enter_context(open_local(source))
            except AudioError as error:
                waiting.append((source, Refused(reason=error.reason, detail=str(error))))
                continue
            patience_s = settings.decode_seconds * (1 + max(source.size_bytes, 0) / PATIENT_BYTES)
            waiting.append((source, pool.submit(decode, path, workspace.audio_dir, limit_ms, timeout_s=patience_s)))
        for source, answer in waiting:
            field = _settle(workspace, source, _result(source, answer))
            summary = replace(summary, **{field: getattr(summary, field) + 1})
    return summary


def _known(workspace: Workspace, sources: Sequence[Source]) -> set[str]:
    """Files dealt with before, unchanged.

    One that gave no recording counts only when this very decoder tried it, one that gave a recording only while its canonical audio is
    there: damaged audio is removed here, so that it is made anew.
    """
    with workspace.warehouse() as con:
        rows = [find_source(con, uri=s.uri, size_bytes=s.size_bytes, modified_ns=s.modified_ns) for s in sources]
        found = [row for row in rows if row is not None]
        stored = {name: get_recording(con, name) for row in found if (name := row.recording_id) is not None}
        doubted = unreadable_recordings(con, stored)
    known = {row.uri for row in found if row.recording_id is None and row.decoder == decoder_version()}
    for row in found:
        if row.recording_id is not None:
            canonical = workspace.audio_dir / stored[row.recording_id].audio_file
            if _is_sound(canonical, whole=row.recording_id in doubted):
                known.add(row.uri)
    return known


def _is_sound(canonical: Path, *, whole: bool) -> bool:
    """Whether canonical audio can be read, all of it when a later stage had trouble with it; what cannot is deleted."""
    try:
        for sound in open_canonical(canonical):
            for start in range(0, sound.num_samples if whole else 0, CHECKED_AT_ONCE):
                sound.read(start, start + CHECKED_AT_ONCE)
    except AudioError:
        canonical.unlink(missing_ok=True)
        return False
    return True


def _result(source: Source, answer: Future[Canonical | Refused] | Refused) -> Canonical | Refused:
    if isinstance(answer, Refused):
        return answer
    try:
        return result_of(answer)
    except WorkerError as error:
        detail = f"{source.uri}: {error}; it is not tried again until the file or the decoder changes"
        return Refused(reason=error.reason, detail=detail)


def _settle(workspace: Workspace, source: Source, found: Canonical | Refused) -> str:
    """Write down what became of one file, in one transaction.

    Returns:
        The field of `IngestSummary` it counts for.
    """
    run_id, new = workspace.run_id, False
    refused = found if isinstance(found, Refused) else None
    recording = None if isinstance(found, Refused) else found.recording
    if isinstance(found, Canonical) and found.silent:
        refused = Refused(
            reason=DropReason.SILENT, detail="no sample above the noise floor; the recording is kept, nothing is pre-labelled"
        )
    with workspace.warehouse() as con, transaction(con):
        receipt = is_forgotten(con, recording.recording_id) if recording is not None else None
        if recording is not None and receipt is not None:
            (workspace.audio_dir / audio_file_of(recording)).unlink(missing_ok=True)
            # Not even the file's name is kept.
            record_drop(
                con, stage="ingest", subject=f"receipt {receipt}", reason=DropReason.FORGOTTEN, run_id=run_id,
                detail="a recording that was forgotten came again; `voxdata forget --renew` lets it in once consent is given again",
            )  # fmt: skip
            return "dropped"
        if recording is not None:
            new = add_recording(con, recording, audio_file=audio_file_of(recording), run_id=run_id)
        recording_id = None if recording is None else recording.recording_id
        add_source(
            con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns, recording_id=recording_id,
            decoder=decoder_version(), run_id=run_id,
        )  # fmt: skip
        if refused is not None:
            record_drop(
                con, stage="ingest", subject=source.uri, reason=refused.reason, detail=refused.detail, recording_id=recording_id,
                run_id=run_id,
            )  # fmt: skip
    if refused is not None:
        return "dropped"
    return "recordings" if new else "duplicates"


def ingest_sources(
    workspace: Workspace, patterns: Sequence[str], *, say: Say, decode: Decode = decode_file, still_s: float = 0.0
) -> IngestSummary:
    """Ingest files, folders, globs and URLs; without any, the inbox of voxdata.toml.

    Args:
        decode: What a worker does with a file; replaced in tests.
        still_s: Files that changed less than so long ago are left for the next time: somebody may still be writing them.

    Raises:
        ConfigError: No source is given or configured, or one matches nothing.
    """
    newest_ns = time.time_ns() - round(still_s * 1e9)
    listed = [s for s in list_sources(source_patterns(workspace, patterns)) if not still_s or s.modified_ns <= newest_ns]
    return _ingest_listed(workspace, listed, say=say, decode=decode)


def ingest_manifest(workspace: Workspace, manifest: Path, *, say: Say, decode: Decode = decode_file) -> IngestSummary:
    """Ingest the recordings that a manifest names, and keep what it says about each; bad rows go to the ledger, the others go on.

    The same manifest again changes nothing.

    Raises:
        ConfigError: The manifest cannot be read.
        TransientError: A row's store cannot be reached; all other rows are done.
    """
    rows, bad = read_manifest(manifest)
    sources: dict[str, Source] = {}
    unreachable: list[TransientError] = []
    for row in rows:
        try:
            sources[row.uri] = list_file(row.uri)
        except ConfigError as error:
            bad.append(BadRow(number=row.number, problem=str(error)))
        except TransientError as error:
            unreachable.append(error)
    with workspace.warehouse() as con:
        for trouble in bad:
            say(f"manifest: {manifest}, row {trouble.number}: {trouble.problem}")
            record_drop(
                con, stage="manifest", subject=f"{manifest.absolute()}:{trouble.number}", reason=DropReason.BAD_ROW,
                detail=trouble.problem, run_id=workspace.run_id,
            )  # fmt: skip
    listed = {source.uri: source for source in sources.values()}
    summary = _ingest_listed(workspace, [listed[uri] for uri in sorted(listed)], say=say, decode=decode)
    changed = 0
    with workspace.warehouse() as con, transaction(con):
        for row in rows:
            source = sources.get(row.uri)
            known = source and find_source(con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns)
            if known and known.recording_id is not None:
                changed += store_metadata(con, known.recording_id, row.metadata, manifest=str(manifest.absolute()), run_id=workspace.run_id)
    say(f"manifest: {len(rows)} rows, {len(bad)} bad, {changed} values new or changed")
    _tell_odd_consents(rows, say=say)
    if unreachable:
        raise TransientError(f"{manifest}: {len(unreachable)} rows wait, the others are done; {unreachable[0]}")
    return replace(summary, dropped=summary.dropped + len(bad))


def _tell_odd_consents(rows: Sequence[ManifestRow], *, say: Say) -> None:
    """Say in one line which consents cannot be understood, and how many rows have each."""
    problems = list(count_problems(row.metadata for row in rows).items())
    if not problems:
        return
    shown = "; ".join(f"{problem}: {_rows(count)}" for problem, count in problems[:NAMED_PROBLEMS])
    rest = problems[NAMED_PROBLEMS:]
    more = f"; {len(rest)} other values: {_rows(sum(count for _, count in rest))}" if rest else ""
    say(f"manifest: not understood, so these recordings are not used: {shown}{more}; write yes or no, and a date as 2027-01-31")


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _ingest_listed(workspace: Workspace, sources: Sequence[Source], *, say: Say, decode: Decode) -> IngestSummary:
    total, began = IngestSummary(), time.monotonic()
    settings = workspace.settings.sources
    workers = min(settings.workers or count_cores(), max(len(sources), 1))
    with WorkerPool(workers=workers, memory_bytes=round(settings.decode_memory_gb * (1 << 30))) as pool:
        for start in range(0, len(sources), BATCH_SIZE):
            part = call(ingest_batch, workspace, sources[start : start + BATCH_SIZE], pool, decode)
            total = IngestSummary(**{name: getattr(total, name) + getattr(part, name) for name in IngestSummary.__slots__})
            rate = total.listed / max(time.monotonic() - began, 1e-3)
            left_s = (len(sources) - total.listed) / rate
            say(
                f"ingest: {total.listed}/{len(sources)} files, {total.recordings} new recordings, {total.dropped} dropped; "
                f"{rate:.1f} files/s, {left_s:.0f} s left"
            )
    find_duplicates(workspace, say=say)
    show_table("ingest", [{name: getattr(total, name) for name in IngestSummary.__slots__}], description="Files of this ingestion")
    return total


def plan_ingest(workspace: Workspace, patterns: Sequence[str]) -> list[dict[str, object]]:
    """What an ingestion would do with each file that is not known: rows with uri, standing ("new", "changed" or "retry") and size."""
    rows: list[dict[str, object]] = []
    sources = list_sources(source_patterns(workspace, patterns))
    known = _known(workspace, sources)
    with workspace.warehouse() as con:
        seen = known_uris(con)
        for source in sources:
            if source.uri in known:
                continue
            same = find_source(con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns)
            standing = "retry" if same is not None else "changed" if source.uri in seen else "new"
            rows.append({"uri": source.uri, "standing": standing, "size_bytes": source.size_bytes})
    return rows


def source_patterns(workspace: Workspace, patterns: Sequence[str]) -> list[str]:
    """What an ingestion reads: the patterns given, or the inbox of voxdata.toml.

    Raises:
        ConfigError: There is neither.
    """
    chosen = list(patterns) or [_inbox_path(workspace, entry) for entry in workspace.settings.sources.inbox]
    if not chosen:
        raise ConfigError("nothing to ingest: name files, folders or URLs, or set [sources] inbox in voxdata.toml")
    return chosen


def _inbox_path(workspace: Workspace, entry: str) -> str:
    return entry if "://" in entry or Path(entry).is_absolute() else str(workspace.root / entry)


@flow(name="ingest", flow_run_name="ingest", validate_parameters=False, log_prints=True)
def ingest(root: str, patterns: list[str] | None = None, manifest: str | None = None, still_s: float = 0.0) -> dict[str, int]:
    """Ingest what is new in the sources of the workspace at `root`, or in a manifest."""
    workspace = open_workspace(Path(root))
    if manifest is not None:
        summary = ingest_manifest(workspace, Path(manifest), say=tell)
    else:
        summary = ingest_sources(workspace, patterns or [], say=tell, still_s=still_s)
    return {name: getattr(summary, name) for name in IngestSummary.__slots__}
