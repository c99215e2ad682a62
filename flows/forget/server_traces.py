"""What the local servers keep of erased recordings, their logs and their databases, and what was
told to lineage.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from flows.forget.lines import keep_lines, take_out
from flows.workspace import Workspace
from voxdata.errors import ServiceError
from warehouse.erase import ErasurePlan


def scrub_services(workspace: Workspace, plan: ErasurePlan) -> None:
    """Take what is left out of logs and of the databases of the local servers, which keep deleted
    rows in their files as well.

    Raises:
        ServiceError: A server holds its database.
    """
    ids = {*plan.recording_ids, *plan.keys, *plan.uris, *(Path(uri).name for uri in plan.uris)}
    for path in (workspace.state_dir / "logs").glob("*.log*"):
        keep_lines(path, lambda line: not any(key in line for key in ids), in_place=True)
    if workspace.settings.lineage.file:
        take_out(workspace.root / workspace.settings.lineage.file, ids)
    for path in workspace.state_dir.glob("*/*"):
        if path.suffix in (".sqlite3", ".db"):
            try:
                _scrub_sqlite(path, sorted(ids))
            except sqlite3.Error as error:
                raise ServiceError(
                    f"{path}: cannot be cleared ({error}); `voxdata down` stops its server, "
                    "then run it again"
                ) from error


def _scrub_sqlite(path: Path, names: Iterable[str]) -> None:
    """Delete the rows of a server's tables of events and messages that name what was erased, and
    overwrite what was deleted before.
    """
    with closing(sqlite3.connect(path, timeout=30)) as con:
        con.execute("pragma secure_delete = on")
        tables = {
            row[0] for row in con.execute("select name from sqlite_master where type = 'table'")
        }
        for table, column in (
            ("log", "message"),
            ("artifact", "data"),
            ("flow_run", "parameters"),
            ("events", "payload"),
        ):
            if table not in tables:
                continue
            for name in names:
                con.execute(
                    f"update {table} set {column} = replace({column}, ?, "
                    f"'[erased]') where instr({column}, ?)",
                    (name, name),
                )
        con.commit()
        con.execute("vacuum")
        con.execute("pragma wal_checkpoint(truncate)")
