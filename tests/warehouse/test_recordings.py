from __future__ import annotations

from collections.abc import Callable

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason, NotFoundError
from voxdata.recording import Recording
from warehouse.ledger import list_drops, record_drop
from warehouse.recordings import (
    SourceRow,
    add_recording,
    add_source,
    find_source,
    get_recording,
    list_recordings,
    orphaned_recordings,
)

Make = Callable[[str], Recording]


def test_add_recording_keeps_one_row_and_the_first_source(
    con: DuckDBPyConnection, recording: Make
) -> None:
    assert add_recording(con, recording("r1"), audio_file="r1.flac", run_id="t")
    assert not add_recording(con, recording("r1"), audio_file="r1.flac", run_id="t2")
    assert get_recording(con, "r1").uri == "r1.flac"
    for uri in ("z.wav", "a.wav"):
        add_source(
            con,
            uri=uri,
            size_bytes=1,
            modified_ns=2**62,
            recording_id="r1",
            run_id="t",
        )
    (stored,) = list_recordings(con)
    assert stored.recording == recording("r1")
    assert stored.audio_file == "r1.flac"
    assert stored.uri == "z.wav"
    assert stored.created_at.utcoffset() is not None
    with pytest.raises(NotFoundError, match="nope"):
        get_recording(con, "nope")


def test_find_source_wants_uri_size_and_time(con: DuckDBPyConnection) -> None:
    stamp = {"uri": "天.wav", "size_bytes": 5, "modified_ns": 7}
    assert add_source(con, **stamp, recording_id=None, run_id="t")
    assert not add_source(con, **stamp, recording_id="r1", run_id="t")
    assert find_source(con, **stamp) == SourceRow(**stamp, recording_id=None)
    source = find_source(
        con,
        uri="天.wav",
        size_bytes=5,
        modified_ns=8,
    )
    assert source is None


def test_record_drop_writes_once_for_each_key(con: DuckDBPyConnection) -> None:
    drop = {
        "stage": "push",
        "subject": "u",
        "reason": DropReason.TOO_SHORT,
        "detail": "short",
        "run_id": "t",
    }
    assert [
        record_drop(
            con,
            **drop,
            key=key,
            value=3,
            threshold=5,
        )
        for key in ("a", "a", "b")
    ] == [
        True,
        False,
        True,
    ]
    drops = [(row.key, row.value, row.threshold, row.reason) for row in list_drops(con)]
    assert drops == [
        ("a", 3.0, 5.0, DropReason.TOO_SHORT),
        ("b", 3.0, 5.0, DropReason.TOO_SHORT),
    ]


def test_orphaned_recordings_are_those_no_source_holds_any_more(con: DuckDBPyConnection) -> None:
    def see(
        uri: str,
        recording_id: str | None,
        modified_ns: int,
    ) -> None:
        add_source(
            con,
            uri=uri,
            size_bytes=1,
            modified_ns=modified_ns,
            recording_id=recording_id,
            run_id="t",
        )

    for uri, recording_id, modified_ns in (
        ("a.wav", "replaced", 1),
        ("a.wav", "new", 2),
        ("b.wav", "copied", 1),
        ("c.wav", "copied", 1),
        ("b.wav", "other", 2),
        ("d.wav", "broken", 1),
        ("d.wav", None, 2),
    ):
        see(uri, recording_id, modified_ns)
    assert orphaned_recordings(con) == {"replaced", "broken"}
