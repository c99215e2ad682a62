from __future__ import annotations

import pytest
from duckdb import DuckDBPyConnection

from warehouse.stages import (
    StageResults,
    has_result,
    list_stage_results,
    record_stage,
    reuse_results,
    stage_rates,
)


def record(
    con: DuckDBPyConnection,
    key: str,
    *,
    model_key: str | None = None,
    seconds: float = 1.0,
    audio_ms: int = 10_000,
) -> None:
    record_stage(
        con,
        recording_id="r",
        stage="cut",
        key=key,
        model_key=model_key,
        num_rows=1,
        audio_ms=audio_ms,
        seconds=seconds,
        run_id="t",
    )


def test_list_stage_results_tells_what_is_known_and_what_is_in_force(
    con: DuckDBPyConnection,
) -> None:
    assert list_stage_results(con) == {}
    record(con, "a", model_key="m")
    record(con, "b")
    both = frozenset({("cut", "a"), ("cut", "b")})
    assert list_stage_results(con) == {
        "r": StageResults(
            known=both,
            current={"cut": "b"},
            models=frozenset({"m"}),
        )
    }
    assert has_result(con, recording_id="r", stage="cut", key="a")
    assert not has_result(con, recording_id="r", stage="cut", key="c")


def test_reuse_results_puts_an_earlier_result_in_force_again(con: DuckDBPyConnection) -> None:
    record(con, "a")
    record(con, "b")
    reused = reuse_results(
        con,
        {
            ("r", "cut", "a"),
            ("r", "cut", "nowhere"),
        },
        run_id="t",
    )
    assert reused == 1
    results = list_stage_results(con)["r"]
    assert results.current == {"cut": "a"}
    assert len(results.known) == 2


def test_stage_rates_ignores_what_was_reused(con: DuckDBPyConnection) -> None:
    record(
        con,
        "a",
        model_key="m",
        seconds=1.0,
        audio_ms=10_000,
    )
    record(
        con,
        "b",
        model_key="m",
        seconds=3.0,
        audio_ms=10_000,
    )
    reuse_results(con, {("r", "cut", "a")}, run_id="t")
    assert stage_rates(con) == {("cut", "m"): pytest.approx(0.2)}
