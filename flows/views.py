"""Rows for people: how the command line and the report show values of the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxdata.diff import VersionDiff
from warehouse.ledger import LedgerRow
from warehouse.runs import TrainingRun
from warehouse.versions import DatasetVersion


def version_row(version: DatasetVersion) -> dict[str, object]:
    """A dataset version in one row."""
    return {
        "version": version.ref,
        "id": version.version_id[:16],
        "examples": version.num_examples,
        "created_at": version.created_at.isoformat(timespec="seconds"),
        "parent": version.parent[:16] if version.parent else None,
    }


def run_row(run: TrainingRun) -> dict[str, object]:
    """A training run in one row: UAR on the test set before and after, with the interval over voices."""
    return {
        "run": run.training_id[:12],
        "scheme": run.scheme,
        "version": run.version_id[:12],
        "before UAR": show_score(run.result.get("before")),
        "after UAR": show_score(run.result.get("after")),
        "promoted": "yes" if run.promoted else "no",
        "why": run.reason,
        "seconds": round(run.seconds, 1),
    }


def show_score(metrics: Any) -> str:
    """ "0.71 [0.60, 0.80]", or "" when there is no figure."""
    if not isinstance(metrics, Mapping) or metrics.get("uar") is None:
        return ""
    interval = metrics.get("uar_interval")
    return f"{metrics['uar']:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def diff_rows(found: VersionDiff) -> list[dict[str, object]]:
    """What separates two versions, one kind of change a row."""
    rows: list[dict[str, object]] = [
        {"change": "added", "examples": len(found.added)},
        {"change": "removed", "examples": len(found.removed)},
        {"change": "relabelled", "examples": len(found.relabelled)},
        {"change": "moved to another split", "examples": len(found.resplit)},
        {"change": "changed otherwise", "examples": len(found.changed)},
    ]
    return rows


def drop_row(row: LedgerRow) -> dict[str, object]:
    """One thing dropped, and why."""
    return {"stage": row.stage, "reason": str(row.reason), "subject": row.subject, "detail": row.detail}
