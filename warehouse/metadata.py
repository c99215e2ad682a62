"""What people know about a recording, as manifests say; append-only, the newest value of a name
counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from voxdata.name_key import name_key
from warehouse.rows import insert_rows, read_rows

CALL = "call_id"
"""Recordings with the same value belong to one call and stay in one split."""


def store_metadata(
    con: DuckDBPyConnection,
    recording_id: str,
    values: Mapping[str, str],
    *,
    manifest: str,
    run_id: str,
) -> int:
    """Write down what a manifest says about a recording; a value it has already is not repeated.

    Returns:
        How many values were new or differ from before.
    """
    stored = list_metadata(con, recording_id=recording_id).get(recording_id, {})
    rows: list[dict[str, object]] = [
        {
            "recording_id": recording_id,
            "name": name,
            "value": value,
            "manifest": manifest,
            "run_id": run_id,
        }
        for name, value in sorted(values.items())
        if stored.get(name) != value
    ]
    insert_rows(con, "recording_metadata", rows)
    return len(rows)


def list_metadata(
    con: DuckDBPyConnection, *, recording_id: str | None = None
) -> dict[str, dict[str, str]]:
    """Recording id -> name -> value, for recordings that a manifest named (or one of them)."""
    rows = read_rows(
        con,
        """select recording_id, name, value from current_recording_metadata
        where recording_id = coalesce(?, recording_id) order by recording_id, name""",
        [recording_id],
    )
    metadata: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        metadata[str(row["recording_id"])][str(row["name"])] = str(row["value"])
    return dict(metadata)


def list_call_groups(con: DuckDBPyConnection) -> dict[str, str]:
    """Recording id -> its call, for recordings whose call is known; names that look the same are
    one call.
    """
    rows = read_rows(
        con,
        "select recording_id, value from current_recording_metadata where name = ? and value <> ''",
        [CALL],
    )
    return {str(row["recording_id"]): name_key(str(row["value"])) for row in rows}
