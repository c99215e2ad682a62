"""The ledger: everything that did not go on, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason
from warehouse.attempts import list_tries
from warehouse.places import keep_place, keep_places
from warehouse.rows import insert_new, read_rows, utc_aware

UNREADABLE = (
    DropReason.MISSING,
    DropReason.ALTERED,
    DropReason.UNDECODABLE,
    DropReason.TRUNCATED,
    DropReason.INVALID_FORMAT,
)
"""Why a stage after ingestion could not go on with a recording's canonical audio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """One thing that was dropped.

    Attributes:
        stage: Where, such as "ingest", "prelabel" or "push".
        subject: What, such as a file or an utterance id.
        key: The computation that dropped it, "" where there is only one.
        value: What was measured, when the reason is a threshold.
        threshold: What it was held against.
        tries: Different days on which it was tried in vain, where that counts.
    """

    stage: str
    subject: str
    reason: DropReason
    detail: str
    recording_id: str | None
    key: str
    value: float | None
    threshold: float | None
    created_at: datetime
    tries: int = 0


def record_drop(
    con: DuckDBPyConnection,
    *,
    stage: str,
    subject: str,
    reason: DropReason,
    detail: str,
    run_id: str,
    recording_id: str | None = None,
    key: str = "",
    value: float | None = None,
    threshold: float | None = None,
) -> bool:
    """Write a drop down, once for each stage, subject, reason and key.

    Returns:
        True when it was new.
    """
    row: dict[str, object] = {
        "stage": stage,
        "subject": keep_place(con, subject),
        "reason": reason.value,
        "detail": detail,
        "recording_id": recording_id,
        "key": key,
        "value": None if value is None else float(value),
        "threshold": None if threshold is None else float(threshold),
        "run_id": run_id,
    }
    return insert_new(con, "ledger", [row], key=("stage", "subject", "reason", "key")) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """One of several things that are dropped at once; see `LedgerRow`."""

    subject: str
    reason: DropReason
    detail: str
    recording_id: str | None = None
    value: float | None = None
    threshold: float | None = None


def record_drops(
    con: DuckDBPyConnection, drops: Sequence[Drop], *, stage: str, run_id: str, key: str = ""
) -> int:
    """Write several drops of one stage down, as one statement; see `record_drop`.

    Returns:
        How many were new.
    """
    subjects = keep_places(con, [drop.subject for drop in drops])
    rows: list[dict[str, object]] = [
        {
            "stage": stage,
            "subject": subject,
            "reason": drop.reason.value,
            "detail": drop.detail,
            "recording_id": drop.recording_id,
            "key": key,
            "value": None if drop.value is None else float(drop.value),
            "threshold": None if drop.threshold is None else float(drop.threshold),
            "run_id": run_id,
        }
        for drop, subject in zip(drops, subjects, strict=True)
    ]
    return insert_new(con, "ledger", rows, key=("stage", "subject", "reason", "key"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFailure:
    """A stage that did not get through for a recording.

    Attributes:
        subject: The file, as attempts name it.
        key: The computation that failed.
    """

    recording_id: str
    stage: str
    subject: str
    key: str
    reason: DropReason


def list_failures(
    con: DuckDBPyConnection, keys: Mapping[str, str], *, reasons: Collection[DropReason]
) -> list[StageFailure]:
    """Failures of some stages under their present keys: for some reasons, or with attempts.

    Args:
        keys: Stage -> its key.
        reasons: For which a failure is listed though no attempt at it is on record.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """with present as (select unnest($stages) as stage, unnest($keys) as key)
        select distinct l.recording_id, l.stage, placed(l.subject) as subject, l.key, l.reason
        from ledger l semi join present using (stage, key)
        where l.recording_id is not null
          and (list_contains($reasons, l.reason) or exists (
            from attempt a where a.stage = l.stage and a.subject = l.subject and a.key = l.key))""",
        {
            "stages": list(keys),
            "keys": list(keys.values()),
            "reasons": [reason.value for reason in reasons],
        },
    )
    return [StageFailure(**{**row, "reason": DropReason(row["reason"])}) for row in rows]


def silent_recordings(con: DuckDBPyConnection) -> list[str]:
    """Recordings in which ingestion found no sound."""
    rows = read_rows(
        con,
        """select distinct recording_id from ledger
        where stage = 'ingest' and reason = ? and recording_id is not null""",
        [DropReason.SILENT.value],
    )
    return [str(row["recording_id"]) for row in rows]


def list_drops(con: DuckDBPyConnection) -> list[LedgerRow]:
    """All drops, oldest first."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select stage, placed(subject) as subject, reason, detail, recording_id, key, value,
          threshold, created_at
        from ledger order by seq""",
    )
    tries = _tries(con)
    return [
        LedgerRow(
            **{
                **row,
                "reason": DropReason(row["reason"]),
                "created_at": utc_aware(row["created_at"]),
                "tries": tries.get((row["stage"], row["subject"], row["key"]), 0),
            }
        )
        for row in rows
    ]


def _tries(con: DuckDBPyConnection) -> dict[tuple[str, str, str], int]:
    """(stage, subject, key) -> days of vain tries; under no key those of the newest one."""
    days: dict[tuple[str, str, str], int] = {}
    for (stage, subject, key), tries in list_tries(con).items():
        days[stage, subject, key] = days[stage, subject, ""] = tries.days
    return days
