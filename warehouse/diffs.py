"""What changed between two dataset versions, computed where the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.dataset import Split
from voxdata.diff import Relabelled, Resplit, VersionDiff
from voxdata.losses import find_losses
from warehouse.rows import read_rows
from warehouse.versions import fetch_row_ids, manifest_key, rows_only_in

_ELSE = ("channel", "start_ms", "end_ms", "voice", "group", "audio_file", "text", "language")
_LABELS = """select a.utterance_id, scheme,
    json_extract_string(a.gold, '$."' || scheme || '".label') as before,
    json_extract_string(b.gold, '$."' || scheme || '".label') as after,
    json_extract(a.gold, '$."' || scheme || '"')::varchar as votes_before,
    json_extract(b.gold, '$."' || scheme || '"')::varchar as votes_after
  from (
    select utterance_id, unnest(list_distinct(json_keys(a.gold) || json_keys(b.gold))) as scheme
    from gone a
    join came b using (utterance_id)
  )
  join gone a using (utterance_id)
  join came b using (utterance_id)"""


def diff_versions(con: DuckDBPyConnection, a_id: str, b_id: str) -> VersionDiff:
    """What leads from version `a_id` to version `b_id`; rows that were erased since are left out.

    Raises:
        NotFoundError: No version has one of the ids.
    """
    a, b = manifest_key(con, a_id), manifest_key(con, b_id)
    durations_ms = _totals(con, a, b, "duration_ms")
    with _changed_rows(con, a, b):
        return VersionDiff(
            added=_ids(con, "from came anti join gone using (utterance_id)"),
            removed=_ids(con, "from gone anti join came using (utterance_id)"),
            relabelled=_relabelled(con),
            resplit=_resplit(con),
            changed=_otherwise_changed(con),
            counts=_totals(con, a, b, "num_examples"),
            lost=find_losses(_by_split(con, a), _by_split(con, b)),
            minutes={
                label: (before_ms / 60_000, after_ms / 60_000)
                for label, (before_ms, after_ms) in durations_ms.items()
            },
        )


@contextmanager
def _changed_rows(con: DuckDBPyConnection, a: int, b: int) -> Iterator[None]:
    """Let queries see the rows that only one of two manifests lists.

    Inside there are the temporary tables `gone` and `came`, examples of only the first and only the
    second, and `label_change`, their labels side by side for utterances that are in both.
    """
    import polars as pl

    old, new = fetch_row_ids(con, a), fetch_row_ids(con, b)
    for table, row_ids in (("gone", rows_only_in(old, new)), ("came", rows_only_in(new, old))):
        frame = pl.DataFrame({"row_id": row_ids}, schema={"row_id": pl.Int64})
        con.register("changed_rows", frame)
        con.execute(
            f"""create or replace temp table {table} as
            from example
            semi join changed_rows using (row_id)"""
        )
        con.unregister("changed_rows")
    con.execute(f"create or replace temp table label_change as {_LABELS}")
    try:
        yield
    finally:
        for table in ("label_change", "gone", "came"):
            con.execute(f"drop table {table}")


def _relabelled(con: DuckDBPyConnection) -> tuple[Relabelled, ...]:
    rows = _rows(
        con,
        """select utterance_id, scheme, before, after
        from label_change
        where before is distinct from after""",
    )
    return tuple(Relabelled(*row) for row in rows)


def _resplit(con: DuckDBPyConnection) -> tuple[Resplit, ...]:
    rows = _rows(
        con,
        """select utterance_id, a.split, b.split
        from gone a
        join came b using (utterance_id)
        where a.split <> b.split""",
    )
    return tuple(
        Resplit(utterance_id, Split(before), Split(after)) for utterance_id, before, after in rows
    )


def _otherwise_changed(con: DuckDBPyConnection) -> tuple[str, ...]:
    """Utterances with another text, voice or place, or with the same label by other votes."""
    differs = " or ".join(f'a."{field}" <> b."{field}"' for field in _ELSE)
    return _ids(
        con,
        f"""from (
          select utterance_id
          from gone a
          join came b using (utterance_id)
          where {differs}
          union
          select utterance_id
          from label_change
          where before = after and votes_before <> votes_after
        )""",
    )


def count_splits(con: DuckDBPyConnection, version_id: str) -> dict[tuple[Split, str, str], int]:
    """How much each split of a version held when it was cut, as `voxdata.losses` counts it.

    Raises:
        NotFoundError: No version has that id.
    """
    return _by_split(con, manifest_key(con, version_id))


def _by_split(con: DuckDBPyConnection, key: int) -> dict[tuple[Split, str, str], int]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select split, scheme, label, sum(num_examples)::bigint as n
        from version_summary
        where manifest_key = ?
        group by split, scheme, label""",
        [key],
    )
    return {(Split(row["split"]), row["scheme"], row["label"]): row["n"] for row in rows}


def _ids(con: DuckDBPyConnection, source: str) -> tuple[str, ...]:
    return tuple(key for (key,) in _rows(con, f"select utterance_id {source}"))


def _rows(con: DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(f"{sql} order by all").fetchall()


def _totals(con: DuckDBPyConnection, a: int, b: int, column: str) -> dict[str, tuple[int, int]]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select scheme || '=' || label as label,
          coalesce(sum({column}) filter (manifest_key = $a), 0)::bigint as before,
          coalesce(sum({column}) filter (manifest_key = $b), 0)::bigint as after
        from version_summary
        where scheme <> '' and manifest_key in ($a, $b)
        group by all
        order by label""",
        {"a": a, "b": b},
    )
    return {row["label"]: (row["before"], row["after"]) for row in rows}
