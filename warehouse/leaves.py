"""Rows of dataset versions: stored once, each with the leaf that stands for it in the roots of the
versions that hold it.

All of it is set-based, since a version may have ten million rows. What a leaf is says
`voxdata.dataset`; `LEAF` is the same in SQL.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from voxdata.dataset import MICRO, ROW_FORMAT, Example, leaf_hash
from voxdata.errors import WarehouseError
from voxdata.identity import canonical_json
from voxdata.root import merkle_root
from warehouse.rows import FRAME, insert_new, insert_query, read_rows

FIELDS = (
    "utterance_id",
    "recording_id",
    "channel",
    "start_ms",
    "end_ms",
    "voice",
    "group",
    "audio_file",
    "text",
    "language",
    "split",
    "gold",
)
"""What a row says, in the order of the table."""

_CONTENT = 'hash(voice, "group", text, language, split, gold)'
"""Over what may differ between two rows of one utterance: its id is made of all the rest."""

LEAF = f"""sha256(
    concat_ws(
      chr(31), '{ROW_FORMAT}', s.salt, e.utterance_id, e.recording_id, e.channel, e.start_ms,
      e.end_ms, e.voice, e."group", e.audio_file, e.language, e.split, e.gold, e.text
    )
  )"""
"""Hex of which the first 32 characters are the leaf of row `e` with salt `s`; no column is null,
since concat_ws would skip it.
"""

_SALT_BYTES = 16


def intern_rows(con: DuckDBPyConnection, candidate: str, *, run_id: str) -> str:
    """Find the stored row of each candidate, and store those that are new.

    Rows are compared by two 64-bit hashes, of the utterance and of what may change: among ten
    million the chance of one mistake is 10^-24.

    Args:
        candidate: A table with the columns of `FIELDS`, each utterance once.

    Returns:
        The name of a temporary table with the row_id of every candidate; the next call replaces it.

    Raises:
        WarehouseError: A field has the character that parts the fields of a leaf.
    """
    last = _last_row(con)
    con.execute(
        f"""create or replace temp table stored_row as
        select c.place, e.row_id
        from (
          select rowid as place, hash(utterance_id) as utterance, {_CONTENT} as content
          from {candidate}
        ) c
        left join (
          select row_id, hash(utterance_id) as utterance, {_CONTENT} as content
          from example
        ) e using (utterance, content)"""
    )
    columns = ", ".join(f'c."{name}"' for name in FIELDS)
    insert_query(
        con,
        "example",
        f"""select {last} + row_number() over () as row_id, {columns}, ? as run_id
        from {candidate} c
        semi join (from stored_row where row_id is null) s on s.place = c.rowid""",
        [run_id],
    )
    _require_no_separator(con, after=last)
    seal_rows(con, after=last, run_id=run_id)
    con.execute(
        """create or replace temp table member as
        select row_id
        from stored_row
        where row_id is not null
        union all
        select row_id
        from example
        where row_id > ?""",
        [last],
    )
    con.execute("drop table stored_row")
    return "member"


def _require_no_separator(con: DuckDBPyConnection, *, after: int) -> None:
    fields = ("voice", "group", "audio_file", "language")
    holds_separator = " or ".join(f'contains("{field}", chr(31))' for field in fields)
    rows = read_rows(
        con,
        f"""select utterance_id
        from example
        where row_id > {after} and ({holds_separator})
        limit 1""",
    )
    if rows:
        raise WarehouseError(
            f"utterance {rows[0]['utterance_id']} has the control character U+001F in a field "
            "other than its text; remove it"
        )


def seal_rows(con: DuckDBPyConnection, *, after: int, run_id: str) -> None:
    """Give the rows behind `after` their leaves, and salts where there is none for a voice in a
    recording.
    """
    _add_salts(con, after=after, run_id=run_id)
    insert_query(
        con,
        "example_leaf",
        f"""select row_id, ('0x' || leaf[:16])::ubigint as leaf_high,
          ('0x' || leaf[17:32])::ubigint as leaf_low
        from (
          select e.row_id, {LEAF} as leaf
          from example e
          join row_salt s using (recording_id, voice)
          where e.row_id > ?
        )
        order by row_id""",
        [after],
    )


def _add_salts(con: DuckDBPyConnection, *, after: int, run_id: str) -> None:
    import polars as pl

    unsalted = con.sql(
        """select distinct recording_id, voice
        from example
        anti join row_salt using (recording_id, voice)
        where row_id > ?""",
        params=[after],
    ).pl()
    if unsalted.is_empty():
        return
    width = _SALT_BYTES * 2
    digits = secrets.token_bytes(_SALT_BYTES * len(unsalted)).hex()
    salts = [digits[start : start + width] for start in range(0, len(digits), width)]
    con.register(FRAME, unsalted.with_columns(pl.Series("salt", salts)))
    try:
        insert_query(
            con,
            "row_salt",
            f"select *, ? as run_id from {FRAME} order by recording_id, voice",
            [run_id],
        )
    finally:
        con.unregister(FRAME)


def adopt_salts(con: DuckDBPyConnection, examples: Sequence[Example], *, run_id: str) -> None:
    """Take the salts of examples that come from elsewhere, where there are none yet, so that they
    keep their leaves.

    A leaf whose row was erased here does not come back, as receipts say: whoever gave consent again
    gets others.
    """
    erased = _erased_among(con, examples)
    salts = {(e.recording_id, e.voice): e.salt for e in examples if e.salt}
    rows: list[dict[str, object]] = [
        {"recording_id": recording_id, "voice": voice, "salt": salt, "run_id": run_id}
        for (recording_id, voice), salt in sorted(salts.items())
        if (recording_id, voice) not in erased
    ]
    insert_new(con, "row_salt", rows, key=("recording_id", "voice"))


def _erased_among(con: DuckDBPyConnection, examples: Sequence[Example]) -> set[tuple[str, str]]:
    """(recording, voice) of those examples whose leaves were left by rows that were erased."""
    rows = read_rows(
        con,
        """select printf('%016x%016x', leaf_high, leaf_low) as leaf
        from example_leaf anti join example using (row_id)""",
    )
    leaves = {str(row["leaf"]) for row in rows}
    return {(e.recording_id, e.voice) for e in examples if leaves and leaf_hash(e) in leaves}


def compute_root(con: DuckDBPyConnection, rows: str) -> str:
    """The Merkle root over the leaves of rows.

    Args:
        rows: A table or a query in parentheses with a column row_id.
    """
    halves = con.sql(
        f"select leaf_high, leaf_low from example_leaf semi join {rows} using (row_id)"
    ).fetchnumpy()
    return merkle_root(halves["leaf_high"], halves["leaf_low"])


def seal_earlier_rows(con: DuckDBPyConnection) -> None:
    """What migration 6 cannot say in SQL: shares in millionths, leaves, and the roots and summaries
    of the versions there were.
    """
    import polars as pl

    rows = [
        {"row_id": row["row_id"], "gold": _gold_in_micro(str(row["gold"]))}
        for row in read_rows(con, "select row_id, gold from example")
    ]
    if rows:
        con.register(FRAME, pl.DataFrame(rows))
        try:
            con.execute(
                f"update example set gold = f.gold from {FRAME} f where f.row_id = example.row_id"
            )
        finally:
            con.unregister(FRAME)
    seal_rows(con, after=0, run_id="migration-6")
    for row in read_rows(con, "select distinct manifest_key from dataset_version"):
        key = int(str(row["manifest_key"]))
        root = compute_root(con, f"(from manifest where manifest_key = {key})")
        con.execute("update dataset_version set root = ? where manifest_key = ?", [root, key])
        add_summary(con, key, f"(from manifest where manifest_key = {key})")


def add_summary(
    con: DuckDBPyConnection,
    manifest_key: int,
    rows: str,
    *,
    base_key: int | None = None,
    less: str | None = None,
) -> None:
    """Count what a version holds.

    Args:
        rows: A table or a query in parentheses with a column row_id: all rows, or with `base_key`
            those that its version has not.
        base_key: A version that was counted before.
        less: Rows of that version which this one has not.
    """
    parts = [_count(rows, 1)]
    if base_key is not None:
        parts.append(
            f"""select split, language, scheme, label, num_examples, duration_ms
            from version_summary
            where manifest_key = {base_key}"""
        )
    if less is not None:
        parts.append(_count(less, -1))
    insert_query(
        con,
        "version_summary",
        f"""select ? as manifest_key, split, language, scheme, label,
          sum(c.num_examples) as num_examples, sum(c.duration_ms) as duration_ms
        from ({" union all ".join(parts)}) c
        group by all
        having sum(c.num_examples) <> 0
        order by all""",
        [manifest_key],
    )


def _count(rows: str, sign: int) -> str:
    return f"""select split, language, scheme,
      case
        when scheme = '' then ''
        else json_extract_string(gold, '$."' || scheme || '".label')
      end as label,
      {sign} * count(*) as num_examples, {sign} * sum(end_ms - start_ms) as duration_ms
    from (
      select split, language, gold, start_ms, end_ms,
        unnest(list_prepend('', json_keys(gold))) as scheme
      from example
      semi join {rows} using (row_id)
    )
    group by all"""


def _last_row(con: DuckDBPyConnection) -> int:
    # Rows may be erased, leaves never: their numbers are not given out again.
    rows = read_rows(
        con,
        """select greatest(
          (select max(row_id) from example_leaf), (select max(row_id) from example), 0
        ) as last""",
    )
    return int(str(rows[0]["last"]))


def _gold_in_micro(stored: str) -> str:
    gold = json.loads(stored)
    for label in gold.values():
        for shares in (label["distribution"], label.get("posterior", {})):
            for name in shares:
                shares[name] = round(shares[name] * MICRO)
    return canonical_json(gold)
