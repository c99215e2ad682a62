"""Which recordings may not be used for a purpose, as their manifests say and as people asked to be
forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

from voxdata.consent import NAMES, Policy, read_consent, why_not
from warehouse.gate import anybody_forgotten, forgotten_among
from warehouse.rows import make_lookup, read_frame, read_rows

if TYPE_CHECKING:
    import polars as pl

FORGOTTEN = "it was forgotten"

_STATEMENTS = "consent_statements"
_BARRED = "barred_by_consent"
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
    with barred_table(con, purpose=purpose, policy=policy, today=today) as table:
        rows = read_rows(con, f"from {table} order by recording_id")
    return {str(row["recording_id"]): str(row["why"]) for row in rows}


def barred_frame(
    con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date
) -> pl.DataFrame:
    """The same as a frame with the columns recording_id and why, sorted by recording."""
    with barred_table(con, purpose=purpose, policy=policy, today=today) as table:
        return read_frame(con, f"from {table} order by recording_id")


@contextmanager
def barred_table(
    con: DuckDBPyConnection, *, purpose: str, policy: Policy, today: date
) -> Iterator[str]:
    """The same as a temporary table, while it is wanted. Yields its name.

    Recordings about which manifests say the same are judged once.
    """
    names = {"names": _consent_names(con)}
    rows = read_rows(con, f"select distinct statement from ({_STATED})", names)
    statements = [str(row["statement"]) for row in rows]
    whys = [_why_not(text, purpose=purpose, policy=policy, today=today) for text in statements]
    columns = {"statement": ("varchar", statements), "why": ("varchar", whys)}
    make_lookup(con, _STATEMENTS, columns)
    try:
        con.execute(
            f"""create or replace temp table {_BARRED} as
            select recording_id, why from ({_STATED}) join {_STATEMENTS} using (statement)
            where why <> '' and recording_id not in (select unnest($forgotten::varchar[]))
            union all select unnest($forgotten::varchar[]), $it_was""",
            {**names, "forgotten": _list_forgotten(con), "it_was": FORGOTTEN},
        )
        yield _BARRED
    finally:
        for table in (_STATEMENTS, _BARRED):
            con.execute(f"drop table if exists {table}")


def _consent_names(con: DuckDBPyConnection) -> list[str]:
    """The names that manifests give to what they say about consent, in whatever case."""
    rows = read_rows(con, "select distinct name from recording_metadata order by name")
    return [str(row["name"]) for row in rows if str(row["name"]).casefold() in NAMES]


def _why_not(statement: str, *, purpose: str, policy: Policy, today: date) -> str:
    metadata = {part["name"]: part["value"] for part in json.loads(statement)}
    return why_not(read_consent(metadata), purpose=purpose, today=today, policy=policy)


def _list_forgotten(con: DuckDBPyConnection) -> list[str]:
    if not anybody_forgotten(con):
        return []
    rows = read_rows(con, "select recording_id from recording")
    return sorted(forgotten_among(con, [str(row["recording_id"]) for row in rows]))
