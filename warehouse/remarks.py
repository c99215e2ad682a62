"""Remarks: what was lost, filled in or left out of recordings that were kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.remark import Remark, RemarkKind
from warehouse.places import keep_place
from warehouse.rows import insert_new, read_rows, utc_aware

KEY = ("recording_id", "stage", "subject", "kind", "key")
"""What makes a remark known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemarkRow:
    """A remark as it is stored.

    Attributes:
        stage: Where it was made, such as "ingest" or "cut".
        subject: The file it was made about.
        key: The computation that made it, "" where there is only one.
    """

    remark: Remark
    recording_id: str
    stage: str
    subject: str
    key: str
    created_at: datetime


def record_remarks(
    con: DuckDBPyConnection,
    remarks: Sequence[Remark],
    *,
    recording_id: str,
    stage: str,
    subject: str,
    run_id: str,
    key: str = "",
) -> int:
    """Write remarks about a recording down, each once for its stage, subject, kind and key.

    Returns:
        How many were new.
    """
    shared = {
        "recording_id": recording_id,
        "stage": stage,
        "subject": keep_place(con, subject),
        "key": key,
        "run_id": run_id,
    }
    rows: list[dict[str, object]] = [
        {
            **shared,
            "kind": remark.kind.value,
            "detail": remark.detail,
            "amount_ms": remark.amount_ms,
        }
        for remark in _one_a_kind(remarks)
    ]
    return insert_new(con, "remark", rows, key=KEY)


def _one_a_kind(remarks: Sequence[Remark]) -> list[Remark]:
    """Remarks of one kind, such as those about two tracks, become one."""
    joined: dict[RemarkKind, Remark] = {}
    for remark in remarks:
        first = joined.get(remark.kind)
        if first is None:
            joined[remark.kind] = remark
            continue
        amounts = [amount for amount in (first.amount_ms, remark.amount_ms) if amount is not None]
        detail = f"{first.detail}; {remark.detail}"
        longest = max(amounts, default=None)
        joined[remark.kind] = Remark(kind=remark.kind, detail=detail, amount_ms=longest)
    return list(joined.values())


def list_remarks(con: DuckDBPyConnection) -> list[RemarkRow]:
    """All remarks, oldest first."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, stage, placed(subject) as subject, kind, detail, amount_ms, key,
          created_at
        from remark
        order by seq""",
    )
    return [
        RemarkRow(
            remark=Remark(
                kind=RemarkKind(row["kind"]), detail=row["detail"], amount_ms=row["amount_ms"]
            ),
            recording_id=row["recording_id"],
            stage=row["stage"],
            subject=row["subject"],
            key=row["key"],
            created_at=utc_aware(row["created_at"]),
        )
        for row in rows
    ]
