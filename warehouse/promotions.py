"""Which model is in use for each role, and who decided so, when and why; nothing is taken back,
only followed by another row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from duckdb import DuckDBPyConnection

from warehouse.connection import transaction
from warehouse.rows import insert_rows, read_rows, utc_aware
from warehouse.runs import TrainingRun, add_training_run, find_training_run

DecidedBy = Literal["rule", "person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A change of the model that is in use for a role.

    Attributes:
        role: Such as "label:intent": see `voxdata.role`.
        training_id: The run whose model took over; "" when the role went back to what served before
            any was trained, such as the cold start.
        decided_by: "rule" when the judge found it better, "person" when somebody said so.
        created_at: UTC; the warehouse sets it when the row is added.
    """

    role: str
    training_id: str
    decided_by: DecidedBy
    reason: str
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


def add_promotion(con: DuckDBPyConnection, promotion: Promotion, *, run_id: str) -> None:
    """Put another model to use."""
    row: dict[str, object] = {
        "role": promotion.role,
        "training_id": promotion.training_id,
        "decided_by": promotion.decided_by,
        "reason": promotion.reason,
        "run_id": run_id,
    }
    insert_rows(con, "promotion", [row])


def add_judged_run(con: DuckDBPyConnection, run: TrainingRun, *, run_id: str) -> bool:
    """Add a training run, and put its model to use when the judge promoted it.

    Returns:
        True when the run was new.
    """
    with transaction(con):
        is_new = add_training_run(con, run, run_id=run_id)
        if is_new and run.promoted:
            promotion = Promotion(
                role=run.role,
                training_id=run.training_id,
                decided_by="rule",
                reason=run.reason,
            )
            add_promotion(con, promotion, run_id=run_id)
    return is_new


def list_promotions(con: DuckDBPyConnection) -> list[Promotion]:
    """Every promotion and demotion, oldest first."""
    return list(map(_promotion, read_rows(con, "from promotion order by seq")))


def current_promotions(con: DuckDBPyConnection) -> dict[str, Promotion]:
    """Role -> what was decided last; a role that nobody decided on has none."""
    rows = read_rows(con, "from current_promotion order by role")
    return {str(row["role"]): _promotion(row) for row in rows}


def promoted_run(con: DuckDBPyConnection, role: str) -> TrainingRun | None:
    """The run whose model is in use for a role; None while nothing trained is."""
    promotion = current_promotions(con).get(role)
    if promotion is None or not promotion.training_id:
        return None
    return find_training_run(con, promotion.training_id)


def _promotion(row: Mapping[str, object]) -> Promotion:
    return Promotion(
        role=str(row["role"]),
        training_id=str(row["training_id"]),
        decided_by="rule" if row["decided_by"] == "rule" else "person",
        reason=str(row["reason"]),
        created_at=utc_aware(row["created_at"]),
    )
