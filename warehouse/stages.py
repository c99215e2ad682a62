"""Results of the stages of pre-labelling: all of them, those in force, and what each cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from duckdb import DuckDBPyConnection

from warehouse.rows import insert_rows, read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResults:
    """What is on record for one recording.

    Attributes:
        known: (stage, key) of every result.
        current: Stage -> key of the result in force.
        models: Keys of the models behind the results.
    """

    known: frozenset[tuple[str, str]] = frozenset()
    current: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[str] = frozenset()


def list_stage_results(con: DuckDBPyConnection) -> dict[str, StageResults]:
    """Recording id -> its results, for every recording that has any."""
    results: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    current: defaultdict[str, dict[str, str]] = defaultdict(dict)
    models: defaultdict[str, set[str]] = defaultdict(set)
    rows: list[dict[str, Any]] = read_rows(
        con, "select recording_id, stage, key, model_key from stage_result order by seq"
    )
    for row in rows:
        results[row["recording_id"]].add((row["stage"], row["key"]))
        current[row["recording_id"]][row["stage"]] = row["key"]
        if row["model_key"] is not None:
            models[row["recording_id"]].add(row["model_key"])
    return {
        name: StageResults(
            known=frozenset(results[name]), current=current[name], models=frozenset(models[name])
        )
        for name in results
    }


def has_result(con: DuckDBPyConnection, *, recording_id: str, stage: str, key: str) -> bool:
    """Whether a stage was computed for a recording under this key."""
    rows = read_rows(
        con,
        "select 1 from stage_result where recording_id = ? and stage = ? and key = ? limit 1",
        [recording_id, stage, key],
    )
    return bool(rows)


def record_stage(
    con: DuckDBPyConnection,
    *,
    recording_id: str,
    stage: str,
    key: str,
    model_key: str | None,
    num_rows: int,
    audio_ms: int,
    seconds: float,
    run_id: str,
) -> None:
    """Note that a stage was computed; call it in the transaction that stores its rows."""
    row: dict[str, object] = {
        "recording_id": recording_id,
        "stage": stage,
        "key": key,
        "model_key": model_key,
        "num_rows": num_rows,
        "audio_ms": audio_ms,
        "seconds": seconds,
        "run_id": run_id,
    }
    insert_rows(con, "stage_result", [row])


def reuse_results(
    con: DuckDBPyConnection, wanted: Collection[tuple[str, str, str]], *, run_id: str
) -> int:
    """Put earlier results in force again.

    Args:
        wanted: (recording_id, stage, key) of results on record.

    Returns:
        How many.
    """
    on_record: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, stage, key, arg_max(model_key, seq) as model_key,
          arg_max(num_rows, seq) as num_rows
        from stage_result
        group by all""",
    )
    rows: list[dict[str, object]] = [
        {**row, "audio_ms": 0, "seconds": 0.0, "reused": True, "run_id": run_id}
        for row in sorted(on_record, key=lambda r: (r["recording_id"], r["stage"]))
        if (row["recording_id"], row["stage"], row["key"]) in set(wanted)
    ]
    insert_rows(con, "stage_result", rows)
    return len(rows)


def stage_rates(con: DuckDBPyConnection) -> dict[tuple[str, str | None], float]:
    """(stage, model key) -> seconds of work for each second of audio, over all results that were
    computed.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select stage, model_key, sum(seconds) * 1000 / sum(audio_ms) as rate from stage_result
        where not reused and audio_ms > 0 group by all""",
    )
    return {(row["stage"], row["model_key"]): float(row["rate"]) for row in rows}
