from __future__ import annotations

from collections.abc import Callable

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.prelabel import Prelabels
from warehouse.labels import list_predictions
from warehouse.rows import read_rows
from warehouse.utterances import get_utterance, list_quality, list_turns, list_utterances, store_prelabels

Make = Callable[..., Prelabels]
TABLES = ("prelabel_result", "turn", "utterance", "model", "prediction")


def counts(con: DuckDBPyConnection) -> dict[str, object]:
    return {table: read_rows(con, f"select count(*) as n from {table}")[0]["n"] for table in TABLES}


def test_store_prelabels_gives_back_what_was_stored_and_repeats_nothing(con: DuckDBPyConnection, prelabels: Make) -> None:
    given = prelabels()
    store_prelabels(con, given, key="k", scheme_versions={"intent": 1}, run_id="t")
    before = counts(con)
    store_prelabels(con, given, key="k", scheme_versions={"intent": 1}, run_id="t2")
    assert counts(con) == before == {"prelabel_result": 1, "turn": 2, "utterance": 2, "model": 2, "prediction": 2}
    assert list_utterances(con) == list(given.utterances)
    assert list_turns(con, "r1") == list(given.turns)
    assert list_quality(con) == given.quality
    assert list_predictions(con, scheme="intent") == {p.utterance_id: p for p in given.predictions}
    assert list_utterances(con, []) == []
    assert list_utterances(con, ["r1"]) == list(given.utterances)


def test_list_utterances_shows_the_newest_result_of_each_recording(con: DuckDBPyConnection, prelabels: Make) -> None:
    first, second = prelabels(text="old", starts=(0, 2000)), prelabels(text="new", starts=(2000, 4000))
    store_prelabels(con, first, key="k1", scheme_versions={"intent": 1}, run_id="t")
    store_prelabels(con, second, key="k2", scheme_versions={"intent": 1}, run_id="t")
    store_prelabels(con, prelabels("r2"), key="k1", scheme_versions={"intent": 1}, run_id="t")
    assert list_utterances(con) == [*second.utterances, *prelabels("r2").utterances]
    assert list_turns(con, "r1") == list(second.turns)
    assert get_utterance(con, first.utterances[0].utterance_id).text == "old"
    assert get_utterance(con, first.utterances[1].utterance_id).text == "new"
    with pytest.raises(NotFoundError, match="nope"):
        get_utterance(con, "nope")


def test_store_prelabels_leaves_nothing_when_it_fails_half_way(con: DuckDBPyConnection, prelabels: Make) -> None:
    with pytest.raises(KeyError):
        store_prelabels(con, prelabels(), key="k", scheme_versions={}, run_id="t")
    assert set(counts(con).values()) == {0}
    store_prelabels(con, prelabels(), key="k", scheme_versions={"intent": 1}, run_id="t")
    assert counts(con)["utterance"] == 2
