"""Ingest: decode every source once, keep canonical audio, and write down what was dropped and why."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow

from flows.decode_work import NOT_AGAIN, Decode, Refused, audio_file_of, content_of, decode_and_hash, decode_file
from flows.duplicates import find_duplicates
from flows.limits import Limits
from flows.manifests import ManifestRow, describe_times, name_recordings
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.sources import Source, in_their_words, list_file, list_sources, open_local, storable
from flows.steps import call, show_table, step
from flows.tables.reach import REMEDY, Reach
from flows.tables.read import read_file
from flows.tables.table import BadRow, Table
from flows.tries import (
    ANOTHER_DAY,
    Retry,
    describe_tries,
    find_retry,
    find_tries,
    list_refused,
    note_try,
    waits,
)
from flows.workers import WorkerPool, count_cores
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio import decoder_version
from voxdata.audio_digest import AudioDigest, check_whole
from voxdata.canonical import open_canonical
from voxdata.canonicalise import Canonical
from voxdata.consent import count_problems
from voxdata.errors import (
    AudioError,
    ConfigError,
    DropReason,
    MachineError,
    ManifestError,
    ShortageError,
    TransientError,
    VoxdataError,
    WorkerError,
)
from voxdata.sound import MODEL_RATE_HZ
from warehouse.attempts import PASSING, Tries
from warehouse.audio_digests import add_audio_digests, list_audio_digests
from warehouse.connection import transaction
from warehouse.erase import is_forgotten
from warehouse.ledger import record_drop, unreadable_recordings
from warehouse.metadata import store_metadata
from warehouse.recordings import (
    SourceRow,
    add_recording,
    add_source,
    find_earlier,
    find_source,
    get_recording,
    has_moved,
    holds_recording,
    known_uris,
    settle_places,
)
from warehouse.remarks import record_remarks

MORE_ROOM = "raise [sources] decode_spool_gb, then `voxdata ingest --retry too_long`"

PATIENT_BYTES = 100_000_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """How files stand that were seen before.

    Attributes:
        known: URIs of those that are not tried again while nothing about them changes.
        tries: URI -> how often it was tried in vain, for those that may be tried again.
        waiting: URIs of those of them that were tried today.
    """

    known: set[str]
    tries: Mapping[str, Tries]
    waiting: set[str]


NO_RETRY = Retry()


@step("ingest-batch")
def ingest_batch(
    workspace: Workspace,
    sources: Sequence[Source],
    pool: WorkerPool,
    decode: Decode,
    retry: Retry = NO_RETRY,
) -> tuple[IngestSummary, list[str]]:
    """Ingest some files at once; one bad file never stops the others, and the order of the workers changes nothing.

    Returns:
        What was done, and the files over which the machine ran short of memory, each with its reason; in the ledger there is nothing
        about these, until it has happened on several days.

    Raises:
        MachineError: The machine cannot go on, as when a disk is full; what was decoded before is stored, and nothing is noted about
            the other files.
        TransientError: A remote source could not be fetched; what was fetched before it is stored.
    """
    settings = workspace.settings.sources
    standing = _standing(workspace, sources, retry)
    passed = standing.known | standing.waiting
    summary = IngestSummary(listed=len(sources), known=len(standing.known), waiting=len(standing.waiting))
    limit_ms = round(settings.max_hours * 3_600_000)
    stopped: VoxdataError | None = None
    untried: list[str] = []
    with ExitStack() as opened:
        waiting: list[tuple[Source, Path, Future[tuple[Canonical | Refused, str]] | Refused]] = []
        try:
            for source in sources:
                if source.uri in passed:
                    continue
                try:
                    path = opened.enter_context(open_local(source, near=workspace.root))
                except AudioError as error:
                    waiting.append((source, Path(), Refused(reason=error.reason, detail=str(error))))
                    continue
                begun = pool.submit(
                    decode_and_hash,
                    decode,
                    path,
                    workspace.audio_dir,
                    limit_ms,
                    cpu_s=settings.decode_seconds * (1 + max(source.size_bytes, 0) / PATIENT_BYTES),
                    idle_s=settings.stall_seconds,
                )
                waiting.append((source, path, begun))
        except (MachineError, TransientError, ConfigError) as error:
            stopped = error
        for source, path, answer in waiting:
            if isinstance(stopped, MachineError) and isinstance(answer, Future) and not (answer.running() or answer.done()):
                answer.cancel()  # the ones that run would leave half a file behind
                continue
            try:
                found, content = _result(source, answer, pool)
            except ShortageError as error:
                refused = _give_up(workspace, source, error)
                if refused is None:
                    untried.append(f"{source.uri}: {error}")
                    continue
                found, content = refused, ""
            except MachineError as error:
                stopped = stopped or error
                continue
            if isinstance(found, Refused) and path.name:
                found = replace(found, detail=in_their_words(found.detail, source, path))
            field = _settle(workspace, source, found, content)
            summary = replace(summary, **{field: getattr(summary, field) + 1})
            if isinstance(found, Canonical) and field != "dropped":
                summary = replace(summary, remarks=summary.remarks + len(found.remarks))
    if stopped is not None:
        raise stopped
    return summary, untried


def _give_up(workspace: Workspace, source: Source, error: ShortageError) -> Refused | None:
    """Note a file over which memory ran out; what is to be said of it when that has happened often enough."""
    with workspace.warehouse() as con:
        detail = storable(str(error))
        tries = note_try(con, source, reason=error.reason, detail=detail, run_id=workspace.run_id)
    if not tries.rests:
        return None
    why = f"memory ran out, or the system ended the process, on {tries.days} days"
    detail = f"{source.uri}: {why}; free memory, then `voxdata ingest --retry {error.reason}`"
    return Refused(reason=error.reason, detail=detail)


def _standing(workspace: Workspace, sources: Sequence[Source], retry: Retry) -> _Standing:
    """How files stand; those of a retry as if nothing were known of them but their tries."""
    known = _known(workspace, [source for source in sources if source.uri not in retry.uris])
    with workspace.warehouse() as con:
        found = find_tries(con, sources)
    tries = {uri: found[uri] for uri in found if uri not in known}
    waiting = {uri for uri, one in tries.items() if waits(one)} - retry.uris
    return _Standing(known=known, tries=tries, waiting=waiting)


def _known(workspace: Workspace, sources: Sequence[Source]) -> set[str]:
    """Files dealt with before, unchanged.

    One that gave no recording counts only when this very decoder tried it, one that gave a recording only while its canonical audio is
    there, whole and its own: else it is decoded once more, and its canonical audio made anew.
    """
    with workspace.warehouse() as con:
        rows = [(s, find_source(con, uri=s.uri, size_bytes=s.size_bytes, modified_ns=s.modified_ns)) for s in sources]
        touched = [row for source, known in rows if known is None and (row := _find_touched(con, source)) is not None]
        found = [row for _, row in rows if row is not None] + touched
        moved = [row for row in found if has_moved(row)]
        if touched or moved:
            with transaction(con):
                settle_places(con, moved)
                for row in touched:
                    _note_touched(con, row, run_id=workspace.run_id)
        stored = {name: get_recording(con, name) for row in found if (name := row.recording_id) is not None}
        doubted = unreadable_recordings(con, stored)
        digests = list_audio_digests(con, stored)
    known = {row.uri for row in found if row.recording_id is None and row.decoder == decoder_version()}
    for row in found:
        if row.recording_id is not None:
            canonical = workspace.audio_dir / stored[row.recording_id].audio_file
            if _is_sound(canonical, digests.get(row.recording_id), whole=row.recording_id in doubted):
                known.add(row.uri)
    return known


def _find_touched(con: DuckDBPyConnection, source: Source) -> SourceRow | None:
    """How a file was dealt with before of which only the time of change is another, as in a plain copy of a workspace."""
    if source.path is None or source.problem:
        return None
    earlier = find_earlier(con, uri=source.uri, size_bytes=source.size_bytes)
    same = earlier is not None and content_of(source.path) == earlier.content
    return replace(earlier, modified_ns=source.modified_ns) if earlier is not None and same else None


def _note_touched(con: DuckDBPyConnection, row: SourceRow, *, run_id: str) -> None:
    add_source(
        con,
        uri=row.uri,
        size_bytes=row.size_bytes,
        modified_ns=row.modified_ns,
        recording_id=row.recording_id,
        decoder=row.decoder,
        content=row.content,
        run_id=run_id,
    )


def _is_sound(canonical: Path, digest: AudioDigest | None, *, whole: bool) -> bool:
    """Whether canonical audio is what was stored; it is read whole when a later stage, or `voxdata verify --audio`, found fault with it."""
    if canonical.is_dir():
        return False  # who decodes says so
    try:
        if digest is not None and whole:
            check_whole(canonical, digest)
            return True
        for sound in open_canonical(canonical, expected=digest):
            for start in range(0, sound.num_samples if whole else 0, CHECKED_AT_ONCE):
                sound.read(start, start + CHECKED_AT_ONCE)
    except AudioError:
        return False
    return True


def _result(source: Source, answer: Future[tuple[Canonical | Refused, str]] | Refused, pool: WorkerPool) -> tuple[Canonical | Refused, str]:
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


def _settle(workspace: Workspace, source: Source, found: Canonical | Refused, content: str) -> str:
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
    workspace.require_folders("audio")  # a disk that went away meanwhile is no fault of the file
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
        if isinstance(found, Canonical):
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
                con, stage="ingest", subject=source.uri, reason=refused.reason, detail=refused.detail, recording_id=recording_id,
                run_id=run_id,
            )  # fmt: skip
    if refused is not None:
        return "dropped"
    return "recordings" if new else "duplicates"


def _is_final(con: DuckDBPyConnection, source: Source, refused: Refused, *, run_id: str) -> bool:
    """Whether a file is not tried again while nothing about it changes.

    One that is away or closed to us may come back as it was; one that hung, was killed or took too much memory has its days.
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
        still_s: Files that changed less than so long ago are left for the next time: somebody may still be writing them.
        retry: Files that were refused for this are tried now, whenever they were tried last; without patterns these and no others.

    Raises:
        ConfigError: No source is given or configured, or one matches nothing.
    """
    newest_ns = time.time_ns() - round(still_s * 1e9)
    wanted = find_retry(workspace, retry)
    listed = _list(workspace, patterns, wanted, say=say)
    for source in listed:
        if source.path is None and source.problem:
            say(f"ingest: {source.uri}: {source.problem}")
    arrived = [source for source in listed if not still_s or source.modified_ns <= newest_ns]
    return _ingest_listed(workspace, arrived, say=say, decode=decode, retry=wanted)


def _list(workspace: Workspace, patterns: Sequence[str], retry: Retry, *, say: Say) -> list[Source]:
    if retry.reason is not None and not patterns:
        return list_refused(retry, say=say)
    return list_sources(source_patterns(workspace, patterns))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What a manifest names.

    Attributes:
        rows: Of recordings, in order.
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
    def listed(self) -> list[Source]:
        """Each file once, sorted."""
        once = {source.uri: source for source in self.sources.values()}
        return [once[uri] for uri in sorted(once)]


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
    """Ingest the recordings that a manifest names, and keep what it says about each; bad rows go to the ledger, the others go on.

    The same manifest again changes nothing.

    Args:
        audio_root: What paths are relative to; else the manifest's folder.
        anywhere: Whether rows may name files outside both.
        retry: See `ingest_sources`.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a recording that can be read; nothing is written then.
        TransientError: A row's store cannot be reached; all other rows are done.
    """
    named = _list_manifest(manifest, audio_root=audio_root, anywhere=anywhere)
    for remark in (*named.table.remarks, *describe_times(named.table)):
        say(f"manifest: {manifest}: {remark}")
    with workspace.warehouse() as con:
        for trouble in named.bad:
            say(f"manifest: {manifest}, row {trouble.number}: {trouble.problem}")
            record_drop(
                con, stage="manifest", subject=f"{manifest.absolute()}:{trouble.number}", reason=DropReason.BAD_ROW,
                detail=trouble.problem, run_id=workspace.run_id,
            )  # fmt: skip
    wanted = find_retry(workspace, retry)
    summary = _ingest_listed(workspace, named.listed, say=say, decode=decode, retry=wanted)
    changed = 0
    with workspace.warehouse() as con, transaction(con):
        for row in named.rows:
            source = named.sources.get(row.uri)
            known = source and find_source(con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns)
            if known and known.recording_id is not None:
                changed += store_metadata(con, known.recording_id, row.metadata, manifest=str(manifest.absolute()), run_id=workspace.run_id)
    repeated = sum(row.repeats for row in named.rows)
    good = sum(row.uri in named.sources for row in named.rows) + repeated
    wait = f", {len(named.unreachable)} wait" if named.unreachable else ""
    again = f" ({repeated} of them repeat another)" if repeated else ""
    say(f"manifest: {good} rows{again}, {len(named.bad)} bad{wait}, {changed} values new or changed")
    _tell_odd_consents(named.rows, say=say)
    if named.unreachable:
        raise TransientError(f"{manifest}: {len(named.unreachable)} rows wait, the others are done; {named.unreachable[0]}")
    return replace(summary, dropped=summary.dropped + len(named.bad))


def _list_manifest(manifest: Path, *, audio_root: Path | None, anywhere: bool) -> _Named:
    """Read a manifest and look for the files that it names.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a file that is there and may be read.
    """
    if audio_root is not None and not audio_root.is_dir():
        raise ConfigError(f"--audio-root {audio_root} is no folder; name the one that the recordings lie in")
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
        raise ManifestError(
            f"{manifest}: none of its {len(bad)} rows names a recording that can be read; "
            f"row {bad[0].number}: {bad[0].problem}. Nothing was written; {REMEDY}"
        )
    kept = [replace(row, repeats=row.repeats if row.uri in sources else 0) for row in rows]
    return _Named(table=table, rows=kept, sources=sources, bad=bad, unreachable=unreachable)


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


def _ingest_listed(workspace: Workspace, sources: Sequence[Source], *, say: Say, decode: Decode, retry: Retry) -> IngestSummary:
    total, began = IngestSummary(), time.monotonic()
    settings = workspace.settings.sources
    workers = min(settings.workers or count_cores(), max(len(sources), 1))
    untried: list[str] = []
    limits = Limits(
        memory_bytes=round(settings.decode_memory_gb * (1 << 30)),
        file_bytes=round(settings.decode_spool_gb * (1 << 30)),
    )
    with WorkerPool(workers=workers, limits=limits) as pool:
        for start in range(0, len(sources), BATCH_SIZE):
            batch = sources[start : start + BATCH_SIZE]
            part, left = call(ingest_batch, workspace, batch, pool, decode, retry)
            untried += left
            total = IngestSummary(**{name: getattr(total, name) + getattr(part, name) for name in IngestSummary.__slots__})
            rate = total.listed / max(time.monotonic() - began, 1e-3)
            left_s = (len(sources) - total.listed) / rate
            say(
                f"ingest: {total.listed}/{len(sources)} files, {total.recordings} new recordings, {total.dropped} dropped, "
                f"{total.remarks} remarks; "
                f"{rate:.1f} files/s, {left_s:.0f} s left"
            )
    find_duplicates(workspace, say=say)
    show_table("ingest", [{name: getattr(total, name) for name in IngestSummary.__slots__}], description="Files of this ingestion")
    if untried:
        raise ShortageError(f"{len(untried)} files were not ingested, the others were: {untried[0]}")
    return total


def plan_ingest(workspace: Workspace, patterns: Sequence[str], *, say: Say, retry: DropReason | None = None) -> list[dict[str, object]]:
    """What an ingestion would do with each file that is not known.

    Returns:
        Rows with uri, standing, size and why. The standing is "new", "changed", "retry", or "waits" for a file that was tried today in
        vain and has days left.
    """
    wanted = find_retry(workspace, retry)
    return _plan_listed(workspace, _list(workspace, patterns, wanted, say=say), wanted)


def plan_manifest(
    workspace: Workspace,
    manifest: Path,
    *,
    say: Say,
    audio_root: Path | None = None,
    anywhere: bool = False,
    retry: DropReason | None = None,
) -> list[dict[str, object]]:
    """What ingesting a manifest would do, as `plan_ingest`; rows that cannot be used are said. Writes nothing.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a recording that can be read.
    """
    named = _list_manifest(manifest, audio_root=audio_root, anywhere=anywhere)
    for remark in (*named.table.remarks, *describe_times(named.table)):
        say(f"manifest: {manifest}: {remark}")
    for trouble in named.bad:
        say(f"manifest: {manifest}, row {trouble.number}: {trouble.problem}")
    if named.unreachable:
        say(f"manifest: {manifest}: {len(named.unreachable)} rows cannot be reached now; {named.unreachable[0]}")
    _tell_odd_consents(named.rows, say=say)
    return _plan_listed(workspace, named.listed, find_retry(workspace, retry))


def _plan_listed(workspace: Workspace, sources: Sequence[Source], retry: Retry) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    standing = _standing(workspace, sources, retry)
    with workspace.warehouse() as con:
        seen = known_uris(con)
        for source in sources:
            if source.uri in standing.known:
                continue
            how, why = _plan_source(con, source, standing, seen)
            rows.append({"uri": source.uri, "standing": how, "size_bytes": source.size_bytes, "why": why})
    return rows


def _plan_source(con: DuckDBPyConnection, source: Source, standing: _Standing, seen: set[str]) -> tuple[str, str]:
    """How a file stands that is not known, and why."""
    tries = standing.tries.get(source.uri)
    if source.uri in standing.waiting and tries is not None:
        later = f"again on another day, or now with --retry {tries.reason}"
        return "waits", f"{describe_tries(tries)}; {later}"
    if tries is not None:
        return "retry", describe_tries(tries)
    same = find_source(con, uri=source.uri, size_bytes=source.size_bytes, modified_ns=source.modified_ns)
    if same is None:
        return ("changed", "its size or time is another") if source.uri in seen else ("new", "")
    if same.recording_id is not None:
        return "retry", "its canonical audio is missing or damaged"
    changed = same.decoder != decoder_version()
    return "retry", "the decoder changed" if changed else "it was asked for"


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


@flow(
    name="ingest",
    flow_run_name="ingest",
    validate_parameters=False,
    log_prints=True,
    on_running=[quiet_child],
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
    workspace = open_workspace(Path(root))
    reason = DropReason(retry) if retry else None
    if manifest is not None:
        chosen = Path(audio_root) if audio_root is not None else None
        summary = ingest_manifest(workspace, Path(manifest), say=tell, audio_root=chosen, anywhere=anywhere, retry=reason)
    else:
        summary = ingest_sources(workspace, patterns or [], say=tell, still_s=still_s, retry=reason)
    return {name: getattr(summary, name) for name in IngestSummary.__slots__}
