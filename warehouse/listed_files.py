"""How listed files stand in the table of sources: all of them are looked up at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

from warehouse.guards import unguarded
from warehouse.rows import FRAME, read_rows

if TYPE_CHECKING:
    import polars as pl

_LIST = f"""
    create or replace temp table listed_file as
    select number, uri, kept(uri) as kept, size_bytes, modified_ns from {FRAME}
"""
_KNOWN = """
    create or replace temp table known_file as
    select l.number, arg_max_null(s.recording_id, s.seq) as recording_id,
      arg_max(coalesce(s.decoder, ''), s.seq) as decoder
    from listed_file l join source s
      on s.uri = l.kept and s.size_bytes = l.size_bytes and s.modified_ns = l.modified_ns
    group by l.number
"""
_LEFT = """
    create or replace temp table left_file as
    select *, split_part(kept, '/', -1) as name,
      if(kept = uri, '', regexp_replace(replace_start(kept), '^(\\.{1,2}/)+', '/')) as inside
    from listed_file anti join known_file using (number)
"""
_START = """
    create or replace temp macro replace_start(kept) as
    if(starts_with(kept, 'file:'), kept[6:], kept)
"""
# What ends alike has the same last part: by that the two are joined, and few are compared whole.
_NEAR = """
    create or replace temp table near_file as
    select l.number, l.kept, s.uri as stored, s.recording_id, coalesce(s.decoder, '') as decoder,
      s.content, s.seq, s.uri = l.kept as is_here, s.modified_ns = l.modified_ns as is_as_old
    from left_file l
    join (from source where size_bytes in (select size_bytes from left_file)) s
      on s.size_bytes = l.size_bytes and split_part(s.uri, '/', -1) = l.name
    where s.uri = l.kept or (l.inside <> '' and ends_with(s.uri, l.inside))
"""
_MOVED = """
    select number, kept, stored, recording_id, decoder from near_file
    where is_as_old
    qualify row_number() over (partition by number order by seq desc) = 1
    order by number
"""
_EARLIER = """
    select number, kept, stored, recording_id, decoder, content from near_file
    where recording_id is not null and content <> ''
      and number not in (select number from near_file where is_as_old)
    qualify row_number() over (partition by number order by is_here desc, seq desc) = 1
    order by number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMatches:
    """What is on record of listed files. Each is in one of the frames at most, by its `number`.

    All have `recording_id`, null where the file gave no recording, and `decoder`, the version of
    what tried it last.

    Attributes:
        known: Files on record with their place, size and time of change, as dealt with last.
        moved: Files of the workspace that are on record, with this size and time, under `stored`,
            which ends as their place in the workspace does; now they would be stored as `kept`.
        earlier: Files that gave a recording when they had this size and another time of change, and
            whose `content` is on record; `stored` and `kept` as in `moved`.
    """

    known: pl.DataFrame
    moved: pl.DataFrame
    earlier: pl.DataFrame


def match_files(con: DuckDBPyConnection, files: pl.DataFrame) -> FileMatches:
    """Look up listed files; the cost of those that are known is that of one join.

    Args:
        files: `number`, `uri`, `size_bytes` and `modified_ns`; each number and URI once.
    """
    con.register(FRAME, files)
    try:
        con.execute(_LIST)
    finally:
        con.unregister(FRAME)
    con.execute(_KNOWN)
    con.execute(_START)
    con.execute(_LEFT)
    con.execute(_NEAR)
    return FileMatches(
        known=con.sql("from known_file").pl(),
        moved=con.sql(_MOVED).pl(),
        earlier=con.sql(_EARLIER).pl(),
    )


def find_seen(con: DuckDBPyConnection, files: pl.DataFrame) -> set[str]:
    """Those URIs of files that were ever dealt with, whatever they were then.

    Args:
        files: `uri`.
    """
    con.register(FRAME, files)
    try:
        query = f"""select uri from {FRAME}
            where uri in (select placed(uri) from source)"""
        return {str(uri) for (uri,) in con.execute(query).fetchall()}
    finally:
        con.unregister(FRAME)


def move_places(con: DuckDBPyConnection, places: pl.DataFrame) -> None:
    """Write places as they are stored now that were stored as they were elsewhere.

    Args:
        places: `stored`, the place on record, and `kept`, as it is to be; of several for one place
            the first counts.
    """
    con.register(FRAME, places.unique("stored", keep="first"))
    try:
        for table, column in (
            ("source", "uri"),
            ("ledger", "subject"),
            ("attempt", "subject"),
        ):
            _exchange(con, table, column)
        if read_rows(
            con, f"select 1 from remark join {FRAME} moved on subject = moved.stored limit 1"
        ):
            # What is remarked stays as it is; where the file lies is no part of that.
            with unguarded(con, "remark"):
                _exchange(con, "remark", "subject")
    finally:
        con.unregister(FRAME)


def _exchange(con: DuckDBPyConnection, table: str, column: str) -> None:
    con.execute(
        f"""update {table} set {column} = moved.kept from {FRAME} moved
        where {table}.{column} = moved.stored"""
    )
