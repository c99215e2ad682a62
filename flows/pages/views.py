"""Rows for people: how the command line and the report show values of the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from duckdb import DuckDBPyConnection

from flows.retrain.results import verdict_of
from training.judge.gate import Check
from training.judge.verdict import Verdict
from training.metrics import Interval, Scores
from training.result import encode_evidence
from voxdata.diff import VersionDiff
from warehouse.duplicates import duplicate_groups
from warehouse.ledger import LedgerRow
from warehouse.metadata import list_metadata
from warehouse.promotions import Promotion
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
    """A training run in one row: UAR on the test set before and after, with intervals over voices.

    Raises:
        TrainingError: Its stored result is malformed.
    """
    verdict = verdict_of(run)
    return {
        "run": run.training_id[:12],
        "scheme": run.scheme,
        "version": run.version_id[:12],
        "before UAR": "" if verdict is None else show_score(verdict.before),
        "after UAR": "" if verdict is None else show_score(verdict.after),
        "promoted": "yes" if run.promoted else "no",
        "why": run.reason,
        "seconds": round(run.seconds, 1),
    }


def exact_run_row(run: TrainingRun) -> dict[str, object]:
    """The same for programs: with figures as numbers, in full.

    Raises:
        TrainingError: Its stored result is malformed.
    """
    verdict = verdict_of(run)
    evidence: dict[str, object] = {}
    if verdict is not None:
        evidence = encode_evidence(verdict)
        evidence["checks"] = [_check_row(check) for check in verdict.decision.checks]
    return {
        **run_row(run),
        "seconds": run.seconds,
        "before": None if verdict is None else _score_row(verdict.before),
        "after": None if verdict is None else _score_row(verdict.after),
        **evidence,
    }


def _score_row(scores: Scores | None) -> dict[str, object] | None:
    if scores is None:
        return None
    interval = scores.uar_interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {"uar": scores.uar, "low": low, "high": high}


def _check_row(check: Check) -> dict[str, object]:
    return {**asdict(check), "passed": check.passed}


def baseline_rows(verdict: Verdict) -> list[dict[str, object]]:
    """The scores that stand beside a model's, one in a row."""
    rows: list[dict[str, object]] = []
    for baseline in verdict.baselines:
        rows.append(
            {
                "beside it": baseline.name,
                "UAR": _show_figure(baseline.uar, baseline.uar_interval),
                "macro-F1": "" if baseline.macro_f1 is None else f"{baseline.macro_f1:.3f}",
                "clips": baseline.num_clips or "",
                "note": baseline.note,
            }
        )
    return rows


def check_rows(verdict: Verdict) -> list[dict[str, object]]:
    """What the judge looked at, one check in a row."""
    rows: list[dict[str, object]] = []
    for check in verdict.decision.checks:
        rows.append(
            {
                "check": check.name,
                "found": "" if check.value is None else f"{check.value:.3f}",
                "limit": f"{check.limit:.3f}",
                "passed": "yes" if check.passed else "no",
            }
        )
    return rows


def _show_figure(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def model_rows(
    runs: Sequence[TrainingRun], promotions: Sequence[Promotion]
) -> list[dict[str, object]]:
    """Every training run in one row, with what was decided last about its model.

    Args:
        promotions: All there are, oldest first.
    """
    current = {promotion.role: promotion for promotion in promotions}
    newest = {promotion.training_id: promotion for promotion in promotions}
    rows: list[dict[str, object]] = []
    for run in runs:
        in_use = current.get(run.role)
        is_in_use = in_use is not None and in_use.training_id == run.training_id
        decided = newest.get(run.training_id)
        rows.append(
            {
                **run_row(run),
                "in use": "yes" if is_in_use else "",
                "put to use by": "" if decided is None else decided.decided_by,
                "at": "" if decided is None else _moment(decided),
                "because": "" if decided is None else decided.reason,
            }
        )
    return rows


def promotion_row(promotion: Promotion) -> dict[str, object]:
    """A promotion or demotion in one row."""
    return {
        "at": _moment(promotion),
        "role": promotion.role,
        "run": promotion.training_id[:12] or "none: back to the start",
        "by": promotion.decided_by,
        "why": promotion.reason,
    }


def _moment(promotion: Promotion) -> str:
    return promotion.created_at.isoformat(timespec="seconds")


def show_score(scores: Scores | None) -> str:
    """ "0.710 [0.600, 0.800]", or "" when there is no figure."""
    if scores is None:
        return ""
    return _show_figure(scores.uar, scores.uar_interval)


def diff_rows(diff: VersionDiff) -> list[dict[str, object]]:
    """What separates two versions, one kind of change per row."""
    return [
        {"change": "added", "examples": len(diff.added)},
        {"change": "removed", "examples": len(diff.removed)},
        {"change": "relabelled", "examples": len(diff.relabelled)},
        {"change": "moved to another split", "examples": len(diff.resplit)},
        {"change": "changed otherwise", "examples": len(diff.changed)},
    ]


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
    """Every recording with its files, copies of its sound and metadata; oldest first."""
    uris = list_uris(con)
    metadata_of = list_metadata(con)
    groups = duplicate_groups(con)
    rows: list[dict[str, object]] = []
    for stored in list_recordings(con):
        recording = stored.recording
        metadata = sorted(metadata_of.get(recording.recording_id, {}).items())
        rows.append(
            {
                "recording": recording.recording_id[:12],
                "minutes": recording.duration_ms / 60_000,
                "Hz": recording.sample_rate_hz,
                "channels": recording.num_channels,
                "layout": recording.layout.value,
                "files": " ".join(uris.get(recording.recording_id, ())),
                "copies": groups.get(recording.recording_id, "")[:12],
                "metadata": " ".join(f"{name}={value}" for name, value in metadata),
            }
        )
    return rows
