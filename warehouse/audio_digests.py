"""Digests of canonical audio, by which a file is known to be the recording's still."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.audio_digest import AudioDigest
from voxdata.recording import Recording
from warehouse.recordings import list_recordings
from warehouse.rows import insert_new, read_rows

_FIELDS = ("recording_id", "size_bytes", "sha256", "samples_md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAudio:
    """A canonical file that the warehouse relies on.

    Attributes:
        audio_file: Relative to the audio folder.
        recording: None when it came with an imported version, and its source never was here.
        digest: None when it is older than digests.
    """

    recording_id: str
    audio_file: str
    recording: Recording | None
    digest: AudioDigest | None


def add_audio_digests(
    con: DuckDBPyConnection, digests: Iterable[AudioDigest], *, run_id: str
) -> int:
    """Store the digests that are not the newest of their recordings, as one statement.

    Returns:
        How many were new.
    """
    rows = [_encode_digest(digest, run_id) for digest in digests]
    return insert_new(con, "audio_digest", rows, key=_FIELDS, existing="current_audio_digest")


def _encode_digest(digest: AudioDigest, run_id: str) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(digest, name) for name in _FIELDS}
    row["run_id"] = run_id
    return row


def list_audio_digests(
    con: DuckDBPyConnection, recording_ids: Collection[str] | None = None
) -> dict[str, AudioDigest]:
    """Recording id -> digest in force, of some recordings or of all."""
    condition = "" if recording_ids is None else "where list_contains(?, recording_id)"
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"select {', '.join(_FIELDS)} from current_audio_digest {condition}",
        [] if recording_ids is None else [sorted(recording_ids)],
    )
    return {row["recording_id"]: AudioDigest(**row) for row in rows}


def list_audio(con: DuckDBPyConnection) -> list[StoredAudio]:
    """Every canonical file that a recording or an example needs, sorted by recording."""
    digests = list_audio_digests(con)
    recordings = {
        stored.recording.recording_id: stored.recording for stored in list_recordings(con)
    }
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, audio_file
        from recording
        union (
          select recording_id, min(audio_file)
          from example
          anti join recording using (recording_id)
          where audio_file <> ''
          group by recording_id
        )
        order by recording_id""",
    )
    return [
        StoredAudio(
            recording_id=row["recording_id"],
            audio_file=row["audio_file"],
            recording=recordings.get(row["recording_id"]),
            digest=digests.get(row["recording_id"]),
        )
        for row in rows
    ]
