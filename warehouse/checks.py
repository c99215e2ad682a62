"""Clips given out under a key of their own, to check people rather than to learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from warehouse.rows import insert_new, read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckClip:
    """A clip in disguise.

    Attributes:
        key: Its own key in Label Studio: the id of the utterance with moved edges.
        utterance_id: What is heard.
        purpose: "gold" when the answer is known, "retest" when the same person heard it before.
        shift_ms: How much later its edges lie than the utterance's, so that it does not look the same.
    """

    key: str
    utterance_id: str
    purpose: str
    shift_ms: int


def add_checks(con: DuckDBPyConnection, checks: Sequence[CheckClip], *, run_id: str) -> int:
    """Note check clips, each key once.

    Returns:
        How many were new.
    """
    rows: list[dict[str, object]] = [
        {"key": c.key, "utterance_id": c.utterance_id, "purpose": c.purpose, "shift_ms": c.shift_ms, "run_id": run_id} for c in checks
    ]
    return insert_new(con, "check_clip", rows, key=("key",))


def list_checks(con: DuckDBPyConnection) -> dict[str, CheckClip]:
    """Key -> check clip."""
    rows: list[dict[str, Any]] = read_rows(con, "select key, utterance_id, purpose, shift_ms from check_clip order by seq")
    return {row["key"]: CheckClip(**row) for row in rows}
