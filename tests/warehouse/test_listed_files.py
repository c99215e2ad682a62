"""Many files looked up at once stand as each of them does that is looked up by itself."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason
from warehouse.connection import open_warehouse
from warehouse.ledger import record_drop
from warehouse.listed_files import find_seen, match_files, move_places
from warehouse.places import Places, keep_place, place_inside
from warehouse.recordings import SourceRow, add_source, find_source, known_uris
from warehouse.rows import insert_rows, read_rows

STORED = (
    "./inbox/a.wav",
    "./a.wav",
    "./inbox/sub/a.wav",
    "../calls/a.wav",
    "/here/w/inbox/a.wav",
    "/before/w/inbox/a.wav",
    "/before/calls/a.wav",
    "/elsewhere/a.wav",
    "file:./inbox/b%FF.wav",
    "file:///before/w/inbox/b%FF.wav",
    "s3://calls/a.wav",
)
LISTED = (
    "/here/w/inbox/a.wav",
    "/here/w/a.wav",
    "/here/w/inbox/sub/a.wav",
    "/here/calls/a.wav",
    "/elsewhere/a.wav",
    "file:///here/w/inbox/b%FF.wav",
    "s3://calls/a.wav",
    "/here/w/inbox/new.wav",
)


@pytest.fixture
def con(tmp_path: Path) -> Iterator[DuckDBPyConnection]:
    places = Places(root=Path("/here/w"), inboxes=("../calls",))
    with open_warehouse(tmp_path / "w.duckdb", places=places) as connection:
        yield connection


def fill(con: DuckDBPyConnection, dice: random.Random) -> None:
    con.execute("delete from source")
    rows: list[dict[str, object]] = [
        {
            "uri": dice.choice(STORED),
            "size_bytes": dice.choice([1, 2]),
            "modified_ns": dice.choice([1, 2, 3]),
            "recording_id": dice.choice([None, "r1", "r2"]),
            "decoder": dice.choice(["", "d1", "d2"]),
            "content": dice.choice(["", "c1", "c2"]),
            "run_id": "t",
        }
        for _ in range(dice.randrange(40))
    ]
    insert_rows(con, "source", rows)


def listed(dice: random.Random) -> pl.DataFrame:
    uris = dice.sample(LISTED, dice.randrange(len(LISTED) + 1))
    rows = [
        (number, uri, dice.choice([1, 2]), dice.choice([1, 2, 3]))
        for number, uri in enumerate(uris)
    ]
    columns = {
        "number": pl.UInt32,
        "uri": pl.String,
        "size_bytes": pl.Int64,
        "modified_ns": pl.Int64,
    }
    return pl.DataFrame(rows, schema=columns, orient="row")


def find_one(
    con: DuckDBPyConnection,
    uri: str,
    condition: str,
) -> dict[str, object] | None:
    """The row of a file that is on record here, or under a place that ends as its own."""
    kept = keep_place(con, uri)
    inside = "" if kept == uri else place_inside(kept)
    rows = read_rows(con, f"select * from source where {condition} order by seq desc")
    here = [row for row in rows if row["uri"] == kept]
    ending = [row for row in rows if inside and str(row["uri"]).endswith(inside)]
    return next(iter([*here, *ending]), None)


def look_up(con: DuckDBPyConnection, files: pl.DataFrame) -> dict[str, set[tuple[object, ...]]]:
    """What `match_files` gives, file by file."""
    groups: dict[str, set[tuple[object, ...]]] = {"known": set(), "moved": set(), "earlier": set()}
    for number, uri, size_bytes, modified_ns in files.iter_rows():
        kept = keep_place(con, uri)
        of_size = f"size_bytes = {size_bytes}"
        row = find_one(con, uri, f"{of_size} and modified_ns = {modified_ns}")
        alone = find_source(
            con,
            uri=uri,
            size_bytes=size_bytes,
            modified_ns=modified_ns,
        )
        assert (row is None) == (alone is None)
        if row is not None:
            result = (number, row["recording_id"], row["decoder"])
            assert alone == SourceRow(
                uri=uri,
                size_bytes=size_bytes,
                modified_ns=modified_ns,
                recording_id=row["recording_id"],  # type: ignore[arg-type]
                decoder=str(row["decoder"]),
                content=str(row["content"]),
            )
            if row["uri"] == kept:
                groups["known"].add(result)
            else:
                groups["moved"].add((*result, row["uri"], kept))
            continue
        condition = f"{of_size} and recording_id is not null and content <> ''"
        row = find_one(con, uri, condition)
        if row is not None:
            result = (number, row["recording_id"], row["decoder"], row["uri"], kept)
            groups["earlier"].add((*result, row["content"]))
    return groups


@pytest.mark.parametrize("seed", range(4))
def test_match_files_finds_what_a_look_at_each_file_finds(
    con: DuckDBPyConnection, seed: int
) -> None:
    dice = random.Random(seed)
    found = {"known": 0, "moved": 0, "earlier": 0}
    for _ in range(25):
        fill(con, dice)
        files = listed(dice)
        matches = match_files(con, files)
        columns = ["number", "recording_id", "decoder"]
        moved = [*columns, "stored", "kept"]
        wanted = look_up(con, files)
        assert set(matches.known.select(columns).iter_rows()) == wanted["known"]
        assert set(matches.moved.select(moved).iter_rows()) == wanted["moved"]
        assert set(matches.earlier.select(*moved, "content").iter_rows()) == wanted["earlier"]
        seen = known_uris(con)
        assert find_seen(con, files) == {uri for uri in files["uri"] if uri in seen}
        found = {name: count + len(wanted[name]) for name, count in found.items()}
    assert min(found.values()) > 5, found


def test_places_with_letters_of_several_characters_are_kept_and_placed(tmp_path: Path) -> None:
    root = tmp_path / "cafe\u0301 \U0001f399\ufe0f"
    with open_warehouse(tmp_path / "w.duckdb", places=Places(root=root)) as con:
        uri = f"{root}/inbox/e\u0301.wav"
        (row,) = read_rows(con, "select kept(?) as kept, placed(kept(?)) as placed", [uri, uri])
        assert row == {"kept": keep_place(con, uri), "placed": uri}
        assert row["kept"] == "./inbox/e\u0301.wav"


def test_move_places_moves_sources_and_drops_and_takes_the_first_of_two(
    con: DuckDBPyConnection,
) -> None:
    for uri in ("/old/a.wav", "/old/b.wav"):
        add_source(
            con,
            uri=uri,
            size_bytes=1,
            modified_ns=1,
            recording_id=None,
            run_id="t",
        )
        record_drop(
            con,
            stage="ingest",
            subject=uri,
            reason=DropReason.EMPTY,
            detail="",
            run_id="t",
        )
    stored, kept = ["/old/a.wav", "/old/a.wav"], ["./inbox/a.wav", "./a.wav"]
    move_places(con, pl.DataFrame({"stored": stored, "kept": kept}))
    for table, column in (("source", "uri"), ("ledger", "subject")):
        rows = read_rows(con, f"select {column} as place from {table} order by seq")
        assert [row["place"] for row in rows] == ["./inbox/a.wav", "/old/b.wav"]
