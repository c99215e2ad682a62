"""Recordings, the files they came from, and which of them still wait for pre-labels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason, NotFoundError
from voxdata.recording import ChannelLayout, Recording
from warehouse.rows import insert_new, read_rows, utc_aware

_FIELDS = "recording_id, sample_rate_hz, num_samples, num_channels, layout, canonical_channels, codec, container"
_SELECT = f"""
    select {_FIELDS}, audio_file, r.created_at,
           coalesce((select arg_min(s.uri, s.seq) from source s where s.recording_id = r.recording_id), audio_file) as uri
    from recording r
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """A file as it was seen: the same uri with another size or time is another source.

    Attributes:
        recording_id: None when the file gave no recording.
    """

    uri: str
    size_bytes: int
    modified_ns: int
    recording_id: str | None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRecording:
    """A recording that waits for pre-labels.

    Attributes:
        reason: "new" when it has none, "stale" when it has those of another key.
    """

    stored: StoredRecording
    reason: Literal["new", "stale"]


def add_recording(con: DuckDBPyConnection, recording: Recording, *, audio_file: str, run_id: str) -> bool:
    """Add a recording.

    Returns:
        True when its content was new.
    """
    row: dict[str, object] = {name: getattr(recording, name) for name in _FIELDS.split(", ")}
    row |= {"layout": recording.layout.value, "audio_file": audio_file, "run_id": run_id}
    return insert_new(con, "recording", [row], key=("recording_id",)) == 1


def add_source(con: DuckDBPyConnection, *, uri: str, size_bytes: int, modified_ns: int, recording_id: str | None, run_id: str) -> bool:
    """Note that a file has been dealt with.

    Returns:
        True when it was new.
    """
    row: dict[str, object] = {
        "uri": uri, "size_bytes": size_bytes, "modified_ns": modified_ns, "recording_id": recording_id, "run_id": run_id,
    }  # fmt: skip
    return insert_new(con, "source", [row], key=("uri", "size_bytes", "modified_ns")) == 1


def find_source(con: DuckDBPyConnection, *, uri: str, size_bytes: int, modified_ns: int) -> SourceRow | None:
    """The file with exactly this uri, size and time of change, or None when it was never dealt with."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select uri, size_bytes, modified_ns, recording_id from source where uri = ? and size_bytes = ? and modified_ns = ? limit 1",
        [uri, size_bytes, modified_ns],
    )
    return SourceRow(**rows[0]) if rows else None


def list_recordings(con: DuckDBPyConnection) -> list[StoredRecording]:
    """All recordings, oldest first."""
    return [_stored(row) for row in read_rows(con, f"{_SELECT} order by r.seq")]


def get_recording(con: DuckDBPyConnection, recording_id: str) -> StoredRecording:
    """One recording.

    Raises:
        NotFoundError: There is none of that id.
    """
    rows = read_rows(con, f"{_SELECT} where recording_id = ?", [recording_id])
    if not rows:
        raise NotFoundError(f"no recording {recording_id!r} in the warehouse; `voxdata status` shows what there is")
    return _stored(rows[0])


def pending_prelabel(con: DuckDBPyConnection, *, key: str) -> list[PendingRecording]:
    """Recordings without pre-labels of this key, oldest first.

    Silent recordings never wait, and one that failed under this key waits again only when the key changes.
    """
    rows = read_rows(
        con,
        f"""
        with resting as (
            select recording_id from prelabel_result where key = $key
            union select recording_id from ledger where stage = 'ingest' and reason = $silent
            union select recording_id from ledger where stage = 'prelabel' and key = $key)
        select stored.*, stored.recording_id in (select recording_id from prelabel_result) as stale
        from ({_SELECT} order by r.seq) stored anti join resting using (recording_id) order by created_at, recording_id
        """,
        {"key": key, "silent": DropReason.SILENT.value},
    )
    return [PendingRecording(stored=_stored(row), reason="stale" if row["stale"] else "new") for row in rows]


def _stored(row: dict[str, Any]) -> StoredRecording:
    fields = {name: row[name] for name in _FIELDS.split(", ")} | {"layout": ChannelLayout(row["layout"])}
    return StoredRecording(
        recording=Recording(**fields), audio_file=row["audio_file"], uri=row["uri"], created_at=utc_aware(row["created_at"])
    )
