from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from voxdata.recording import Recording
from warehouse.recordings import add_recording
from warehouse.stages import (
    StageResults,
    frame_signatures,
    has_result,
    read_signature,
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


def results_of(
    con: DuckDBPyConnection,
    keys: dict[str, str],
    models: Sequence[str] = (),
) -> StageResults:
    """What is on record for the one recording there is."""
    ((_, signature, _),) = frame_signatures(con, keys, models).iter_rows()
    return read_signature(signature, keys, models)


def test_signatures_tell_what_is_known_and_what_is_in_force(
    con: DuckDBPyConnection, recording: Callable[[str], Recording]
) -> None:
    add_recording(con, recording("r"), audio_file="r.flac", run_id="t")
    assert results_of(con, {"cut": "a"}) == StageResults()
    record(con, "a", model_key="m")
    record(con, "b")
    known = frozenset({("cut", "a")})
    assert results_of(con, {"cut": "a"}, ["m", "other"]) == StageResults(
        known=known, current={"cut": ""}, models=frozenset({"m"})
    )
    assert results_of(con, {"cut": "b"}).current == {"cut": "b"}
    assert results_of(con, {"cut": "c", "scan": "a"}) == StageResults(current={"cut": ""})
    assert has_result(con, recording_id="r", stage="cut", key="a")
    assert not has_result(con, recording_id="r", stage="cut", key="c")


def wanted(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"recording_id": "r", "stage": "cut", "key": keys})


def test_reuse_results_puts_an_earlier_result_in_force_again(
    con: DuckDBPyConnection, recording: Callable[[str], Recording]
) -> None:
    add_recording(con, recording("r"), audio_file="r.flac", run_id="t")
    record(con, "a")
    record(con, "b")
    assert reuse_results(con, wanted("a", "nowhere"), run_id="t") == 1
    assert results_of(con, {"cut": "a"}).current == {"cut": "a"}


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
    reuse_results(con, wanted("a"), run_id="t")
    assert stage_rates(con) == {("cut", "m"): pytest.approx(0.2)}
