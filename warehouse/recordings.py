"""Recordings and the files they came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.recording import ChannelLayout, Recording
from warehouse.places import keep_place, place_inside
from warehouse.rows import insert_new, read_rows, utc_aware

if TYPE_CHECKING:
    import polars as pl

_FIELDS = (
    "recording_id, sample_rate_hz, num_samples, num_channels, layout, canonical_channels, "
    "codec, container"
)
_FIRST_URI = """
    select placed(arg_min(s.uri, s.seq)) from source s where s.recording_id = r.recording_id
"""
_SELECT = f"""
    select {_FIELDS}, audio_file, r.created_at, coalesce(({_FIRST_URI}), audio_file) as uri
    from recording r
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A file as it was seen: the same uri with another size or time is another source.

    Attributes:
        recording_id: None when the file gave no recording.
        decoder: Version of what tried it last.
        content: SHA-256 of its bytes; "" when nobody noted it.
    """

    uri: str
    size_bytes: int
    modified_ns: int
    recording_id: str | None
    decoder: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecording:
    """A recording in the warehouse.

    Attributes:
        audio_file: The canonical FLAC, relative to the audio folder.
        uri: Where its content was first seen; `audio_file` when no source is on record.
        created_at: UTC.
    """

    recording: Recording
    audio_file: str
    uri: str
    created_at: datetime


def add_recording(
    con: DuckDBPyConnection, recording: Recording, *, audio_file: str, run_id: str
) -> bool:
    """Add a recording.

    Returns:
        True when its content was new.
    """
    return add_recordings(con, {audio_file: recording}, run_id=run_id) == 1


def add_recordings(
    con: DuckDBPyConnection, recordings: Mapping[str, Recording], *, run_id: str
) -> int:
    """Add recordings, each under its canonical file, as one statement.

    Returns:
        How many were new.
    """
    rows: list[dict[str, object]] = []
    for audio_file, recording in recordings.items():
        fields: dict[str, object] = {name: getattr(recording, name) for name in _FIELDS.split(", ")}
        rows.append(
            {**fields, "layout": recording.layout.value, "audio_file": audio_file, "run_id": run_id}
        )
    return insert_new(con, "recording", rows, key=("recording_id",))


def add_source(
    con: DuckDBPyConnection,
    *,
    uri: str,
    size_bytes: int,
    modified_ns: int,
    recording_id: str | None,
    run_id: str,
    decoder: str = "",
    content: str = "",
) -> bool:
    """Note that a file has been dealt with by a decoder.

    Args:
        content: SHA-256 of its bytes, if known.

    Returns:
        True when that was new.
    """
    row: dict[str, object] = {
        "uri": keep_place(con, uri),
        "size_bytes": size_bytes,
        "modified_ns": modified_ns,
        "recording_id": recording_id,
        "decoder": decoder,
        "content": content,
        "run_id": run_id,
    }
    return (
        insert_new(con, "source", [row], key=("uri", "size_bytes", "modified_ns", "decoder")) == 1
    )


def find_source(
    con: DuckDBPyConnection, *, uri: str, size_bytes: int, modified_ns: int
) -> SourceRow | None:
    """The file with exactly this uri, size and time of change, as it was dealt with last.

    One of the workspace is also known by its place in it, wherever the workspace was when it was
    seen. Many files are looked up at once by `warehouse.listed_files`.

    Returns:
        None when it never was dealt with.
    """
    kept = keep_place(con, uri)
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select uri, size_bytes, modified_ns, recording_id, decoder, content from source
        where size_bytes = $size and modified_ns = $modified
          and (uri = $kept or ($inside <> '' and ends_with(uri, $inside)))
        order by uri = $kept desc, seq desc limit 1""",
        {
            "size": size_bytes,
            "modified": modified_ns,
            "kept": kept,
            "inside": "" if kept == uri else place_inside(kept),
        },
    )
    return SourceRow(**{**rows[0], "uri": uri}) if rows else None


def known_uris(con: DuckDBPyConnection) -> set[str]:
    """Every uri ever dealt with."""
    return {
        str(row["uri"]) for row in read_rows(con, "select distinct placed(uri) as uri from source")
    }


def holds_recording(con: DuckDBPyConnection, uri: str) -> bool:
    """Whether a file ever gave a recording."""
    return bool(
        read_rows(
            con,
            "select 1 from source where uri = ? and recording_id is not null limit 1",
            [keep_place(con, uri)],
        )
    )


def list_uris(con: DuckDBPyConnection) -> dict[str, list[str]]:
    """Recording id -> every file that holds or held it, sorted."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, list_sort(list(distinct placed(uri))) as uris from source
        where recording_id is not null group by recording_id""",
    )
    return {row["recording_id"]: row["uris"] for row in rows}


def first_uris(con: DuckDBPyConnection, recording_ids: Collection[str]) -> dict[str, str]:
    """Recording id -> the file that gave it first, of some recordings."""
    rows = read_rows(
        con,
        """select recording_id, placed(arg_min(uri, seq)) as uri from source
        where recording_id in (select unnest($ids::varchar[])) group by recording_id""",
        {"ids": sorted(recording_ids)},
    )
    return {str(row["recording_id"]): str(row["uri"]) for row in rows}


def list_recordings(
    con: DuckDBPyConnection, recording_ids: Collection[str] | None = None
) -> list[StoredRecording]:
    """Recordings, oldest first: all, or some of them."""
    of_some = "where recording_id in (select unnest(?))"
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"{_SELECT} {'' if recording_ids is None else of_some} order by r.seq",
        [] if recording_ids is None else [list(recording_ids)],
    )
    return [_stored(row) for row in rows]


def frame_uris(con: DuckDBPyConnection) -> pl.DataFrame:
    """Where the content of each recording was first seen: `recording_id` and `uri`."""
    frame: pl.DataFrame = con.sql(
        f"""select recording_id, coalesce(({_FIRST_URI}), audio_file) as uri
        from recording r order by r.seq"""
    ).pl()
    return frame


def get_recording(con: DuckDBPyConnection, recording_id: str) -> StoredRecording:
    """One recording.

    Raises:
        NotFoundError: There is none of that id.
    """
    rows = read_rows(con, f"{_SELECT} where recording_id = ?", [recording_id])
    if not rows:
        raise NotFoundError(
            f"no recording {recording_id!r} in the warehouse; `voxdata status` shows what there is"
        )
    return _stored(rows[0])


def orphaned_recordings(con: DuckDBPyConnection) -> set[str]:
    """Recordings that no source holds any more.

    The newest row of each of their uris names another one, or none.
    """
    rows = read_rows(
        con,
        """with held as (
          select uri, arg_max_null(recording_id, seq) as recording_id from source group by uri)
        select distinct s.recording_id from source s anti join held using (recording_id)
        where s.recording_id is not null""",
    )
    return {str(row["recording_id"]) for row in rows}


def named_recordings(con: DuckDBPyConnection, recording_ids: Collection[str]) -> set[str]:
    """Those of some recordings that the warehouse knows, as recordings or in a dataset version."""
    rows = read_rows(
        con,
        """select recording_id from recording where list_contains($ids, recording_id)
        union select recording_id from example where list_contains($ids, recording_id)""",
        {"ids": sorted(recording_ids)},
    )
    return {str(row["recording_id"]) for row in rows}


def _stored(row: dict[str, Any]) -> StoredRecording:
    fields = {name: row[name] for name in _FIELDS.split(", ")} | {
        "layout": ChannelLayout(row["layout"])
    }
    return StoredRecording(
        recording=Recording(**fields),
        audio_file=row["audio_file"],
        uri=row["uri"],
        created_at=utc_aware(row["created_at"]),
    )
