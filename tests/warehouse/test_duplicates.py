from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from duckdb import DuckDBPyConnection

from voxdata.fingerprint import NearDuplicate, compare
from voxdata.testing import make_recording
from warehouse.duplicates import (
    MAX_SHARING,
    duplicate_groups,
    find_hints,
    list_fingerprinted,
    list_fingerprints,
    store_fingerprint,
    store_near_duplicates,
)
from warehouse.metadata import list_call_groups, list_metadata, store_metadata
from warehouse.recordings import add_recording

KEY = "chromaprint"


def codes(seed: int, size: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).integers(
        0,
        1 << 32,
        size=size,
        dtype=np.uint32,
    )


def store(con: DuckDBPyConnection, **found: np.ndarray) -> None:
    for name, values in found.items():
        store_fingerprint(con, name, values, key=KEY, run_id="t")


def add(con: DuckDBPyConnection, name: str, *, seconds: int) -> None:
    recording = replace(
        make_recording(),
        recording_id=name,
        num_samples=seconds * 16_000,
        sample_rate_hz=16_000,
    )
    add_recording(con, recording, audio_file=f"{name}.flac", run_id="t")


def test_fingerprints_come_back_as_they_were(con: DuckDBPyConnection) -> None:
    store(
        con,
        a=codes(1),
        b=np.zeros(0, np.uint32),
    )
    assert list_fingerprinted(con, key=KEY) == {"a", "b"}
    assert list_fingerprinted(con, key="another") == set()
    assert np.array_equal(list_fingerprints(con, ["a"], key=KEY)["a"], codes(1))


@pytest.mark.parametrize(
    "arrivals",
    [["a", "b", "c"], ["b"], ["a"]],
)
def test_find_hints_names_a_pair_once_and_the_same_way_round(
    con: DuckDBPyConnection, arrivals: list[str]
) -> None:
    store(
        con,
        a=codes(1),
        b=np.concatenate([codes(7, 15), codes(1)]),
        c=codes(3),
    )
    hints = find_hints(con, arrivals, key=KEY)
    assert hints == {("a", "b"): [15]}
    score = compare(
        codes(1),
        np.concatenate([codes(7, 15), codes(1)]),
        hints["a", "b"],
    )
    assert score == (
        1.0,
        120,
    )


def test_find_hints_passes_over_codes_that_come_back(con: DuckDBPyConnection) -> None:
    tone = np.repeat(codes(5, 2), 60)
    store(con, a=tone, b=tone)
    assert find_hints(con, ["a", "b"], key=KEY) == {}


def test_find_hints_links_a_sound_that_is_everywhere_to_the_first_that_have_it(
    con: DuckDBPyConnection,
) -> None:
    names = [f"r{number:02d}" for number in range(MAX_SHARING + 4)]
    store(con, **dict.fromkeys(names, codes(1)))
    hints = find_hints(con, names, key=KEY)
    assert {first for first, _ in hints} <= set(names[:MAX_SHARING])
    assert set(itertools.chain.from_iterable(hints)) == set(names)


def test_duplicate_groups_take_what_is_mostly_shared(con: DuckDBPyConnection) -> None:
    for name, seconds in {"a": 10, "b": 8, "c": 60, "d": 60, "e": 9}.items():
        add(con, name, seconds=seconds)
    shared = {
        ("a", "b"): 5_000,
        ("b", "e"): 8_000,
        ("c", "d"): 20_000,
    }
    pairs = [
        NearDuplicate(
            recording_id=a,
            other_id=b,
            score=0.9,
            shared_ms=ms,
        )
        for (a, b), ms in shared.items()
    ]
    store_near_duplicates(con, pairs, key=KEY, run_id="t")
    assert duplicate_groups(con) == {"a": "a", "b": "a", "e": "a"}


def test_metadata_keeps_the_newest_value_and_repeats_none(con: DuckDBPyConnection) -> None:
    stored = store_metadata(
        con,
        "a",
        {"call_id": "7", "language": "zh"},
        manifest="m1",
        run_id="t",
    )
    assert stored == 2
    stored = store_metadata(
        con,
        "a",
        {"call_id": "7", "language": "en"},
        manifest="m2",
        run_id="t",
    )
    assert stored == 1
    stored = store_metadata(
        con,
        "b",
        {"consent": "yes"},
        manifest="m2",
        run_id="t",
    )
    assert stored == 1
    assert list_metadata(con) == {"a": {"call_id": "7", "language": "en"}, "b": {"consent": "yes"}}
    assert list_metadata(con, recording_id="b") == {"b": {"consent": "yes"}}
    assert list_call_groups(con) == {"a": "7"}
