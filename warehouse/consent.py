"""Which recordings may not be used for a purpose, as their manifests say and as people asked to be
forgotten."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.consent import NAMES, Policy, read_consent, why_not
from warehouse.gate import anybody_forgotten, forgotten_among
from warehouse.rows import read_frame, read_rows

if TYPE_CHECKING:
    import polars as pl

FORGOTTEN = "it was forgotten"

_STATEMENTS = "consent_statements"
_STATED = """
  select r.recording_id, coalesce(s.statement, '[]') as statement
  from recording r left join (
    select recording_id,
      to_json(list({name: name, value: value} order by name))::varchar as statement
    from current_recording_metadata where list_contains($names, name)
    group by recording_id) s using (recording_id)"""
"""What the manifests say about the consent of each recording, as one text."""


def find_barred(
    con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date
) -> dict[str, str]:
    """Recording id -> why it may not be used; only those that may not."""
    return dict(barred_frame(con, purpose=purpose, policy=policy, today=today).iter_rows())


def barred_frame(
    con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date
) -> pl.DataFrame:
    """The same as a frame with the columns recording_id and why, sorted by recording.

    Recordings about which manifests say the same are judged once.
    """
    import polars as pl

    names = {"names": _consent_names(con)}
    rows: list[dict[str, Any]] = read_rows(
        con, f"select distinct statement from ({_STATED})", names
    )
    statements = [str(row["statement"]) for row in rows]
    whys = [_why_not(text, purpose=purpose, policy=policy, today=today) for text in statements]
    frame = pl.DataFrame(
        {"statement": statements, "why": whys},
        schema={"statement": pl.String, "why": pl.String},
    )
    con.register(_STATEMENTS, frame)
    try:
        query = f"""
          select recording_id, why from ({_STATED}) join {_STATEMENTS} using (statement)
          where why <> '' order by recording_id"""
        barred = read_frame(con, query, names)
    finally:
        con.unregister(_STATEMENTS)
    if anybody_forgotten(con):
        barred = _add_forgotten(con, barred)
    return barred


def _consent_names(con: DuckDBPyConnection) -> list[str]:
    """The names that manifests give to what they say about consent, in whatever case."""
    rows = read_rows(con, "select distinct name from recording_metadata order by name")
    return [str(row["name"]) for row in rows if str(row["name"]).casefold() in NAMES]


def _why_not(statement: str, *, purpose: str, policy: Policy, today: date) -> str:
    metadata = {part["name"]: part["value"] for part in json.loads(statement)}
    return why_not(read_consent(metadata), purpose=purpose, today=today, policy=policy)


def _add_forgotten(con: DuckDBPyConnection, barred: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    rows = read_rows(con, "select recording_id from recording order by recording_id")
    forgotten = forgotten_among(con, [str(row["recording_id"]) for row in rows])
    named = pl.DataFrame(
        {"recording_id": sorted(forgotten), "why": [FORGOTTEN] * len(forgotten)},
        schema={"recording_id": pl.String, "why": pl.String},
    )
    others = barred.filter(~pl.col("recording_id").is_in(sorted(forgotten)))
    return pl.concat([named, others]).sort("recording_id")
