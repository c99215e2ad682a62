"""Attempts: on which days something hung, was killed or swelled, before it is let rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason
from warehouse.places import keep_place
from warehouse.rows import insert_new, read_rows

TRIES = 3
"""On so many different days a thing is tried before it is skipped."""

PASSING = frozenset({DropReason.TIMED_OUT, DropReason.OUT_OF_MEMORY, DropReason.KILLED})
"""What may be another day's trouble rather than the file's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """How often something was tried in vain.

    Attributes:
        days: Different ones.
        last_day: UTC.
        reason: The last one.
    """

    days: int
    last_day: date
    reason: DropReason

    @property
    def rests(self) -> bool:
        """Whether it is not tried any more unless somebody asks for it."""
        return self.days >= TRIES

    def waits(self, today: date) -> bool:
        """Whether it was tried today and another day is to come first.

        What the machine ended may be tried at once, since memory may be free again.
        """
        return self.last_day == today and self.reason is not DropReason.KILLED and not self.rests


def record_attempt(
    con: DuckDBPyConnection,
    *,
    stage: str,
    subject: str,
    key: str,
    reason: DropReason,
    day: date,
    detail: str,
    run_id: str,
    recording_id: str | None = None,
) -> Tries:
    """Note that something was tried in vain, once for each day and reason.

    Args:
        subject: The file.
        key: Of which content or by which computation.
        day: UTC.

    Returns:
        How often it was by now.
    """
    row: dict[str, object] = {
        "stage": stage,
        "subject": keep_place(con, subject),
        "recording_id": recording_id,
        "key": key,
        "reason": reason.value,
        "day": day,
        "detail": detail,
        "run_id": run_id,
    }
    insert_new(con, "attempt", [row], key=("stage", "subject", "key", "reason", "day"))
    return list_tries(con)[stage, subject, key]


def list_tries(
    con: DuckDBPyConnection, *, stage: str | None = None
) -> dict[tuple[str, str, str], Tries]:
    """(stage, subject, key) -> how often it was tried in vain, that with the newest attempt last.

    Args:
        stage: Of this stage only.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select stage, placed(subject) as subject, key, count(distinct day) as days,
          max(day) as last_day, arg_max(reason, seq) as reason
        from attempt where stage = coalesce($stage, stage) group by all order by max(seq)""",
        {"stage": stage},
    )
    return {
        (row["stage"], row["subject"], row["key"]): Tries(
            days=row["days"], last_day=row["last_day"], reason=DropReason(row["reason"])
        )
        for row in rows
    }


def refused_files(con: DuckDBPyConnection, reason: DropReason) -> list[str]:
    """Files that ingestion refused, or tried in vain, for a reason, sorted.

    Those that ever gave a recording are left out.
    """
    rows = read_rows(
        con,
        """with refused as (
          select subject as uri from ledger where stage = 'ingest' and reason = $reason
          union select subject from attempt where stage = 'ingest' and reason = $reason)
        select placed(uri) as uri from refused
        anti join (from source where recording_id is not null) using (uri) order by 1""",
        {"reason": reason.value},
    )
    return [str(row["uri"]) for row in rows]
