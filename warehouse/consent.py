"""Which recordings may not be used for a purpose, as their manifests say and as people asked to be
forgotten.
"""

from __future__ import annotations

from datetime import date

from duckdb import DuckDBPyConnection

from voxdata.consent import Policy, read_consent, why_not
from warehouse.gate import forgotten_among
from warehouse.metadata import list_metadata
from warehouse.rows import read_rows


def find_barred(
    con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date
) -> dict[str, str]:
    """Recording id -> why it may not be used; only those that may not."""
    said = list_metadata(con)
    names = [
        str(row["recording_id"])
        for row in read_rows(con, "select recording_id from recording order by recording_id")
    ]
    barred = dict.fromkeys(forgotten_among(con, names), "it was forgotten")
    for recording_id in names:
        if recording_id in barred:
            continue
        why = why_not(
            read_consent(said.get(recording_id, {})), purpose=purpose, today=today, policy=policy
        )
        if why:
            barred[recording_id] = why
    return barred
