from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import ModelRef
from voxdata.segment import Segment
from voxdata.utterance import Passage, Transcript, Word
from warehouse.labels import list_predictions
from warehouse.rows import read_rows
from warehouse.utterances import (
    get_utterance,
    list_cut,
    list_transcripts,
    list_turns,
    list_utterances,
    store_transcripts,
)

Make = Callable[..., Any]
TABLES = ("stage_result", "turn", "utterance", "model", "prediction")


def counts(con: DuckDBPyConnection) -> dict[str, object]:
    return {table: read_rows(con, f"select count(*) as n from {table}")[0]["n"] for table in TABLES}


def test_stored_results_come_back_and_repeat_nothing(con: DuckDBPyConnection, heard: Make) -> None:
    given = heard()
    given.store(con)
    before = counts(con)
    given.store(con)
    assert (
        counts(con)
        == before
        == {"stage_result": 2, "turn": 2, "utterance": 2, "model": 1, "prediction": 2}
    )
    assert list_utterances(con) == list(given.utterances) == list_cut(con, "r1", key="k")
    assert list_turns(con, "r1") == list(given.turns) == list_turns(con, "r1", key="k")
    assert list_predictions(con, scheme="intent") == {p.utterance_id: p for p in given.predictions}
    assert list_utterances(con, []) == []
    assert list_utterances(con, ["r1"]) == list(given.utterances)


def test_list_utterances_shows_the_result_in_force_of_each_recording(
    con: DuckDBPyConnection, heard: Make
) -> None:
    first = heard(text="old", starts=(0, 2000))
    second = heard(text="new", starts=(2000, 4000))
    first.store(con, key="k1")
    second.store(con, key="k2")
    heard("r2").store(con, key="k1")
    assert list_utterances(con) == [*second.utterances, *heard("r2").utterances]
    assert list_turns(con, "r1") == list(second.turns)
    assert list_cut(con, "r1", key="k1") == list(first.utterances)
    utterance = get_utterance(con, first.utterances[0].utterance_id)
    assert utterance.text == "old"
    utterance = get_utterance(con, first.utterances[1].utterance_id)
    assert utterance.text == "new"
    with pytest.raises(NotFoundError, match="nope"):
        get_utterance(con, "nope")


def test_store_transcripts_keeps_passages_and_words_by_channel(con: DuckDBPyConnection) -> None:
    model = ModelRef(name="asr", revision="1")
    passage = Passage(
        segment=Segment(start_ms=0, end_ms=900),
        language="zh",
        language_probability=0.5,
        no_speech_probability=0.1,
        mean_log_probability=-0.25,
    )
    word = Word(
        text="天气",
        segment=Segment(start_ms=100, end_ms=400),
        probability=0.125,
    )
    given = [
        Transcript(passages=(passage,), words=(word,), model=model),
        Transcript(passages=(), words=(), model=model),
    ]
    store_transcripts(con, "r1", given, key="k", run_id="t")
    assert list_transcripts(con, "r1", key="k", model=model) == given
    assert list_transcripts(con, "r1", key="other", model=model) == []
