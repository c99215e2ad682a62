"""Rows for people: how the command line and the report show values of the warehouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.diff import VersionDiff
from warehouse.duplicates import duplicate_groups
from warehouse.ledger import LedgerRow
from warehouse.metadata import list_metadata
from warehouse.recordings import list_recordings, list_uris
from warehouse.remarks import RemarkRow
from warehouse.runs import TrainingRun
from warehouse.versions import DatasetVersion


def version_row(version: DatasetVersion) -> dict[str, object]:
    """A dataset version in one row."""
    return {
        "version": version.ref,
        "id": version.version_id[:16],
        "examples": version.num_examples,
        "erased": version.num_erased,
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
    return f"{metrics['uar']:.3f}" + (
        f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    )


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
    at = row.created_at.isoformat(timespec="seconds")
    return {
        "at": at,
        "what": "dropped",
        "stage": row.stage,
        "reason": str(row.reason),
        "tries": row.tries or "",
        "subject": row.subject,
        "detail": row.detail,
    }


def remark_row(row: RemarkRow) -> dict[str, object]:
    """One thing to know about a recording that was kept."""
    at = row.created_at.isoformat(timespec="seconds")
    return {
        "at": at,
        "what": "remark",
        "stage": row.stage,
        "reason": str(row.remark.kind),
        "subject": row.subject,
        "detail": row.remark.detail,
    }


def recording_rows(con: DuckDBPyConnection) -> list[dict[str, object]]:
    """Every recording with its files, what it shares its sound with, and what manifests say about it; oldest first."""
    uris, said, groups = list_uris(con), list_metadata(con), duplicate_groups(con)
    rows: list[dict[str, object]] = []
    for stored in list_recordings(con):
        recording = stored.recording
        known = sorted(said.get(recording.recording_id, {}).items())
        rows.append(
            {
                "recording": recording.recording_id[:12],
                "minutes": recording.duration_ms / 60_000,
                "Hz": recording.sample_rate_hz,
                "channels": recording.num_channels,
                "layout": recording.layout.value,
                "files": " ".join(uris.get(recording.recording_id, ())),
                "copies": groups.get(recording.recording_id, "")[:12],
                "metadata": " ".join(f"{name}={value}" for name, value in known),
            }
        )
    return rows
