"""What holds of a workspace after whatever happened to it: the laws of `test_loop_machine`.

They read the tables by queries of their own, so that they do not believe what they judge.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from duckdb import DuckDBPyConnection

from tests.flows.loop_ground import CALLS, MIN_CLIP_MS, SILENT
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.rows import read_rows

Balance = Counter[str]
"""Where sound went -> how much of it, in ms of one channel."""

NUMBER = re.compile(r"call-(\d)")


def number_of(uri: str) -> int:
    """Which call a file is."""
    match = NUMBER.search(Path(uri).name)
    assert match, uri
    return int(match[1])


def read_pairs(con: DuckDBPyConnection, sql: str) -> dict[str, int]:
    """Of a query with two columns."""
    return {str(name): int(value) for name, value in con.execute(sql).fetchall()}


def keys_of(con: DuckDBPyConnection, sql: str) -> set[str]:
    """Of a query with one column."""
    return {str(name) for (name,) in con.execute(sql).fetchall()}


SOUND = "num_samples * 1000 // sample_rate_hz * canonical_channels"
"""The length of a recording in ms, once for each channel that is kept."""

# Hours


def balance_files(con: DuckDBPyConnection) -> None:
    """Sound that came in = sound of recordings + sound of recordings dropped as silent.

    How much came in the calls themselves say, how much there is the length and the channels of
    the recordings. A file that gave no recording, whose length nobody knows, is in the ledger.
    """
    newest = con.execute(
        "select placed(uri), arg_max_null(recording_id, seq) from source group by all"
    ).fetchall()
    numbers = {key: number_of(uri) for uri, key in newest if key is not None}
    came_in_ms = sum(CALLS[number].sound_ms for number in numbers.values())
    silent = keys_of(
        con, "select recording_id from ledger where (stage, reason) = ('ingest', 'silent')"
    )
    went: Balance = Counter()
    for key, sound_ms in read_pairs(con, f"select recording_id, {SOUND} from recording").items():
        went["dropped: silent" if key in silent else "recorded"] += sound_ms
    assert went.total() == came_in_ms, (came_in_ms, went)
    assert silent == {key for key, number in numbers.items() if number == SILENT}
    refused = {uri for uri, key in newest if key is None}
    assert refused == keys_of(
        con,
        """select placed(subject) from ledger
        where stage = 'ingest' and reason not in ('silent', 'forgotten')""",
    )


def balance_speech(con: DuckDBPyConnection) -> Balance:
    """Sound of recordings = utterances + pauses + sound dropped, by reason, + sound that waits.

    Utterances are those of the calls themselves, which do not overlap; pauses are the rest of a
    recording that was cut, and what waits has not been cut.

    Returns:
        Where it went.
    """
    went: Balance = Counter()
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""with
        heard as (select recording_id, sum(end_ms - start_ms) as heard, list(utterance_id) as keys
          from current_utterance group by all),
        cut as (select distinct recording_id, true as cut from stage_result where stage = 'cut'),
        dropped as (select recording_id, list(distinct reason) as reasons
          from ledger where stage in ('ingest', 'cut') group by all),
        came as (select recording_id, min(placed(uri)) as uri from source group by all)
        select recording_id, uri, {SOUND} as sound, coalesce(heard, 0) as heard,
          coalesce(keys, []) as keys, coalesce(cut, false) as cut, coalesce(reasons, []) as reasons
        from recording left join came using (recording_id) left join heard using (recording_id)
          left join cut using (recording_id) left join dropped using (recording_id)""",
    )
    for row in rows:
        call = CALLS[number_of(row["uri"])]
        utterances = call.utterances(row["recording_id"])
        assert row["sound"] == call.sound_ms, row
        if row["reasons"]:
            (reason,) = row["reasons"]
            went[f"dropped: {reason}"] += row["sound"]
            assert row["keys"] == [], row
            assert utterances == {}, row
        elif row["cut"]:
            went["heard"] += row["heard"]
            went["pauses"] += row["sound"] - sum(utterances.values())
            assert sorted(row["keys"]) == sorted(utterances) != [], row
        else:
            went["waits"] += row["sound"]
            assert row["keys"] == [], row
    assert went.total() == sum(row["sound"] for row in rows), (went, rows)
    return went


def balance_clips(con: DuckDBPyConnection) -> Balance:
    """Sound of utterances = clips given out + utterances dropped as too short + what waits.

    What was dropped is what the ledger measured.

    Returns:
        Where it went.
    """
    went: Balance = Counter()
    rows: list[dict[str, Any]] = read_rows(
        con,
        """with
        short as (select subject as utterance_id, value::bigint as short
          from ledger where (stage, reason) = ('push', 'too_short')),
        pushed as (select distinct utterance_id, true as pushed
          from current_push where predictions_key <> '')
        select utterance_id, end_ms - start_ms as ms, short, coalesce(pushed, false) as pushed
        from current_utterance left join short using (utterance_id)
          left join pushed using (utterance_id)""",
    )
    for row in rows:
        assert row["short"] in (None, row["ms"]), row
        assert not (row["short"] is not None and row["pushed"]), row
        went[
            "dropped: too_short"
            if row["short"] is not None
            else "given out"
            if row["pushed"]
            else "waits"
        ] += row["ms"]
        assert row["short"] is None or row["ms"] < MIN_CLIP_MS, row
    assert went.total() == sum(row["ms"] for row in rows), (went, rows)
    return went


def labelled_ms(con: DuckDBPyConnection) -> dict[str, int]:
    """Utterance -> its length, of all that somebody has labelled."""
    return read_pairs(
        con,
        """select utterance_id, end_ms - start_ms from current_utterance semi join (
          from current_annotation where not deleted and not skipped
          and json_array_length(labels, '$.intent') > 0) using (utterance_id)""",
    )


def example_ms(
    con: DuckDBPyConnection,
    name: str,
    number: str = "",
) -> dict[str, int]:
    """Utterance -> its length, of what is there of a version, the newest if not told."""
    only = f"and number = {number}" if number else ""
    return read_pairs(
        con,
        f"""select utterance_id, end_ms - start_ms from example semi join (
          from manifest where manifest_key = (
            select arg_max(manifest_key, number) from dataset_version
            where name = '{name}' {only})) using (row_id)""",
    )


def answers_in(con: DuckDBPyConnection) -> set[tuple[int, str]]:
    """(number, utterance) of the answers that stand."""
    rows = con.execute(
        "select annotation_id, utterance_id from current_annotation where not deleted"
    ).fetchall()
    return {(int(number), str(key)) for number, key in rows}


# Everything else


def nothing_is_doubled(con: DuckDBPyConnection, queue: FakeQueue) -> None:
    """Whatever is done twice is there once."""
    keys = {
        "recording": "recording_id",
        "prediction": "prediction_id",
        "utterance": "utterance_id, key",
        "turn": "recording_id, key, position",
        "stage_result": "recording_id, stage, key",
        "ledger": "stage, subject, reason, key",
        "example": "row_id",
        "dataset_version": "name, number",
    }
    parts = [
        f"""select '{table}' as name, count(*) as n from (
          select 1 from "{table}" group by {key} having count(*) > 1)"""
        for table, key in keys.items()
    ]
    assert [row for row in read_rows(con, " union all ".join(parts)) if row["n"]] == []
    audio_files = {entry.audio_file for entry in queue.entries.values()}
    assert len(audio_files) == len(queue.entries)


def nothing_hangs_in_the_air(con: DuckDBPyConnection) -> None:
    """Rows about an utterance have the utterance, and those about a recording the recording."""
    whole = {
        column: f"select {column} from {table} union all select {column} from example"
        for column, table in (("utterance_id", "utterance"), ("recording_id", "recording"))
    }
    named = {
        "recording_id": (
            "utterance",
            "turn",
            "transcript",
            "stage_result",
            "measure",
            "speaker_embedding",
            "source",
            "ledger",
            "attempt",
        ),
        "utterance_id": ("prediction", "push", "annotation"),
    }
    parts = []
    for column, tables in named.items():
        parts += [
            f"""select '{table}' as name, count(*) as n
            from "{table}" anti join ({whole[column]}) using ({column})
            where {column} is not null"""
            for table in tables
        ]
    assert [row for row in read_rows(con, " union all ".join(parts)) if row["n"]] == []


def no_table_names(con: DuckDBPyConnection, words: Collection[str]) -> None:
    """No row of any table has one of these words in it."""
    tables = con.execute(
        "select table_name from duckdb_tables() where not internal and not temporary"
    ).fetchall()
    parts = [
        f"""select '{table}' as name, t::varchar as row from "{table}" t
        where regexp_matches(t::varchar, $words)"""
        for (table,) in tables
    ]
    rows = read_rows(
        con,
        " union all ".join(parts),
        {"words": "|".join(map(re.escape, words))},
    )
    assert rows == []


class Files:
    """What lies in some folders, read again when it has changed."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int]] = {}
        self._words: frozenset[str] = frozenset()

    def none_names(
        self,
        folders: Iterable[Path],
        words: Collection[str],
    ) -> None:
        """No file has one of these words in its name or in it; of a database see the tables."""
        pattern = re.compile("|".join(map(re.escape, words)).encode())
        if words != self._words:
            self._seen, self._words = {}, frozenset(words)
        for path in itertools.chain.from_iterable(folder.rglob("*") for folder in folders):
            assert not pattern.search(str(path).encode()), path
            status = path.stat()
            if path.is_dir() or self._seen.get(path) == (status.st_mtime_ns, status.st_size):
                continue
            self._seen[path] = (status.st_mtime_ns, status.st_size)
            if path.name.startswith("warehouse-") and path.suffix == ".duckdb":
                with duckdb.connect(path, read_only=True) as con:
                    no_table_names(con, words)
            elif path.suffix not in (".duckdb", ".wal"):
                content = (
                    pl.read_parquet(path).write_json().encode()
                    if path.suffix == ".parquet"
                    else path.read_bytes()
                )
                assert not pattern.search(content), path


def clips_of(folder: Path) -> dict[str, Path]:
    """Utterance -> its clip, of an export."""
    return {path.stem: path for path in (folder / "audio").iterdir()}
