"""Clips given out under a key of their own, to check people rather than to learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.check import CheckClip
from warehouse.rows import insert_new, read_rows


def add_checks(con: DuckDBPyConnection, checks: Sequence[CheckClip], *, run_id: str) -> int:
    """Note check clips, each key once.

    Returns:
        How many were new.
    """
    rows: list[dict[str, object]] = [
        {
            "key": c.key,
            "utterance_id": c.utterance_id,
            "purpose": c.purpose,
            "shift_ms": c.shift_ms,
            "run_id": run_id,
        }
        for c in checks
    ]
    return insert_new(con, "check_clip", rows, key=("key",))


def list_checks(con: DuckDBPyConnection) -> dict[str, CheckClip]:
    """Key -> check clip."""
    rows: list[dict[str, Any]] = read_rows(
        con, "select key, utterance_id, purpose, shift_ms from check_clip order by seq"
    )
    return {row["key"]: CheckClip(**row) for row in rows}
