"""Ingest: decode every source once, keep canonical audio, and write down what was dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection
from prefect import flow

from flows.ingest.duplicates import find_duplicates
from flows.ingest.listed import Listing, Source, list_all
from flows.ingest.listing import list_manifest, list_wanted, tell_odd_consents
from flows.ingest.manifests import describe_times
from flows.ingest.sources import in_their_words, open_local, storable
from flows.ingest.standing import read_standing
from flows.ingest.tries import (
    ANOTHER_DAY,
    Retry,
    find_retry,
    note_try,
)
from flows.ingest.worker import (
    NOT_AGAIN,
    Decode,
    Refused,
    audio_file_of,
    decode_and_hash,
    decode_file,
)
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.steps import call, show_table, step
from flows.workers.limits import Limits
from flows.workers.pool import WorkerPool, count_cores
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import decoder_version
from voxdata.canonicalise import Canonical
from voxdata.counted import counted
from voxdata.durable import move, remove, sync, workshop, writing
from voxdata.errors import (
    AudioError,
    ConfigError,
    DropReason,
    MachineError,
    ShortageError,
    StalledError,
    TransientError,
    VoxdataError,
    WorkerError,
)
from voxdata.progress import Progress
from voxdata.tally import add_up
from warehouse.attempts import PASSING
from warehouse.audio_digests import add_audio_digests
from warehouse.connection import transaction
from warehouse.erase import is_forgotten
from warehouse.ledger import record_drop
from warehouse.metadata import store_metadata
from warehouse.recordings import (
    add_recording,
    add_source,
    find_source,
    holds_recording,
)
from warehouse.remarks import record_remarks

MORE_ROOM = "raise [sources] decode_spool_gb, then `voxdata ingest --retry too_long`"

PATIENT_BYTES = 100_000_000
"""A file of this size is granted [sources] decode_seconds once more."""

LET_IN = "`voxdata forget --renew` lets it in once consent is given again"

BATCH_SIZE = 16

MOST_STALLS = 3
"""Of so many remote files in a row nothing came: it is the network, and not a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSummary:
    """What an ingestion did, in files.

    Attributes:
        listed: Files the sources named.
        recordings: New recordings.
        known: Files seen before, unchanged.
        duplicates: Other files with the content of a recording that was there.
        dropped: Files that gave no audio to go on with; the ledger says why.
        waiting: Files that were tried today already; another day's ingest tries them again.
        remarks: What was lost, filled in or left out of recordings that were kept.
    """

    listed: int = 0
    recordings: int = 0
    known: int = 0
    duplicates: int = 0
    dropped: int = 0
    waiting: int = 0
    remarks: int = 0


NO_RETRY = Retry()


@step("ingest-batch")
def ingest_batch(
    workspace: Workspace,
    sources: Sequence[Source],
    pool: WorkerPool,
    decode: Decode,
    retry: Retry = NO_RETRY,
) -> tuple[IngestSummary, list[VoxdataError]]:
    """Ingest some files at once.

    One bad file never stops the others, and the order of the workers changes nothing.

    Returns:
        What was done, and the reasons why files were left untried: the machine ran short of memory
        over them, or nothing of them came over the network. In the ledger there is nothing about
        these, until memory was short on several days.

    Raises:
        MachineError: The machine cannot go on, as when a disk is full; what was decoded before is
            stored, and nothing is noted about the other files.
        TransientError: A remote source could not be fetched, or nothing came of `MOST_STALLS` in a
            row; what was fetched before is stored.
    """
    settings = workspace.settings.sources
    standing = read_standing(workspace, list_all(sources), retry)
    new = standing.pending
    summary = IngestSummary(
        listed=len(sources), known=standing.num_known, waiting=len(standing.waiting)
    )
    limit_ms = round(settings.max_hours * 3_600_000)
    stopped: VoxdataError | None = None
    untried: list[VoxdataError] = []
    in_a_row = 0
    with ExitStack() as opened:
        waiting: list[
            tuple[Source, Path, Path, Future[tuple[Canonical | Refused, str]] | Refused]
        ] = []
        staging = opened.enter_context(_staging(workspace.audio_dir)) if new else Path()
        try:
            for number, source in enumerate(new):
                staged = staging / str(number)
                try:
                    path = opened.enter_context(
                        open_local(
                            source, near=workspace.root, stall_s=settings.fetch_stall_seconds
                        )
                    )
                except AudioError as error:
                    waiting.append(
                        (source, Path(), staged, Refused(reason=error.reason, detail=str(error)))
                    )
                    continue
                except StalledError as error:
                    untried.append(error)
                    in_a_row += 1
                    if in_a_row == MOST_STALLS:
                        raise
                    continue
                in_a_row = 0 if source.path is None else in_a_row
                begun = pool.submit(
                    decode_and_hash,
                    decode,
                    path,
                    staged,
                    limit_ms,
                    cpu_s=settings.decode_seconds * (1 + max(source.size_bytes, 0) / PATIENT_BYTES),
                    idle_s=settings.stall_seconds,
                )
                waiting.append((source, path, staged, begun))
        except (MachineError, TransientError, ConfigError) as error:
            stopped = error
        for source, path, staged, answer in waiting:
            if (
                isinstance(stopped, MachineError)
                and isinstance(answer, Future)
                and not (answer.running() or answer.done())
            ):
                answer.cancel()  # the ones that run would leave half a file behind
                continue
            try:
                found, content = _result(source, answer, pool)
            except ShortageError as error:
                refused = _give_up(workspace, source, error)
                if refused is None:
                    untried.append(ShortageError(f"{source.uri}: {error}", reason=error.reason))
                    continue
                found, content = refused, ""
            except MachineError as error:
                stopped = stopped or error
                continue
            if isinstance(found, Refused) and path.name:
                found = replace(found, detail=in_their_words(found.detail, source, path))
            field = _settle(workspace, source, found, content, staged=staged)
            summary = replace(summary, **{field: getattr(summary, field) + 1})
            if isinstance(found, Canonical) and field != "dropped":
                summary = replace(summary, remarks=summary.remarks + len(found.remarks))
    if stopped is not None:
        raise stopped
    return summary, untried


@contextmanager
def _staging(audio_dir: Path) -> Iterator[Path]:
    """A folder for audio of which nobody knows yet whose it is.

    What a killed process leaves is swept.
    """
    with writing(audio_dir):
        audio_dir.mkdir(parents=True, exist_ok=True)
    with workshop(audio_dir) as folder:
        yield folder


def _give_up(workspace: Workspace, source: Source, error: ShortageError) -> Refused | None:
    """Note a file over which memory ran out.

    Returns:
        What is to be said of it when that has happened often enough.
    """
    with workspace.warehouse() as con:
        detail = storable(str(error))
        tries = note_try(con, source, reason=error.reason, detail=detail, run_id=workspace.run_id)
    if not tries.rests:
        return None
    why = f"memory ran out, or the system ended the process, on {counted(tries.days, 'day')}"
    detail = f"{source.uri}: {why}; free memory, then `voxdata ingest --retry {error.reason}`"
    return Refused(reason=error.reason, detail=detail)


def _result(
    source: Source, answer: Future[tuple[Canonical | Refused, str]] | Refused, pool: WorkerPool
) -> tuple[Canonical | Refused, str]:
    if isinstance(answer, Refused):
        return answer, ""
    try:
        found, content = pool.result_of(answer)
    except WorkerError as error:
        found, content = Refused(reason=error.reason, detail=f"{source.uri}: {error}"), ""
        if error.reason not in PASSING:
            remedy = MORE_ROOM if error.reason is DropReason.TOO_LONG else NOT_AGAIN
            found = replace(found, detail=f"{found.detail}; {remedy}")
    if isinstance(found, Refused) and found.reason in PASSING:
        found = replace(found, detail=f"{found.detail}; {ANOTHER_DAY}")
    return found, content


def _place(found: Canonical, staged: Path, audio_dir: Path) -> None:
    """Move canonical audio to where it belongs, durably."""
    name = audio_file_of(found.recording)
    with writing(audio_dir):
        (audio_dir / name).parent.mkdir(parents=True, exist_ok=True)
    move(staged / name, audio_dir / name)
    sync((audio_dir / name).parent)


def _settle(
    workspace: Workspace, source: Source, found: Canonical | Refused, content: str, *, staged: Path
) -> str:
    """Store the outcome of one file, in one transaction.

    Args:
        staged: Folder in which its canonical audio lies, which goes to its place once it is known
            that nobody in it was forgotten: a process that is killed before leaves nothing of them.

    Returns:
        The field of `IngestSummary` it counts for.
    """
    run_id, new = workspace.run_id, False
    if (
        isinstance(found, Canonical)
        and (target := workspace.audio_dir / audio_file_of(found.recording)).is_dir()
    ):
        detail = f"{target}: a folder lies where its canonical audio belongs; move it away"
        found = Refused(reason=DropReason.NOT_READABLE, detail=detail)
    refused = found if isinstance(found, Refused) else None
    recording = None if isinstance(found, Refused) else found.recording
    if isinstance(found, Canonical) and found.silent:
        kept = "the recording is kept, nothing is pre-labelled"
        refused = Refused(
            reason=DropReason.SILENT, detail=f"no sample above the noise floor; {kept}"
        )
    workspace.require_folders("audio")  # a disk that went away meanwhile is no fault of the file
    with workspace.warehouse() as con, transaction(con):
        receipt = is_forgotten(con, recording.recording_id) if recording is not None else None
        if recording is not None and receipt is not None:
            # Not even the file's name is kept.
            record_drop(
                con,
                stage="ingest",
                subject=f"receipt {receipt}",
                reason=DropReason.FORGOTTEN,
                run_id=run_id,
                detail=f"a recording that was forgotten came again; {LET_IN}",
            )
            # Earlier releases decoded to its place before they asked, and may have been killed.
            remove(workspace.audio_dir / audio_file_of(recording), missing_ok=True)
            return "dropped"
        if recording is not None:
            new = add_recording(con, recording, audio_file=audio_file_of(recording), run_id=run_id)
        if isinstance(found, Canonical):
            _place(found, staged, workspace.audio_dir)
            add_audio_digests(con, [found.digest], run_id=run_id)
        recording_id = None if recording is None else recording.recording_id
        if refused is None or _is_final(con, source, refused, run_id=run_id):
            add_source(
                con,
                uri=source.uri,
                size_bytes=source.size_bytes,
                modified_ns=source.modified_ns,
                recording_id=recording_id,
                decoder=decoder_version(),
                content=content,
                run_id=run_id,
            )
        if isinstance(found, Canonical):
            record_remarks(
                con,
                found.remarks,
                recording_id=found.recording.recording_id,
                stage="ingest",
                subject=source.uri,
                run_id=run_id,
            )
        if refused is not None:
            record_drop(
                con,
                stage="ingest",
                subject=source.uri,
                reason=refused.reason,
                detail=refused.detail,
                recording_id=recording_id,
                run_id=run_id,
            )
    if refused is not None:
        return "dropped"
    return "recordings" if new else "duplicates"


def _is_final(con: DuckDBPyConnection, source: Source, refused: Refused, *, run_id: str) -> bool:
    """Whether a file is not tried again while nothing about it changes.

    One that is away or closed to us may come back as it was; one that hung, was killed or took too
    much memory has its days.
    """
    if refused.reason in PASSING:
        tries = note_try(con, source, reason=refused.reason, detail=refused.detail, run_id=run_id)
        return tries.rests
    if refused.reason is DropReason.MISSING:
        # A link that leads nowhere is known, unless it led to a recording once.
        return source.size_bytes < 0 and not holds_recording(con, source.uri)
    return refused.reason is not DropReason.NOT_READABLE


def ingest_sources(
    workspace: Workspace,
    patterns: Sequence[str],
    *,
    say: Say,
    decode: Decode = decode_file,
    still_s: float = 0.0,
    retry: DropReason | None = None,
) -> IngestSummary:
    """Ingest files, folders, globs and URLs; without any, the inbox of voxdata.toml.

    Args:
        decode: What a worker does with a file; replaced in tests.
        still_s: Files that changed less than so long ago are left for the next time: somebody may
            still be writing them.
        retry: Files that were refused for this are tried now, whenever they were tried last;
            without patterns these and no others.

    Raises:
        ConfigError: No source is given or configured, or one matches nothing.
    """
    newest_ns = time.time_ns() - round(still_s * 1e9)
    wanted = find_retry(workspace, retry)
    listing = list_wanted(workspace, patterns, wanted, say=say)
    for source in listing.list_odd():
        if source.path is None and source.problem:
            say(f"ingest: {source.uri}: {source.problem}")
    if still_s:
        listing = listing.only(pl.col("modified_ns") <= newest_ns)
    return _ingest_listed(workspace, listing, say=say, decode=decode, retry=wanted)


def ingest_manifest(
    workspace: Workspace,
    manifest: Path,
    *,
    say: Say,
    decode: Decode = decode_file,
    audio_root: Path | None = None,
    anywhere: bool = False,
    retry: DropReason | None = None,
) -> IngestSummary:
    """Ingest the recordings that a manifest names, and keep what it says about each.

    Bad rows go to the ledger, the others go on. The same manifest again changes nothing.

    Args:
        audio_root: What paths are relative to; else the manifest's folder.
        anywhere: Whether rows may name files outside both.
        retry: See `ingest_sources`.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a recording that can be read; nothing is written then.
        TransientError: A row's store cannot be reached; all other rows are done.
    """
    named = list_manifest(manifest, audio_root=audio_root, anywhere=anywhere)
    for remark in (*named.table.remarks, *describe_times(named.table)):
        say(f"manifest: {manifest}: {remark}")
    with workspace.warehouse() as con:
        for trouble in named.bad:
            say(f"manifest: {manifest}, row {trouble.number}: {trouble.problem}")
            record_drop(
                con,
                stage="manifest",
                subject=f"{manifest.absolute()}:{trouble.number}",
                reason=DropReason.BAD_ROW,
                detail=trouble.problem,
                run_id=workspace.run_id,
            )
    wanted = find_retry(workspace, retry)
    summary = _ingest_listed(workspace, named.listing, say=say, decode=decode, retry=wanted)
    changed = 0
    with workspace.warehouse() as con, transaction(con):
        for row in named.rows:
            source = named.sources.get(row.uri)
            dealt_with = source and find_source(
                con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns
            )
            if dealt_with and dealt_with.recording_id is not None:
                changed += store_metadata(
                    con,
                    dealt_with.recording_id,
                    row.metadata,
                    manifest=str(manifest.absolute()),
                    run_id=workspace.run_id,
                )
    repeated = sum(row.repeats for row in named.rows)
    good = sum(row.uri in named.sources for row in named.rows) + repeated
    wait = f", {len(named.unreachable)} wait" if named.unreachable else ""
    again = (
        f" ({counted(repeated, 'of them repeats', 'of them repeat')} another)" if repeated else ""
    )
    values = counted(changed, "value")
    say(
        f"manifest: {counted(good, 'row')}{again}, {len(named.bad)} bad{wait}, "
        f"{values} new or changed"
    )
    tell_odd_consents(named.rows, say=say)
    if named.unreachable:
        waiting = counted(len(named.unreachable), "row waits", "rows wait")
        raise TransientError(f"{manifest}: {waiting}, the others are done; {named.unreachable[0]}")
    return replace(summary, dropped=summary.dropped + len(named.bad))


def _ingest_listed(
    workspace: Workspace, listing: Listing, *, say: Say, decode: Decode, retry: Retry
) -> IngestSummary:
    began = time.monotonic()
    standing = read_standing(workspace, listing, retry)
    num_waiting = len(standing.waiting)
    total = IngestSummary(
        listed=standing.num_known + num_waiting, known=standing.num_known, waiting=num_waiting
    )
    untried: list[VoxdataError] = []
    if total.listed:
        to_go = len(standing.pending)
        pace = f"{to_go} to decode" if to_go else _pace(total.listed, began=began, num_left=0)
        _tell_progress(total, len(listing), pace, say=say)
    if standing.pending:
        total, untried = _ingest_pending(
            workspace, standing.pending, total, say=say, decode=decode, retry=retry
        )
    find_duplicates(workspace, say=say)
    show_table(
        "ingest",
        [{name: getattr(total, name) for name in IngestSummary.__slots__}],
        description="Files of this ingestion",
    )
    if untried:
        kind = (
            TransientError
            if all(isinstance(error, TransientError) for error in untried)
            else ShortageError
        )
        left = counted(len(untried), "file was", "files were")
        raise kind(f"{left} not ingested, the others were: {untried[0]}")
    return total


def _ingest_pending(
    workspace: Workspace,
    pending: Listing,
    total: IngestSummary,
    *,
    say: Say,
    decode: Decode,
    retry: Retry,
) -> tuple[IngestSummary, list[VoxdataError]]:
    """Ingest the files that are to be tried, batch by batch.

    Args:
        total: What is done with the others.

    Returns:
        What was done in all, and why files were left untried.
    """
    settings = workspace.settings.sources
    workers = min(settings.workers or count_cores(), len(pending))
    limits = Limits(
        memory_bytes=round(settings.decode_memory_gb * (1 << 30)),
        file_bytes=round(settings.decode_spool_gb * (1 << 30)),
    )
    num_listed = total.listed + len(pending)
    untried: list[VoxdataError] = []
    began = time.monotonic()
    with WorkerPool(workers=workers, limits=limits) as pool:
        for start in range(0, len(pending), BATCH_SIZE):
            batch = pending[start : start + BATCH_SIZE]
            part, left = call(ingest_batch, workspace, batch, pool, decode, retry)
            untried += left
            total = add_up(total, part)
            num_left = num_listed - total.listed
            pace = _pace(start + len(batch), began=began, num_left=num_left)
            _tell_progress(total, num_listed, pace, say=say)
    return total, untried


def _pace(num_done: int, *, began: float, num_left: int) -> str:
    """How fast files are done since `began`, and how long the others will take."""
    rate = num_done / max(time.monotonic() - began, 1e-3)
    return f"{rate:.1f} files/s, {num_left / rate:.0f} s left"


def _tell_progress(total: IngestSummary, num_listed: int, pace: str, *, say: Say) -> None:
    line = (
        f"ingest: {total.listed}/{num_listed} files, "
        f"{counted(total.recordings, 'new recording')}, {total.dropped} dropped, "
        f"{counted(total.remarks, 'remark')}; {pace}"
    )
    say(Progress(line, done=total.listed, total=num_listed))


@flow(
    name="ingest",
    flow_run_name="ingest",
    validate_parameters=False,
    log_prints=True,
)
def ingest(
    root: str,
    patterns: list[str] | None = None,
    manifest: str | None = None,
    still_s: float = 0.0,
    audio_root: str | None = None,
    anywhere: bool = False,
    retry: str | None = None,
) -> dict[str, int]:
    """Ingest what is new in the sources of the workspace at `root`, or in a manifest."""
    quiet_child()
    workspace = open_workspace(Path(root))
    reason = DropReason(retry) if retry else None
    if manifest is not None:
        chosen = Path(audio_root) if audio_root is not None else None
        summary = ingest_manifest(
            workspace, Path(manifest), say=tell, audio_root=chosen, anywhere=anywhere, retry=reason
        )
    else:
        summary = ingest_sources(workspace, patterns or [], say=tell, still_s=still_s, retry=reason)
    return {name: getattr(summary, name) for name in IngestSummary.__slots__}
