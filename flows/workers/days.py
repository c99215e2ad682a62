"""Days: what hung or took too much is tried again on another day."""

from __future__ import annotations

from datetime import UTC, date, datetime

from warehouse.attempts import Tries


def today() -> date:
    """The day that a try counts for, UTC."""
    return datetime.now(UTC).date()


def waits(tries: Tries) -> bool:
    """Whether another day is to come before the next try."""
    return tries.waits(today())
