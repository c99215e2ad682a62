"""What is on record of sources: known, refused, touched, or new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.ingest.sources import Source
from flows.ingest.tries import (
    Retry,
    find_tries,
)
from flows.ingest.worker import content_of
from flows.workers.days import waits
from flows.workspace import Workspace
from voxdata.audio import decoder_version
from voxdata.audio_digest import AudioDigest, check_whole
from voxdata.canonical import open_canonical
from voxdata.errors import (
    AudioError,
)
from voxdata.sound import MODEL_RATE_HZ
from warehouse.attempts import Tries
from warehouse.audio_digests import list_audio_digests
from warehouse.connection import transaction
from warehouse.ledger import unreadable_recordings
from warehouse.recordings import (
    SourceRow,
    add_source,
    find_earlier,
    find_source,
    get_recording,
    has_moved,
    settle_places,
)

CHECKED_AT_ONCE = 60 * MODEL_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How files stand that were seen before.

    Attributes:
        known: URIs of those that are not tried again while nothing about them changes.
        tries: URI -> how often it was tried in vain, for those that may be tried again.
        waiting: URIs of those of them that were tried today.
    """

    known: set[str]
    tries: Mapping[str, Tries]
    waiting: set[str]


def read_standing(workspace: Workspace, sources: Sequence[Source], retry: Retry) -> Standing:
    """How files stand; those of a retry as if nothing were known of them but their tries."""
    known = _known(workspace, [source for source in sources if source.uri not in retry.uris])
    with workspace.warehouse() as con:
        found = find_tries(con, sources)
    tries = {uri: found[uri] for uri in found if uri not in known}
    waiting = {uri for uri, one in tries.items() if waits(one)} - retry.uris
    return Standing(known=known, tries=tries, waiting=waiting)


def _known(workspace: Workspace, sources: Sequence[Source]) -> set[str]:
    """Files dealt with before, unchanged.

    One that gave no recording counts only when this very decoder tried it, one that gave a recording only while its canonical audio is
    there, whole and its own: else it is decoded once more, and its canonical audio made anew.
    """
    with workspace.warehouse() as con:
        rows = [
            (s, find_source(con, uri=s.uri, size_bytes=s.size_bytes, modified_ns=s.modified_ns))
            for s in sources
        ]
        touched = [
            row
            for source, known in rows
            if known is None and (row := _find_touched(con, source)) is not None
        ]
        found = [row for _, row in rows if row is not None] + touched
        moved = [row for row in found if has_moved(row)]
        if touched or moved:
            with transaction(con):
                settle_places(con, moved)
                for row in touched:
                    _note_touched(con, row, run_id=workspace.run_id)
        stored = {
            name: get_recording(con, name)
            for row in found
            if (name := row.recording_id) is not None
        }
        doubted = unreadable_recordings(con, stored)
        digests = list_audio_digests(con, stored)
    known = {
        row.uri for row in found if row.recording_id is None and row.decoder == decoder_version()
    }
    for row in found:
        if row.recording_id is not None:
            canonical = workspace.audio_dir / stored[row.recording_id].audio_file
            if _is_sound(
                canonical, digests.get(row.recording_id), whole=row.recording_id in doubted
            ):
                known.add(row.uri)
    return known


def _find_touched(con: DuckDBPyConnection, source: Source) -> SourceRow | None:
    """How a file was dealt with before of which only the time of change is another, as in a plain copy of a workspace."""
    if source.path is None or source.problem:
        return None
    earlier = find_earlier(con, uri=source.uri, size_bytes=source.size_bytes)
    same = earlier is not None and content_of(source.path) == earlier.content
    return (
        replace(earlier, modified_ns=source.modified_ns) if earlier is not None and same else None
    )


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
