"""How much there is at every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from warehouse.rows import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts at every stage of the loop.

    Attributes:
        sources: Files dealt with.
        recording_minutes: The minutes of the originals.
        utterances: The number of utterances of the newest result of each recording.
        predictions: By every model so far.
        pushed: Utterances on the annotation server, counted for each project.
        annotations: That stand: neither deleted nor skipped.
        annotators: People behind them.
        drops: (stage, reason) -> ledger rows.
        remarks: Things to know about recordings that were kept.
        versions: The number of versions of all names.
        promoted: Scheme -> training_id of the run promoted last.
    """

    sources: int
    recordings: int
    recording_minutes: float
    utterances: int
    utterance_minutes: float
    predictions: int
    pushed: int
    annotations: int
    annotators: int
    drops: Mapping[tuple[str, str], int]
    remarks: int
    versions: int
    training_runs: int
    promoted: Mapping[str, str]


def count_rows(con: DuckDBPyConnection) -> Counts:
    """Count everything."""
    totals: dict[str, Any] = read_rows(
        con,
        """with standing as (from current_annotation where not deleted and not skipped)
        select (select count(*) from source) as sources,
          (select count(*) from recording) as recordings,
          (
            select coalesce(sum(num_samples / sample_rate_hz), 0) / 60
            from recording
          ) as recording_minutes,
          (select count(*) from current_utterance) as utterances,
          (
            select coalesce(sum(end_ms - start_ms), 0) / 60000
            from current_utterance
          ) as utterance_minutes,
          (select count(*) from prediction) as predictions,
          (select count(*) from current_push where predictions_key <> '') as pushed,
          (select count(*) from standing) as annotations,
          (select count(distinct annotator) from standing) as annotators,
          (select count(*) from remark) as remarks,
          (select count(*) from dataset_version) as versions,
          (select count(*) from current_training_run) as training_runs""",
    )[0]
    drops: list[dict[str, Any]] = read_rows(
        con, "select stage, reason, count(*) as n from ledger group by all order by all"
    )
    promoted: list[dict[str, Any]] = read_rows(
        con,
        """select scheme, arg_max(training_id, seq) as id
        from current_training_run
        where promoted
        group by scheme
        order by scheme""",
    )
    return Counts(
        **totals,
        drops={(r["stage"], r["reason"]): r["n"] for r in drops},
        promoted={r["scheme"]: r["id"] for r in promoted},
    )
