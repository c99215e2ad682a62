"""Personal data that leaves, on real speech: said, transcribed, masked, muted, listened to again,
and looked for in every place.
"""

from __future__ import annotations

import gzip
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest

from benchmarks.leaks import (
    STRICT,
    count_secrets,
    find_leaks,
    find_secrets_in,
    read_places,
    secret_keys,
)
from benchmarks.spoken_secrets import FOLDER
from benchmarks.stored_text import StoredText, read_texts

SPOKEN = ("bank.opus", "login.opus")
ABSENT = [name for name in SPOKEN if not (FOLDER / name).is_file()]
SECRETS = {
    "four one five, five five five, zero one three two": ["4155550132"],
    "Sarah Johnson": ["sarah", "johnson"],
}
CLOSED = (
    "tasks",
    "clips",
    "said",
    "lineage",
    "Prefect",
    "model card",
    "predictions",
    "training run",
)
"""Places in which nothing private may stand."""
OPEN = (
    "warehouse",
    "report",
    "training manifest",
    "export jsonl",
    "export parquet",
    "export huggingface",
    "export huggingface, clips",
)
"""Places that hold what was said, by design."""

Places = dict[str, list[StoredText]]

spoken = pytest.mark.skipif(bool(ABSENT), reason=f"{FOLDER} lacks {', '.join(ABSENT)}")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Place -> the texts in it, after two recordings went all the way from ingest to a trained
    model and exports.
    """
    return read_places(tmp_path_factory.mktemp("leaks") / "w", SPOKEN)


@spoken
@pytest.mark.slow
@pytest.mark.parametrize("place", CLOSED)
def test_chain_lets_no_private_word_be_read_or_heard(places: Places, place: str) -> None:
    assert places[place]
    leaks = find_leaks(
        places[place],
        secret_keys(SPOKEN),
        strict=place in STRICT,
    )
    assert [leak for leak in leaks if leak.sure] == []


@spoken
@pytest.mark.slow
def test_chain_leaves_no_private_word_in_the_logs_of_services(places: Places) -> None:
    assert [
        leak for leak in find_leaks(places["logs"], secret_keys(SPOKEN), strict=False) if leak.sure
    ] == []


@spoken
@pytest.mark.slow
def test_chain_is_recorded_by_prefect_with_what_it_said(places: Places) -> None:
    recorded = "\n".join(stored.text for stored in places["Prefect"])
    missing = [
        told
        for told in (r"push: [1-9]\d* new", "release: new version", "train: intent")
        if not re.search(told, recorded)
    ]
    assert missing == []


@spoken
@pytest.mark.slow
@pytest.mark.parametrize("place", OPEN)
def test_chain_keeps_what_was_said_where_the_owner_needs_it(places: Places, place: str) -> None:
    assert (
        len(
            count_secrets(
                find_leaks(
                    places[place],
                    secret_keys(SPOKEN),
                    strict=place in STRICT,
                )
            )
        )
        > 4
    )


def found_in(folder: Path) -> list[str]:
    """What is surely private in the files of a folder."""
    return count_secrets(find_leaks(read_texts([folder]), SECRETS, strict=False))


def write_sqlite(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as con, con:
        con.execute("create table log (number integer, message text, body blob)")
        con.execute("insert into log values (1, ?, ?)", [text, text.encode()])


def write_duckdb(path: Path, text: str) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("create table words as select [{'word': ?}] as heard", [text])


def write_parquet(path: Path, text: str) -> None:
    pl.DataFrame({"text": [text], "number": [1]}).write_parquet(path)


def write_gzip(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode()))


def write_plain(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    "write",
    [write_sqlite, write_duckdb, write_parquet, write_gzip, write_plain],
)
def test_read_texts_finds_what_is_stored(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    write(tmp_path / "stored", "ask for Johnson at 0132")
    assert len(found_in(tmp_path)) == 2


def test_read_texts_leaves_out_digits_of_identities_and_times(tmp_path: Path) -> None:
    lines = (
        "0132ab4155cd9f7e\n2026-11-29 01:32:41.550132\n0.0132415555\n"
        "41555501-0132-4155-8132-a0b1c2d3e4f5"
    )
    write_plain(tmp_path / "log", lines)
    assert found_in(tmp_path) == []


def test_read_texts_leaves_out_names_that_prefect_draws(tmp_path: Path) -> None:
    write_plain(tmp_path / "log", 'sarah-tiger\n{"name": "noisy-johnson"}\n01:32:41,550132 done')
    assert found_in(tmp_path) == []


def test_read_texts_keeps_words_joined_by_a_hyphen_in_a_sentence(tmp_path: Path) -> None:
    write_plain(tmp_path / "log", "ask for sarah-johnson today")
    assert found_in(tmp_path) == ["Sarah Johnson"]


def test_read_texts_keeps_numbers_that_may_have_been_said(tmp_path: Path) -> None:
    write_plain(tmp_path / "log", "call 415-555-0132\n415 555 0132\n4155550132")
    lengths = [len(find_secrets_in(stored.text, SECRETS)) for stored in read_texts([tmp_path])]
    assert lengths == [
        1,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It is 415-555-0132.", 1),
        ("four one five five, all right", 1),
        ("ask for Johnson at 0132", 2),
        ("nothing is here, 415", 0),
        ("", 0),
    ],
)
def test_find_secrets_in_reads_numbers_and_words_however_written(text: str, number: int) -> None:
    assert len(find_secrets_in(text, SECRETS)) == number


def test_secret_keys_are_digits_of_numbers_and_words_of_names() -> None:
    keys = secret_keys(["bank.opus", "login.opus"])
    assert keys["Sarah Johnson"] == ["sarah", "johnson"]
    assert keys["nine two seven six"] == ["9276"]
    assert keys["purple tiger"] == ["purple", "tiger"]


@pytest.mark.parametrize(
    ("write", "where"),
    [
        (write_sqlite, "stored, table log, row 1, message"),
        (write_duckdb, "stored, table words, row 1, heard"),
        (write_parquet, "stored, row 1, text"),
        (write_gzip, "stored, line 2"),
        (write_plain, "stored, line 2"),
    ],
)
def test_find_leaks_names_the_table_and_row_or_the_file_and_line(
    tmp_path: Path,
    write: Callable[[Path, str], None],
    where: str,
) -> None:
    write(tmp_path / "stored", "nothing here\nask for Johnson")
    assert where in [
        leak.where for leak in find_leaks(read_texts([tmp_path]), SECRETS, strict=False)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "he said 556638 today",
        "http://127.0.0.1:6638/",
        "pid 6638",
        "0a6638bc9d4e",
        "12:00:01.663812",
    ],
)
def test_find_leaks_keeps_what_may_be_by_chance_apart_and_counts_it_in_tasks_and_clips(
    text: str,
) -> None:
    keys = {"six six three eight": ["6638"]}
    stored = [StoredText(text=text, where="row 7")]
    (perhaps,) = find_leaks(stored, keys, strict=False)
    (counted,) = find_leaks(stored, keys, strict=True)
    assert perhaps.sure is False
    assert counted.sure is True
    assert perhaps.where == "row 7"
    assert {"tasks", "clips"} <= STRICT
