"""Which warehouse a file is, and whether it is the one that somebody knows.

A disk that is away, a backup put back and a file of another workspace all look like a warehouse
that lost something, or knows nothing. An id and the number of commits tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.counted import counted
from voxdata.errors import WarehouseError
from warehouse.commits import commits_path
from warehouse.guards import sidecar_path
from warehouse.rows import read_rows

ACCEPT = "`voxdata repair --accept warehouse` takes it as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWarehouse:
    """What somebody knows of a warehouse.

    Attributes:
        warehouse_id: Its id.
        commits: How many it had when it was last seen.
        former: Ids it had before it was repaired.
    """

    warehouse_id: str
    commits: int
    former: tuple[str, ...] = ()


def read_identity(con: DuckDBPyConnection) -> str:
    """The id of a warehouse; "" for one that only earlier releases have written to."""
    try:
        return str(read_rows(con, "select max(warehouse_id) as id from identity")[0]["id"])
    except duckdb.CatalogException:
        return ""


def read_state(con: DuckDBPyConnection) -> KnownWarehouse:
    """What there is to know of a warehouse that is open for writing."""
    state = read_rows(
        con,
        """select (select max(warehouse_id) from identity) as id,
          (select coalesce(max(n), 0) from commit_count) as n""",
    )[0]
    return KnownWarehouse(warehouse_id=str(state["id"]), commits=int(str(state["n"])))


def require_present(path: Path, *, known: KnownWarehouse | None, create: bool) -> None:
    """See that a warehouse file is there, or may be made.

    Where one was, its disk is away rather than that there never was one.

    Args:
        path: As it is named, links not followed.
        known: What somebody knows of it.
        create: It may be made where nobody knows of any.

    Raises:
        WarehouseError: It is not there, and must not be made.
    """
    present = path.exists()
    if known is not None and not (present and path.stat().st_size):
        raise missing(path, known)
    if present:
        return
    if path.is_symlink():
        raise WarehouseError(
            f"{path}: this link leads nowhere: mount the disk that it leads to, or remove the link "
            "to start with none"
        )
    beside = (sidecar_path(path), commits_path(path))
    left = [part.name for part in beside if part.is_symlink() or part.exists()]
    if left:
        raise WarehouseError(
            f"{path}: the warehouse is not there, and {' and '.join(left)} beside it say that it "
            f"was: put it back from a backup; or let `voxdata repair` rebuild it from a snapshot "
            f"and the batches"
        )
    if not create:
        raise WarehouseError(
            f"{path}: there is no warehouse yet; ingest something first, or name the right folder"
        )


def missing(path: Path, known: KnownWarehouse) -> WarehouseError:
    """What to say when a known warehouse is not there."""
    return WarehouseError(
        f"{path}: the warehouse of this workspace is not there (it had {known.commits} "
        f"transactions), and no new one is made: mount its disk, or put the file back. If it is "
        f"permanently gone, `voxdata repair` rebuilds it from a snapshot and the batches"
    )


def check_identity(path: Path, known: KnownWarehouse, *, found: str, held: int) -> None:
    """See that a warehouse is the one that somebody knows, and has what it had.

    To be called before anything is written to it.

    Args:
        found: Its id; "" for one that only earlier releases have written to.
        held: How many commits it has.

    Raises:
        WarehouseError: It is another one, or an older copy.
    """
    if found in known.former:
        raise WarehouseError(
            f"{path}: this is the warehouse that was repaired or exchanged: put the one back that "
            f"took its place (is the right disk mounted?); or, if this one is meant to be used "
            f"from now on, {ACCEPT}"
        )
    if found and found != known.warehouse_id:
        raise WarehouseError(
            f"{path}: this is another warehouse ({found[:12]}) than this workspace's "
            f"({known.warehouse_id[:12]}): put its own one back (is the right disk mounted?); or, "
            f"if this one is meant to be used from now on, {ACCEPT}"
        )
    if held < known.commits or not found:
        raise WarehouseError(
            f"{path}: an older copy of the warehouse: it has {counted(held, 'transaction')}, and "
            f"this workspace has seen {known.commits}; whoever was forgotten since is in it again. "
            "Put the newer one back, or let `voxdata repair` make the best of it, the snapshots "
            f"and the batches; or, if an older one was put back on purpose, {ACCEPT}"
        )
