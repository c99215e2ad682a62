"""The story of one utterance or recording holds its own drops and nobody else's."""

from __future__ import annotations

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason
from voxdata.testing import make_recording, make_utterance
from warehouse.ledger import record_drop
from warehouse.lineage import explain
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

RECORDING = make_recording()
LONG = make_utterance(0, 3_000)
SHORT = make_utterance(4_000, 4_100)
OTHER = make_utterance(6_000, 9_000, speaker="S1")
URI = "/calls/a.wav"


@pytest.fixture(autouse=True)
def call(con: DuckDBPyConnection) -> None:
    """A recording of three utterances."""
    add_recording(con, RECORDING, audio_file="a.flac", run_id="t")
    add_source(
        con,
        uri=URI,
        size_bytes=1,
        modified_ns=1,
        recording_id=RECORDING.recording_id,
        run_id="t",
    )
    store_utterances(
        con,
        [LONG, SHORT, OTHER],
        key="c",
        run_id="t",
    )
    for stage in ("diarize", "cut"):
        record_stage(
            con,
            recording_id=RECORDING.recording_id,
            stage=stage,
            key="c",
            model_key=None,
            num_rows=3,
            audio_ms=1,
            seconds=1.0,
            run_id="t",
        )


def drop(
    con: DuckDBPyConnection,
    subject: str,
    reason: DropReason,
    *,
    recording_id: str | None = RECORDING.recording_id,
) -> None:
    record_drop(
        con,
        stage="s",
        subject=subject,
        reason=reason,
        detail="d",
        recording_id=recording_id,
        run_id="t",
    )


def dropped(con: DuckDBPyConnection, ref: str) -> list[object]:
    return [row["reason"] for row in explain(con, ref)["dropped"]]


def test_explain_gives_an_utterance_no_drop_of_its_siblings(con: DuckDBPyConnection) -> None:
    drop(con, SHORT.utterance_id, DropReason.TOO_SHORT)
    drop(con, OTHER.utterance_id, DropReason.BAD_ANNOTATION, recording_id=None)
    assert dropped(con, LONG.utterance_id) == []
    assert dropped(con, SHORT.utterance_id) == ["too_short"]
    assert dropped(con, OTHER.utterance_id) == ["bad_annotation"]


@pytest.mark.parametrize("subject", [URI, RECORDING.recording_id])
def test_explain_gives_an_utterance_what_was_dropped_of_its_whole_recording(
    con: DuckDBPyConnection, subject: str
) -> None:
    drop(con, subject, DropReason.NO_CONSENT)
    assert dropped(con, LONG.utterance_id) == dropped(con, SHORT.utterance_id) == ["no_consent"]


def test_explain_gives_nothing_that_another_file_of_that_name_was_dropped_for(
    con: DuckDBPyConnection,
) -> None:
    drop(con, URI, DropReason.TRUNCATED, recording_id=None)
    assert dropped(con, LONG.utterance_id) == []


def test_explain_gives_an_utterance_the_conflict_of_its_own_voice_alone(
    con: DuckDBPyConnection,
) -> None:
    drop(
        con,
        f"voice {RECORDING.recording_id}/S1",
        DropReason.SPLIT_CONFLICT,
        recording_id=None,
    )
    assert dropped(con, OTHER.utterance_id) == ["split_conflict"]
    assert dropped(con, LONG.utterance_id) == []


def test_explain_gives_a_recording_every_drop_in_it_with_what_was_dropped(
    con: DuckDBPyConnection,
) -> None:
    drop(con, SHORT.utterance_id, DropReason.TOO_SHORT)
    drop(con, OTHER.utterance_id, DropReason.BAD_ANNOTATION, recording_id=None)
    rows = explain(con, RECORDING.recording_id)["dropped"]
    assert {(row["subject"], row["reason"]) for row in rows} == {
        (SHORT.utterance_id, "too_short"),
        (OTHER.utterance_id, "bad_annotation"),
    }
