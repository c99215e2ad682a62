"""Compaction: the warehouse file written again, so that what was deleted is no longer in it.

DuckDB leaves the bytes of deleted rows in the file, whatever is vacuumed; a copy made by a process
that never saw them has none. So this runs as a process of its own: `python -m warehouse.compact
FILE [OUTPUT]`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb

from voxdata.durable import move, sync, workshop
from voxdata.errors import MachineError, VoxdataError, WarehouseError
from voxdata.machine import EXIT_CODE, find_fault, machine_error
from warehouse.connection import open_warehouse
from warehouse.engine import connect
from warehouse.guards import ensure_triggers, require_triggers
from warehouse.rows import read_rows


def compact_warehouse(path: Path) -> None:
    """Replace a warehouse file by a copy of what is in it, atomically. Nobody may have it open in
    this process.

    Raises:
        WarehouseError: Somebody else holds it, or the copy could not be made; the file is as it was
            then.
        MachineError: There is no room for the copy.
    """
    _run(path, path)


def copy_warehouse(path: Path, output: Path) -> None:
    """Write a compact copy of a warehouse file, atomically.

    Raises:
        WarehouseError: As for `compact_warehouse`.
    """
    _run(path, output)


def _run(path: Path, output: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "warehouse.compact", str(path.resolve()), str(output.resolve())],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    if done.returncode == EXIT_CODE:
        raise MachineError(
            (done.stderr.strip().splitlines() or [f"{output}: could not be written"])[-1]
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise WarehouseError(f"{path}: could not be written again: {last}")


def _copy(path: Path, output: Path) -> None:
    """What the process does: copy table by table into a new file, put the triggers back, and rename
    it over the target.
    """
    with workshop(output.parent) as folder:
        _copy_to(folder / output.name, path, output)


def _copy_to(partial: Path, path: Path, output: Path) -> None:
    # Held until the rename is done, so that nobody writes to a file that is about to be replaced.
    with open_warehouse(path, create=False) as held:
        held.execute("checkpoint")
        held.execute(f"attach '{_quoted(partial)}' as fresh")
        counts = _counts(held)
        held.execute(f"copy from database {_name(held)} to fresh")
        held.execute("detach fresh")
        with connect(partial) as con:
            ensure_triggers(con)
            require_triggers(con)
            if _counts(con) != counts:
                raise WarehouseError(f"{partial}: the copy does not hold what {path} holds")
            con.execute("checkpoint")
        sync(partial)
        move(partial, output)
        sync(output.parent)


def _counts(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = read_rows(
        con,
        """select table_name
        from duckdb_tables()
        where database_name = current_database() and not temporary
        order by 1""",
    )
    return {str(row["table_name"]): _count(con, str(row["table_name"])) for row in tables}


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(str(read_rows(con, f'select count(*) as n from "{table}"')[0]["n"]))


def _name(con: duckdb.DuckDBPyConnection) -> str:
    return '"' + str(read_rows(con, "select current_database() as name")[0]["name"]) + '"'


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


if __name__ == "__main__":
    try:
        _copy(Path(sys.argv[1]), Path(sys.argv[2]))
    except (VoxdataError, duckdb.Error, OSError) as error:
        folder = Path(sys.argv[2]).parent
        fault = find_fault(error, place=folder)
        if fault is None and isinstance(error, OSError):
            fault = machine_error(folder, error)
        print(fault or error, file=sys.stderr)
        sys.exit(1 if fault is None else EXIT_CODE)
