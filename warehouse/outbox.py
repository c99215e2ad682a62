"""Events to be told to the outside, written in the transaction that made them true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import canonical_json, digest
from warehouse.rows import insert_new, read_rows, utc_aware


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """Something to be told to the outside, written in the transaction that made it true.

    Attributes:
        event: Such as "voxdata.dataset.version.created".
        payload: JSON values only.
        sent_at: When it was first sent, UTC; None while it waits.
    """

    event_id: str
    event: str
    payload: Mapping[str, object]
    created_at: datetime
    sent_at: datetime | None


def add_event(
    con: DuckDBPyConnection,
    event: str,
    payload: Mapping[str, object],
    *,
    key: tuple[str | int, ...],
    run_id: str,
) -> bool:
    """Put an event into the outbox, once for each `key`; call it in the transaction that makes the
    event true.

    Returns:
        True when it was new.
    """
    row: dict[str, object] = {
        "event_id": digest(event, *key),
        "event": event,
        "payload": canonical_json(dict(payload)),
        "run_id": run_id,
    }
    return insert_new(con, "outbox", [row], key=("event_id",)) == 1


def list_outbox(con: DuckDBPyConnection) -> list[OutboxEvent]:
    """All events, oldest first, sent or not."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select event_id, event, payload, o.created_at,
            (select min(s.created_at) from outbox_send s where s.event_id = o.event_id) as sent_at
        from outbox o order by o.seq""",
    )
    return [_decode_event(row) for row in rows]


def _decode_event(row: dict[str, Any]) -> OutboxEvent:
    sent_at = row["sent_at"]
    return OutboxEvent(
        event_id=row["event_id"],
        event=row["event"],
        payload=json.loads(row["payload"]),
        created_at=utc_aware(row["created_at"]),
        sent_at=None if sent_at is None else utc_aware(sent_at),
    )


def mark_sent(con: DuckDBPyConnection, event_id: str, *, run_id: str) -> bool:
    """Note that an event was sent.

    Returns:
        True when that was not known yet.

    Raises:
        NotFoundError: No event has this id.
    """
    if not read_rows(con, "select 1 from outbox where event_id = ?", [event_id]):
        raise NotFoundError(f"no event {event_id!r} in the outbox of the warehouse")
    return (
        insert_new(
            con, "outbox_send", [{"event_id": event_id, "run_id": run_id}], key=("event_id",)
        )
        == 1
    )
