"""Which recordings may not be used for a purpose, as their manifests say and as people asked to be forgotten."""

from __future__ import annotations

from datetime import date

from duckdb import DuckDBPyConnection

from voxdata.consent import Policy, read_consent, why_not
from warehouse.erase import forgotten_digest, forgotten_receipts
from warehouse.metadata import list_metadata
from warehouse.rows import read_rows


def find_barred(con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date) -> dict[str, str]:
    """Recording id -> why it may not be used; only those that may not."""
    said, forgotten = list_metadata(con), forgotten_receipts(con)
    barred: dict[str, str] = {}
    for row in read_rows(con, "select recording_id from recording order by recording_id"):
        recording_id = str(row["recording_id"])
        if forgotten_digest(recording_id) in forgotten:
            barred[recording_id] = "it was forgotten"
            continue
        why = why_not(read_consent(said.get(recording_id, {})), purpose=purpose, today=today, policy=policy)
        if why:
            barred[recording_id] = why
    return barred
