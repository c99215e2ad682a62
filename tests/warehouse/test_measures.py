"""What a threshold on a measure would remove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from voxdata.measure import Quality
from voxdata.recording import Recording
from warehouse.measures import count_removed, list_measures, store_measures
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage

GOOD = Quality(
    level_db=-26.0,
    snr_db=30.0,
    clipping_ratio=0.0,
    bandwidth_hz=8_000,
    overlap_ratio=0.0,
    speaking_rate=3.0,
    mos=3.5,
)


def measure(
    con: DuckDBPyConnection,
    recording_id: str,
    measures: dict[str, Quality],
    *,
    key: str = "m",
) -> None:
    store_measures(con, recording_id, measures, key=key, run_id="t")
    record_stage(
        con,
        recording_id=recording_id,
        stage="measure",
        key=key,
        model_key=None,
        num_rows=len(measures),
        audio_ms=1,
        seconds=1,
        run_id="t",
    )


def add_from(con: DuckDBPyConnection, recording: Recording, uri: str) -> None:
    add_recording(con, recording, audio_file="x.flac", run_id="t")
    add_source(
        con,
        uri=uri,
        size_bytes=1,
        modified_ns=1,
        recording_id=recording.recording_id,
        run_id="t",
    )


@pytest.fixture
def calls(
    con: DuckDBPyConnection,
    heard: Callable[..., Any],
    recording: Callable[[str], Recording],
) -> dict[str, list[str]]:
    """Two recordings of two utterances of 1.5 s each; one from a folder, one from a bucket."""
    ids = {}
    for recording_id, uri in (("r1", "/calls/may/a.wav"), ("r2", "s3://bucket/b.wav")):
        add_from(con, recording(recording_id), uri)
        heard_voice = heard(recording_id)
        heard_voice.store(con)
        ids[recording_id] = [u.utterance_id for u in heard_voice.utterances]
    return ids


def test_list_measures_gives_the_newest_of_what_is_in_force(
    con: DuckDBPyConnection, calls: dict[str, list[str]]
) -> None:
    a, b = calls["r1"]
    measure(
        con,
        "r1",
        {a: GOOD, b: GOOD},
        key="old",
    )
    measure(
        con,
        "r1",
        {a: replace(GOOD, snr_db=9.0), b: GOOD, "gone": GOOD},
        key="new",
    )
    assert list_measures(con) == {a: replace(GOOD, snr_db=9.0), b: GOOD}


def test_count_removed_counts_by_language_and_source(
    con: DuckDBPyConnection, calls: dict[str, list[str]]
) -> None:
    a, b = calls["r1"]
    measure(
        con,
        "r1",
        {
            a: replace(GOOD, snr_db=11.9),
            b: replace(GOOD, snr_db=12.0),
        },
    )
    measure(con, "r2", dict.fromkeys(calls["r2"], GOOD))
    rows = count_removed(con, {"snr_db": 12})
    assert [
        (r["language"], r["source"], r["utterances"], r["utterances_removed"]) for r in rows
    ] == [
        ("zh", "/calls/may", 2, 1),
        ("zh", "s3://bucket", 2, 0),
        ("all", "", 4, 1),
    ]
    assert rows[0]["minutes"] == pytest.approx(0.05)
    assert rows[-1]["minutes_removed"] == pytest.approx(0.025)


def test_count_removed_takes_the_larger_as_worse_where_it_is(
    con: DuckDBPyConnection, calls: dict[str, list[str]]
) -> None:
    a, b = calls["r1"]
    measure(
        con,
        "r1",
        {
            a: replace(GOOD, overlap_ratio=0.4),
            b: replace(GOOD, mos=1.0),
        },
    )
    removed = count_removed(con, {"overlap_ratio": 0.3})
    assert removed[-1]["utterances_removed"] == 1
    removed = count_removed(con, {"overlap_ratio": 0.4})
    assert removed[-1]["utterances_removed"] == 0
    removed = count_removed(con, {"overlap_ratio": 0.3, "mos": 2})
    assert removed[-1]["utterances_removed"] == 2


def test_count_removed_keeps_what_was_not_measured(
    con: DuckDBPyConnection, calls: dict[str, list[str]]
) -> None:
    a, _ = calls["r1"]
    measure(con, "r1", {a: replace(GOOD, mos=None)})
    removed = count_removed(con, {"mos": 5})
    assert removed[-1]["utterances_removed"] == 0
    removed = count_removed(con, {"snr_db": 99})
    assert removed[-1]["utterances_removed"] == 1


def test_count_removed_answers_an_empty_warehouse(con: DuckDBPyConnection) -> None:
    assert [
        (r["language"], r["utterances"], r["minutes"]) for r in count_removed(con, {"snr_db": 12})
    ] == [("all", 0, 0.0)]


@pytest.mark.parametrize(
    "limits",
    [{}, {"loudness": 1.0}, {"snr_db": 1.0, "1; drop table measure": 2.0}],
)
def test_count_removed_names_the_measures_there_are(
    con: DuckDBPyConnection, limits: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match="snr_db"):
        count_removed(con, limits)
