"""Training runs: what was trained on which version, and how it was judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import canonical_json
from warehouse.rows import insert_new, read_rows, utc_aware

_FIELDS = (
    "training_id",
    "scheme",
    "role",
    "version_id",
    "config_key",
    "state",
    "model_key",
    "model_name",
    "checkpoint_dir",
    "result",
    "promoted",
    "reason",
    "seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One training run, judged.

    Attributes:
        training_id: Digest of scheme, version_id, config_key and the key of the model it had to
            beat.
        scheme: Whose labels were learnt; "" for another role than a label's.
        role: What the model is for: see `voxdata.role`.
        state: "done", "failed" when no model came of it, "skipped" when the version has too little
            to learn from.
        model_key: Identity of the trained model, "" without one.
        checkpoint_dir: Relative to the workspace, "" without a model.
        result: The trainer's result.json; JSON values only.
        promoted: Whether the judge let its model take over; what is in use is in
            `warehouse.promotions`.
        reason: Why it was or was not promoted, how it failed, or what the version lacks.
        seconds: Wall time.
        created_at: UTC; the warehouse sets it when the run is added.
    """

    training_id: str
    scheme: str
    role: str
    version_id: str
    config_key: str
    state: Literal["done", "failed", "skipped"]
    model_key: str
    model_name: str
    checkpoint_dir: str
    result: Mapping[str, object]
    promoted: bool
    reason: str
    seconds: float
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def add_training_run(con: DuckDBPyConnection, run: TrainingRun, *, run_id: str) -> bool:
    """Add a run. A run that failed may be tried again: its later success is added beside the
    failure and takes its place.

    Returns:
        True when it was new.
    """
    row: dict[str, object] = {name: getattr(run, name) for name in _FIELDS}
    row |= {
        "result": canonical_json(dict(run.result)),
        "seconds": float(run.seconds),
        "run_id": run_id,
    }
    done = read_rows(
        con,
        "select 1 from training_run where training_id = ? and state = 'done' limit 1",
        [run.training_id],
    )
    return not done and insert_new(con, "training_run", [row], key=("training_id", "state")) == 1


def list_training_runs(con: DuckDBPyConnection, scheme: str | None = None) -> list[TrainingRun]:
    """The runs of one scheme, or of all when None, oldest first."""
    rows = read_rows(
        con,
        f"""select {", ".join(_FIELDS)}, created_at
        from current_training_run
        where $scheme is null or scheme = $scheme
        order by seq""",
        {"scheme": scheme},
    )
    return [_run(row) for row in rows]


def find_training_run(con: DuckDBPyConnection, ref: str) -> TrainingRun:
    """One run.

    Args:
        ref: Its id, or the first characters of it.

    Raises:
        NotFoundError: None, or several, begin so.
    """
    runs = list_training_runs(con)
    found = [run for run in runs if run.training_id == ref]
    if ref and not found:
        found = [run for run in runs if run.training_id.startswith(ref)]
    if not found:
        raise NotFoundError(f"no training run {ref!r}; `voxdata models` lists them")
    if len(found) > 1:
        raise NotFoundError(f"{len(found)} training runs begin with {ref!r}; give more of the id")
    return found[0]


def _run(row: dict[str, Any]) -> TrainingRun:
    return TrainingRun(
        **{**row, "result": json.loads(row["result"]), "created_at": utc_aware(row["created_at"])}
    )
