"""Digests of canonical audio, by which a file is known to be the recording's still."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.audio_digest import AudioDigest
from voxdata.recording import Recording
from warehouse.ledger import UNREADABLE
from warehouse.recordings import list_recordings
from warehouse.rows import FRAME, insert_new, read_rows

if TYPE_CHECKING:
    import polars as pl

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
    of_some = "semi join (select unnest(?) as recording_id) using (recording_id)"
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select {", ".join(_FIELDS)}
        from current_audio_digest {"" if recording_ids is None else of_some}""",
        [] if recording_ids is None else [sorted(recording_ids)],
    )
    return {row["recording_id"]: AudioDigest(**row) for row in rows}


def frame_audio(con: DuckDBPyConnection, recordings: pl.DataFrame) -> pl.DataFrame:
    """What canonical audio some recordings should have, as a frame.

    Args:
        recordings: `recording_id`; what is no recording is left out.

    Returns:
        `recording_id`, `audio_file`, the `size_bytes` of its digest in force (null when it is older
        than digests), and `is_doubted`: whether a later stage, or `voxdata verify --audio`, could
        not read it, at any time.
    """
    con.register(FRAME, recordings)
    try:
        frame: pl.DataFrame = con.sql(
            f"""with wanted as (select distinct recording_id from {FRAME}),
            digest as (
              select recording_id, arg_max(size_bytes, seq) as size_bytes
              from audio_digest semi join wanted using (recording_id) group by recording_id),
            doubted as (
              select distinct recording_id from ledger
              where stage <> 'ingest' and recording_id is not null
                and list_contains(?, reason))
            select r.recording_id, r.audio_file, d.size_bytes,
              r.recording_id in (from doubted) as is_doubted
            from recording r semi join wanted using (recording_id)
            left join digest d using (recording_id)""",
            params=[[reason.value for reason in UNREADABLE]],
        ).pl()
        return frame
    finally:
        con.unregister(FRAME)


def list_audio(con: DuckDBPyConnection) -> list[StoredAudio]:
    """Every canonical file that a recording or an example needs, sorted by recording."""
    digests = list_audio_digests(con)
    stored = {one.recording.recording_id: one.recording for one in list_recordings(con)}
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, audio_file from recording
        union (
          select recording_id, min(audio_file) from example anti join recording using (recording_id)
          where audio_file <> '' group by recording_id)
        order by recording_id""",
    )
    return [
        StoredAudio(
            recording_id=row["recording_id"],
            audio_file=row["audio_file"],
            recording=stored.get(row["recording_id"]),
            digest=digests.get(row["recording_id"]),
        )
        for row in rows
    ]
