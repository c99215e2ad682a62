"""Batches: how many processes write into one warehouse file.

Whoever cannot have the file leaves rows as Parquet in a folder: written aside, fsynced, renamed.
One short writer merges what lies there, many batches in one transaction together with a note of
each, so that a batch counts once whenever anybody dies. Merged batches are kept until the next
snapshot, since a warehouse that is lost is made again from both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.durable import (
    move,
    remove,
    remove_tree,
    sync,
    workshop,
    write_file,
    writing,
)
from voxdata.errors import DropReason, MachineError
from voxdata.machine import find_fault, machine_error
from warehouse.connection import migrate, transaction
from warehouse.engine import IN_MEMORY, connect
from warehouse.ledger import record_drop
from warehouse.places import Places, use_places
from warehouse.rows import insert_query, insert_rows, read_rows, utc_naive
from warehouse.strip import doubtful_files, keep_batch

if TYPE_CHECKING:
    import polars as pl

FORMAT = "voxdata-batch/1"
MERGE_AT_ONCE = 500
MERGED, REJECTED = "merged", "rejected"

# Table -> what makes a row known; utterances come before what names only them, since the gate
# learns from them whom that is about. Where many rows have one key, such as the turns of a result,
# the first batch brings them all.
KEYS: Mapping[str, tuple[str, ...]] = {
    "recording": ("recording_id",),
    "source": ("uri", "size_bytes", "modified_ns", "decoder"),
    "ledger": ("stage", "subject", "reason", "key"),
    "attempt": ("stage", "subject", "key", "reason", "day"),
    "remark": ("recording_id", "stage", "subject", "kind", "key"),
    "model": ("model_key",),
    "stage_result": ("recording_id", "stage", "key"),
    "turn": ("recording_id", "key"),
    "transcript": ("recording_id", "key", "channel"),
    "utterance": ("recording_id", "key"),
    "measure": ("recording_id", "key"),
    "private_span": ("recording_id", "key"),
    "private_leak": ("recording_id", "key"),
    "speaker_embedding": ("recording_id", "key"),
    "prediction": ("prediction_id",),
}
_GIVEN = ("seq", "created_at")
"""Columns that the warehouse sets when the rows are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a merge did: batches merged now, batches that were merged before, batches put aside,
    rows that were new.
    """

    merged: int
    known: int
    rejected: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """A batch that lies there, as its header says; `tables` counts the rows of each."""

    path: Path
    batch_id: str
    run_id: str
    left_at: datetime
    tables: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """A batch that cannot be merged, and why."""

    path: Path
    why: str


def leave_batch(
    folder: Path, tables: Mapping[str, pl.DataFrame], *, run_id: str, batch_id: str | None = None
) -> str:
    """Leave rows for the next merge; when this returns they are on disk.

    Args:
        folder: Where batches lie; made when absent. On one filesystem, so that renaming is atomic.
        tables: Table of `KEYS` -> rows; columns left out take their default.
        batch_id: Names what is in it, so that leaving it twice counts once; made up when None.

    Returns:
        The batch's id.

    Raises:
        ValueError: A table cannot be merged.
        MachineError: The batch cannot be written.
    """
    unknown = sorted(set(tables) - set(KEYS))
    if unknown:
        raise ValueError(
            f"rows of {', '.join(unknown)} cannot be left as a batch; there are {', '.join(KEYS)}"
        )
    batch_id = batch_id or token_hex(16)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with workshop(folder) as partial:
            _leave(folder, partial, tables, run_id=run_id, batch_id=batch_id)
    return batch_id


def _leave(
    folder: Path, partial: Path, tables: Mapping[str, pl.DataFrame], *, run_id: str, batch_id: str
) -> None:
    target = folder / batch_id
    files = {}
    for name, frame in tables.items():
        if len(frame):
            path = partial / f"{name}.parquet"
            content = BytesIO()
            frame.drop(*_GIVEN, strict=False).write_parquet(content, compression="zstd")
            write_file(path, content.getvalue())
            files[name] = {
                "rows": len(frame),
                "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
            }
    header = {
        "format": FORMAT,
        "batch_id": batch_id,
        "run_id": run_id,
        "left_at": datetime.now(UTC).isoformat(),
        "tables": files,
    }
    write_file(partial / "batch.json", json.dumps(header, ensure_ascii=False).encode())
    sync(partial)
    try:
        move(partial, target)
    except MachineError:
        if not target.exists():
            raise  # else the same batch was left before
    sync(folder)


@contextmanager
def staged_rows(
    folder: Path, *, run_id: str, batch_id: str | None = None, places: Places | None = None
) -> Iterator[DuckDBPyConnection]:
    """An empty warehouse in memory; what is written to it is left as a batch at the end, unless an
    error passes through.
    """
    with connect(IN_MEMORY) as con:
        migrate(con)
        use_places(con, places)
        yield con
        tables = {name: con.sql(f'select * from "{name}" order by seq').pl() for name in KEYS}
        leave_batch(folder, tables, run_id=run_id, batch_id=batch_id)


def list_batches(folder: Path) -> list[Path]:
    """Batches that wait for a merge, oldest first."""
    if not folder.is_dir():
        return []
    waiting = [
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in (MERGED, REJECTED)
    ]
    return sorted(waiting, key=lambda path: (path.stat().st_mtime_ns, path.name))


def merge_batches(con: DuckDBPyConnection, folder: Path, *, run_id: str) -> Merge:
    """Merge the batches that wait now, `MERGE_AT_ONCE` in a transaction; a damaged or strange one
    is put aside, with its reason.

    Rows about somebody who was forgotten are refused, and taken out of the batch before it is kept.
    """
    total = Merge(merged=0, known=0, rejected=0, rows=0)
    waiting = list_batches(folder)
    for start in range(0, len(waiting), MERGE_AT_ONCE):
        part = _merge_some(con, folder, waiting[start : start + MERGE_AT_ONCE], run_id=run_id)
        total = Merge(
            merged=total.merged + part.merged,
            known=total.known + part.known,
            rejected=total.rejected + part.rejected,
            rows=total.rows + part.rows,
        )
    return total


def _merge_some(con: DuckDBPyConnection, folder: Path, paths: list[Path], *, run_id: str) -> Merge:
    batches, refusals = _read_headers(paths)
    merged_before = {
        str(row["batch_id"]) for row in read_rows(con, "select batch_id from merged_batch")
    }
    new = [batch for batch in batches if batch.batch_id not in merged_before]
    num_known = len(batches) - len(new)
    rows = 0
    try:
        with transaction(con):
            rows = _insert(con, new)
            _note(con, new, run_id=run_id)
    except duckdb.Error as error:
        _blame_machine(error, folder)
        # One of them does not fit the tables: find out which, so that the others go on.
        if len(new) == 1:
            misfits = [_misfit(new[0], error)]
        else:
            rows, misfits = _insert_singly(con, new, run_id=run_id)
        refusals += misfits
        misfit_paths = {misfit.path for misfit in misfits}
        new = [batch for batch in new if batch.path not in misfit_paths]

    for refusal in refusals:
        _put_aside(con, refusal, folder / REJECTED, run_id=run_id)
    refused_paths = {refusal.path for refusal in refusals}
    for batch in batches:
        if batch.path not in refused_paths:
            keep_batch(con, batch.path, folder / MERGED)
    return Merge(merged=len(new), known=num_known, rejected=len(refusals), rows=rows)


def _misfit(batch: _Batch, error: duckdb.Error) -> _Refusal:
    first_line = str(error).splitlines()[0]
    return _Refusal(path=batch.path, why=f"its rows do not fit the warehouse: {first_line}")


def _put_aside(con: DuckDBPyConnection, refusal: _Refusal, rejected: Path, *, run_id: str) -> None:
    """Keep a batch that cannot be merged, with its reason, but for what may hold somebody who was
    forgotten.

    That is deleted, since a proof that they are gone would be none while it lies there. It costs
    nothing but time: rows of a batch are computed from recordings, and what was not merged does not
    count as done, so that the next run computes it again.
    """
    doubtful = doubtful_files(con, refusal.path)
    detail = f"{refusal.why}; put aside in {rejected}"
    if doubtful:
        names = ", ".join(file.name for file in doubtful)
        detail += f"; {names} deleted, which may have held somebody who was forgotten"
    record_drop(
        con,
        stage="merge",
        subject=refusal.path.name,
        reason=DropReason.BAD_ROW,
        detail=detail,
        run_id=run_id,
    )
    for file in doubtful:
        if file.is_dir() and not file.is_symlink():
            remove_tree(file)
        else:
            remove(file)
    keep_batch(con, refusal.path, rejected)


def forget_merged(folder: Path, *, held: Collection[str]) -> int:
    """Delete batches that were merged, once a copy of the warehouse holds their rows.

    Args:
        held: Ids of the batches that the copy holds; the others stay, since the warehouse could not
            be rebuilt without them.

    Returns:
        How many.
    """
    if not folder.is_dir():
        return 0
    done = [path for path in (folder / MERGED).glob("*") if path.is_dir() and path.name in held]
    for path in done:
        remove_tree(path)
    return len(done)


def _read_headers(paths: list[Path]) -> tuple[list[_Batch], list[_Refusal]]:
    batches, refusals = [], []
    for path in paths:
        header = _read_header(path)
        if isinstance(header, _Refusal):
            refusals.append(header)
        else:
            batches.append(header)
    return batches, refusals


def _read_header(path: Path) -> _Batch | _Refusal:
    try:
        header = json.loads((path / "batch.json").read_text(encoding="utf-8"))
        why = _why_refused(path, header)
        if why:
            return _Refusal(path=path, why=why)
        return _Batch(
            path=path,
            batch_id=str(header["batch_id"]),
            run_id=str(header["run_id"]),
            left_at=datetime.fromisoformat(header["left_at"]),
            tables={str(name): int(entry["rows"]) for name, entry in header["tables"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        absent = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if isinstance(error, OSError) and not absent:
            raise machine_error(path, error) from error
        return _Refusal(path=path, why=f"it is no batch ({error!r})")


def _why_refused(path: Path, header: dict[str, Any]) -> str:
    """Why a batch cannot be merged, by its header and its files; "" when it can."""
    if header["format"] != FORMAT:
        return f"format {header['format']!r}, this release reads {FORMAT!r}"
    strange = sorted(set(header["tables"]) - set(KEYS))
    damaged = []
    for name, entry in header["tables"].items():
        if name not in strange:
            content = (path / f"{name}.parquet").read_bytes()
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                damaged.append(name)
    if damaged:
        return f"{', '.join(damaged)} is damaged"
    if strange:
        return f"{', '.join(strange)} cannot be merged"
    return ""


def _blame_machine(error: duckdb.Error, place: Path) -> None:
    """Raise what is the machine's fault, such as a full disk: the rows may fit well."""
    fault = find_fault(error, place=place)
    if fault is not None:
        raise fault from error


def _insert(con: DuckDBPyConnection, batches: list[_Batch]) -> int:
    rows = 0
    for table, key in KEYS.items():
        files = [str(batch.path / f"{table}.parquet") for batch in batches if table in batch.tables]
        if not files:
            continue
        columns = ", ".join(f'"{name}"' for name in key)
        # Of several batches with one key the first brings its rows.
        rows += insert_query(
            con,
            table,
            f"""select * exclude (batch_file, file_row_number)
            from (
              from read_parquet(
                $files, union_by_name = true, filename = 'batch_file', file_row_number = true
              )
              qualify dense_rank() over (
                partition by {columns} order by list_position($files, batch_file)
              ) = 1
            ) f
            anti join "{table}" using ({columns})
            order by list_position($files, batch_file), file_row_number""",
            {"files": files},
        )
    return rows


def _insert_singly(
    con: DuckDBPyConnection, batches: list[_Batch], *, run_id: str
) -> tuple[int, list[_Refusal]]:
    rows, misfits = 0, []
    for batch in batches:
        try:
            with transaction(con):
                rows += _insert(con, [batch])
                _note(con, [batch], run_id=run_id)
        except duckdb.Error as error:
            _blame_machine(error, batch.path)
            misfits.append(_misfit(batch, error))
    return rows, misfits


def _note(con: DuckDBPyConnection, batches: list[_Batch], *, run_id: str) -> None:
    if not batches:
        return
    rows: list[dict[str, object]] = [
        {
            "batch_id": b.batch_id,
            "num_rows": sum(b.tables.values()),
            "left_at": utc_naive(b.left_at),
            "run_id": b.run_id or run_id,
        }
        for b in batches
    ]
    insert_rows(con, "merged_batch", rows)
