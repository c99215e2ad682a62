"""What is on record of sources: known, refused, touched, or new."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from flows.ingest.listed import Listing, Source
from flows.ingest.tries import Retry, find_tries
from flows.ingest.worker import content_of
from flows.workers.days import waits
from flows.workspace import Workspace
from voxdata.audio import decoder_version
from voxdata.audio_digest import AudioDigest, check_whole
from voxdata.canonical import open_canonical
from voxdata.errors import AudioError
from voxdata.sound import MODEL_RATE_HZ
from warehouse.attempts import Tries
from warehouse.audio_digests import frame_audio, list_audio_digests
from warehouse.connection import transaction
from warehouse.listed_files import FileMatches, match_files, move_places
from warehouse.places import is_there
from warehouse.recordings import add_source

CHECKED_AT_ONCE = 60 * MODEL_RATE_HZ
ROWS_AT_ONCE = 10_000
HASHED_AT_ONCE = 500
"""So many files are read before what came of it is noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How listed files stand that were seen before.

    Attributes:
        num_known: How many are not tried again while nothing about them changes.
        unknown: All others.
        on_record: `uri`, `recording_id` (null: it gave none) and `decoder` of those of `unknown`
            that were dealt with as they are now.
        tries: URI -> how often it was tried in vain, for those that may be tried again.
        waiting: URIs of those of them that were tried today.
    """

    num_known: int
    unknown: Listing
    on_record: pl.DataFrame
    tries: Mapping[str, Tries]
    waiting: set[str]

    @property
    def pending(self) -> Listing:
        """Those that are to be tried now."""
        return self.unknown.only(~pl.col("uri").is_in(list(self.waiting)))


def read_standing(workspace: Workspace, listing: Listing, retry: Retry) -> Standing:
    """How files stand; those of a retry as if nothing were known of them but their tries.

    Known are files that were dealt with before and are unchanged: one that gave no recording only
    when this very decoder tried it, one that gave a recording only while its canonical audio is
    there and its own (`_list_sound`): else it is decoded once more, and its audio made anew.

    All are compared with the table of sources in one go, and nothing is made of a file that is
    known: a million of them are some columns.
    """
    numbered = listing.files.with_row_index("number")
    asked = numbered.filter(pl.col("uri").is_in(list(retry.uris))).select("number")
    with workspace.warehouse() as con:
        matches = match_files(con, numbered)
        tries = find_tries(con, listing)
    dealt_with = _settle_moved(workspace, listing, matches, asked)
    judged = dealt_with.join(asked, on="number", how="anti")
    refused = judged.filter(
        pl.col("recording_id").is_null(), pl.col("decoder") == decoder_version()
    )
    sound = judged.join(_list_sound(workspace, judged), on="recording_id", how="semi")
    known = pl.concat([refused, sound]).select("number")

    files = numbered.join(known, on="number", how="anti", maintain_order="left")
    unknown = Listing(files.drop("number"), listing.odd)
    still = set(unknown.only(pl.col("uri").is_in(list(tries))).files["uri"])
    tries = {uri: one for uri, one in tries.items() if uri in still}
    return Standing(
        num_known=known.height,
        unknown=unknown,
        on_record=files.join(dealt_with, on="number").select("uri", "recording_id", "decoder"),
        tries=tries,
        waiting={uri for uri, one in tries.items() if waits(one)} - retry.uris,
    )


def _settle_moved(
    workspace: Workspace, listing: Listing, matches: FileMatches, asked: pl.DataFrame
) -> pl.DataFrame:
    """Note the files that are known though their place or time of change is another.

    Args:
        asked: Files of a retry: nothing is noted about these.

    Returns:
        All that were dealt with as they are now: `number`, `recording_id` and `decoder`.
    """
    touched = matches.earlier.join(asked, on="number", how="anti")
    same = [_note_touched(workspace, listing, part) for part in touched.iter_slices(HASHED_AT_ONCE)]
    touched = pl.concat([touched.clear(), *same])
    moved = matches.moved.join(asked, on="number", how="anti")
    places = pl.concat([frame.select("number", "stored", "kept") for frame in (moved, touched)])
    gone = [row for row in places.sort("number").iter_rows(named=True) if _has_moved(row, listing)]
    if gone:
        with workspace.warehouse() as con, transaction(con):
            move_places(con, pl.DataFrame(gone).select("stored", "kept"))
    columns = ("number", "recording_id", "decoder")
    return pl.concat([frame.select(columns) for frame in (matches.known, matches.moved, touched)])


def _has_moved(row: Mapping[str, object], listing: Listing) -> bool:
    """Whether a file is on record under a place that is gone, or as older releases wrote it."""
    stored = str(row["stored"])
    if stored == row["kept"]:
        return False
    return stored == listing.files["uri"][int(str(row["number"]))] or not is_there(stored)


def _note_touched(workspace: Workspace, listing: Listing, earlier: pl.DataFrame) -> pl.DataFrame:
    """Note files of which only the time of change is another, as in a plain copy of a workspace.

    Args:
        earlier: Files of the same place and size that gave a recording, with their `content` then.

    Returns:
        Those of them whose content is the same.
    """
    same = []
    for row in earlier.iter_rows(named=True):
        path = _readable_path(listing[row["number"]])
        if path is not None and content_of(path) == row["content"]:
            same.append(row)
    if same:
        with workspace.warehouse() as con, transaction(con):
            for row in same:
                _add_source(con, listing, row, run_id=workspace.run_id)
    return pl.DataFrame(same, schema=earlier.schema)


def _readable_path(source: Source) -> Path | None:
    return source.path if source.is_readable else None


def _add_source(
    con: DuckDBPyConnection, listing: Listing, row: Mapping[str, object], *, run_id: str
) -> None:
    source = listing[int(str(row["number"]))]
    add_source(
        con,
        uri=source.uri,
        size_bytes=source.size_bytes,
        modified_ns=source.modified_ns,
        recording_id=str(row["recording_id"]),
        decoder=str(row["decoder"]),
        content=str(row["content"]),
        run_id=run_id,
    )


def _list_sound(workspace: Workspace, dealt_with: pl.DataFrame) -> pl.DataFrame:
    """Which recordings have their canonical audio, whole as far as its size tells.

    The size is compared with that of the digest on record, and nothing is opened: to open a million
    files costs minutes, and what changed inside a file is found elsewhere, since every read of a
    file compares its head and checksums, and `voxdata verify --audio` all of its bytes. A file that
    is missing or has another size, one that is older than digests, and one with which either has
    found fault is examined.

    Args:
        dealt_with: `recording_id` of files, null where they gave none.

    Returns:
        `recording_id`.
    """
    recordings = dealt_with.select("recording_id").drop_nulls()
    if recordings.is_empty():
        return recordings
    with workspace.warehouse(read_only=True) as con:
        audio = frame_audio(con, recordings)
    folder = workspace.audio_dir
    sizes = pl.Series("found_bytes", list(_sizes(folder, audio["audio_file"])), dtype=pl.Int64)
    audio = audio.with_columns(sizes)
    as_stored = (pl.col("size_bytes") == pl.col("found_bytes")).fill_null(value=False)
    plain = as_stored & ~pl.col("is_doubted")
    sound = [audio.filter(plain).select("recording_id")]
    for part in audio.filter(~plain).iter_slices(ROWS_AT_ONCE):
        with workspace.warehouse(read_only=True) as con:
            digests = list_audio_digests(con, part["recording_id"].to_list())
        columns = part.select("recording_id", "audio_file", "is_doubted")
        examined = [
            recording_id
            for recording_id, audio_file, is_doubted in columns.iter_rows()
            if _is_sound(folder / audio_file, digests.get(recording_id), whole=is_doubted)
        ]
        sound.append(pl.DataFrame({"recording_id": examined}, schema={"recording_id": pl.String}))
    return pl.concat(sound)


def _sizes(folder: Path, names: pl.Series) -> Iterator[int]:
    """The size of each file, in bytes; -1 where there is no file, or none that may be looked at."""
    for name in names:
        try:
            info = os.stat(f"{folder}/{name}")  # noqa: PTH116 - there may be a million
        except OSError:
            yield -1
        else:
            yield info.st_size if stat.S_ISREG(info.st_mode) else -1


def _is_sound(canonical: Path, digest: AudioDigest | None, *, whole: bool) -> bool:
    """Whether canonical audio is what was stored.

    Args:
        whole: All of it is read, since a later stage, or `voxdata verify --audio`, found fault with
            it.
    """
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
