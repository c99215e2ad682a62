"""Rolling back: an earlier version's content as the next version. Nothing is undone, and nothing is
lost.
"""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from voxdata.errors import WarehouseError
from warehouse.connection import transaction
from warehouse.rows import read_rows
from warehouse.versions import DatasetVersion, add_version, manifest_key, publish_version


def roll_back(
    con: DuckDBPyConnection, version: DatasetVersion, *, run_id: str
) -> tuple[DatasetVersion, bool]:
    """Make a version's rows the next version under its name; rows that were erased since do not
    come back.

    Returns:
        The newest version, and whether it is new; not, when the newest holds just these rows.

    Raises:
        WarehouseError: All its rows were erased.
    """
    key = manifest_key(con, version.version_id)
    rows = f"(from manifest semi join example using (row_id) where manifest_key = {key})"
    if not read_rows(con, f"select 1 from {rows} limit 1"):
        raise WarehouseError(
            f"every row of {version.ref} was erased, so there is nothing to go back to"
        )
    with transaction(con):
        recipe = {**version.recipe, "rollback_of": version.ref}
        new = add_version(con, version.name, rows, recipe=recipe, run_id=run_id)
    return publish_version(con, version.name, new=new), new
