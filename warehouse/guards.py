"""What keeps a dataset version the way it was cut: triggers that refuse changes, and a list of
versions beside the file.

A trigger goes when its table is dropped and recreated, and `COPY FROM DATABASE` leaves triggers
behind, so they are put back whenever the warehouse is opened for writing. The sidecar
`<warehouse>.versions.jsonl` catches what a database cannot know of itself: a write-ahead log cut
short opens without complaint and without its last commits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from duckdb import DuckDBPyConnection

from voxdata.counted import counted
from voxdata.durable import sync, write_file
from voxdata.errors import MachineError, WarehouseError
from voxdata.lines import split_lines
from warehouse.beside import read_beside
from warehouse.rows import read_rows

BANS = "bans"
"""Names the number of entries in the line of the list that tells of those who must stay out."""

_LINES = ({"name", "number", "version_id"}, {BANS, "seal"})
"""What a line of the list says at least: of a version, or of those who must stay out."""

LARGEST = 256 << 20
"""A list of a million versions is smaller, in bytes."""

_REMEDY = (
    "restore it from a backup, or let `voxdata repair` verify every version and write it again"
)

IMMUTABLE_TABLES = (
    "example",
    "example_leaf",
    "manifest",
    "dataset_version",
    "version_summary",
    "version_tag",
    "split_assignment",
    "outbox",
    "erasure",
    "erasure_proof",
    "erasure_leaf",
    "remark",
    "forgotten",
    "audio_digest",
)


_VERBS = ("update", "delete")
_TRIGGERS = {
    f"{table}_no_{verb}": (table, verb) for table, verb in product(IMMUTABLE_TABLES, _VERBS)
}
"""Trigger -> its table and what it refuses there."""


def ensure_triggers(con: DuckDBPyConnection) -> int:
    """Create the triggers that are missing.

    Returns:
        How many were.
    """
    present = _present_triggers(con)
    missing = [name for name in _TRIGGERS if name not in present]
    for name in missing:
        table, verb = _TRIGGERS[name]
        con.execute(
            f"""create trigger {name}
            after {verb} on {table}
            referencing old table as old_rows
            for each statement
            insert into refused_change
            select error('{table} is immutable: dataset versions are only added, never changed')
            from old_rows"""
        )
    return len(missing)


@contextmanager
def unguarded(con: DuckDBPyConnection, *tables: str) -> Iterator[None]:
    """Let rows of some tables be deleted or rewritten inside, as erasing needs; in a
    transaction, so that an error brings the triggers back.

    Raises:
        WarehouseError: A trigger is missing afterwards.
    """
    for table in tables:
        for verb in _VERBS:
            con.execute(f"drop trigger {table}_no_{verb} on {table}")
    yield
    ensure_triggers(con)
    require_triggers(con)


def require_triggers(con: DuckDBPyConnection) -> None:
    """Make sure that nothing can change what is immutable.

    Raises:
        WarehouseError: A trigger is missing.
    """
    missing = set(_TRIGGERS) - _present_triggers(con)
    if missing:
        raise WarehouseError(
            f"the warehouse lacks {', '.join(sorted(missing))}; any writing voxdata command puts "
            "them back"
        )


def _present_triggers(con: DuckDBPyConnection) -> set[str]:
    rows = read_rows(con, "select trigger_name from duckdb_triggers()")
    return {str(row["trigger_name"]) for row in rows}


def sidecar_path(warehouse: Path) -> Path:
    """Where the list of versions of a warehouse file lies."""
    return warehouse.with_name(warehouse.name + ".versions.jsonl")


def check_sidecar(con: DuckDBPyConnection, path: Path) -> bool:
    """Compare the versions in the file with those in the list beside it.

    Returns:
        Whether the list has them all.

    Raises:
        WarehouseError: A version of the list is not in the file, or is another; there are versions
            and no list; or it cannot be read.
    """
    versions, sidecar = _versions(con), sidecar_path(path)
    held = {(row["name"], row["number"]): row for row in versions}
    listed = read_sidecar(sidecar)
    if held and listed is None:
        raise WarehouseError(
            f"{path}: its list of versions {sidecar.name} is missing, so nobody knows whether "
            "commits were lost. Put it back from a backup; or let `voxdata repair` verify every "
            "version and write it again"
        )
    if held and not listed:
        note_later(
            con,
            f"its list of versions {sidecar.name} was empty, and holds the {len(held)} that are "
            "there again",
        )
    for row in listed or ():
        if BANS in row:
            _check_bans(con, path, row)
            continue
        version = held.get((row["name"], row["number"]), {})
        if any(version.get(field) != value for field, value in row.items()):
            raise WarehouseError(
                f"{path}: version {row['name']}@{row['number']} ({str(row['version_id'])[:12]}) is "
                f"listed in {sidecar.name} but not in the warehouse, so commits were lost. "
                "`voxdata repair` brings back what a snapshot and the batches have; or restore "
                "the warehouse file and its .wal from a backup; or, to go on without that "
                f"version, delete its line from {sidecar}"
            )
    return listed == [*versions, *_bans(con)]


def write_sidecar(con: DuckDBPyConnection, path: Path) -> None:
    """Bring the list up to date, durably: temporary file, fsync, rename. Leaves a complete list
    alone.
    """
    rows = [*_versions(con), *_bans(con)]
    sidecar = sidecar_path(path)
    if rows == read_sidecar(sidecar):
        return
    write_file(
        sidecar, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    )
    sync(sidecar.parent)


def note_versions(con: DuckDBPyConnection, path: Path) -> None:
    """Bring the list up to date with what is committed. It is, whether this can be written or not:
    see `note_later`.
    """
    try:
        write_sidecar(con, path)
    except MachineError as error:
        note_later(con, f"its list of versions could not be written ({error})")


def note_later(con: DuckDBPyConnection, line: str) -> None:
    """Keep something to be said when this connection is closed: it is no reason to call failed what
    has succeeded.
    """
    told = told_later(con)
    if line not in told:
        con.execute("set variable told_later = ?", [json.dumps([*told, line])])


def told_later(con: DuckDBPyConnection) -> list[str]:
    """What was kept to be said."""
    kept = con.execute("select getvariable('told_later')").fetchall()[0][0]
    return [str(line) for line in json.loads(str(kept))] if kept else []


def warehouse_path(con: DuckDBPyConnection) -> Path | None:
    """The file behind a connection; None for a database in memory."""
    path = read_rows(
        con, "select path from duckdb_databases() where database_name = current_database()"
    )[0]["path"]
    return None if path is None else Path(str(path))


def _check_bans(con: DuckDBPyConnection, path: Path, listed: dict[str, object]) -> None:
    """Refuse a warehouse that has lost entries of who must stay out: they could come in again."""
    held = read_rows(
        con,
        """select count(*) as n
        from annotation_seal s
        semi join forgotten f on f.seq = s.annotation_seq
        where s.seq <= (select max(seq) from annotation_seal where hash = ?)""",
        [listed["seal"]],
    )[0]["n"]
    if held != listed[BANS]:
        kept_out = int(str(listed[BANS]))
        raise WarehouseError(
            f"{path}: {sidecar_path(path).name} says that "
            f"{counted(kept_out, 'entry keeps', 'entries keep')} out who was forgotten, and the "
            f"warehouse has {held} of them. Restore the warehouse file from a backup; or let "
            "`voxdata repair` rebuild it from what has most"
        )


def _bans(con: DuckDBPyConnection) -> list[dict[str, object]]:
    """How many entries keep somebody out or let somebody in again, and the seal of the newest; none
    when there are none.
    """
    rows = read_rows(
        con,
        """select count(*) as bans, arg_max(s.hash, s.seq) as seal
        from annotation_seal s semi join forgotten f on f.seq = s.annotation_seq""",
    )
    return rows if rows[0][BANS] else []


def _versions(con: DuckDBPyConnection) -> list[dict[str, object]]:
    return read_rows(
        con,
        """select version_id, root, name, number, num_examples as n
        from dataset_version
        order by seq""",
    )


def read_sidecar(sidecar: Path) -> list[dict[str, object]] | None:
    """The versions of a list; None when there is none.

    Raises:
        WarehouseError: It cannot be read, or is no list of versions.
    """
    content = read_beside(sidecar, at_most=LARGEST, remedy=_REMEDY)
    if content is None:
        return None
    try:
        rows = [json.loads(line) for line in split_lines(content.decode("utf-8"))]
    except (ValueError, RecursionError) as error:
        raise WarehouseError(f"{sidecar}: not readable ({error}); {_REMEDY}") from error
    if not all(map(_is_line, rows)):
        raise WarehouseError(f"{sidecar}: is no list of versions; {_REMEDY}")
    return rows


def _is_line(row: object) -> bool:
    """Whether JSON has the fields of a line of the list, and only plain values."""
    if not isinstance(row, dict):
        return False
    plain = all(isinstance(value, str | int) for value in row.values())
    return plain and any(fields <= row.keys() for fields in _LINES)
