"""Tags: second names of versions, given once and permanently."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from voxdata.errors import WarehouseError
from warehouse.rows import insert_new, read_rows
from warehouse.versions import DatasetVersion, check_name


def add_tag(con: DuckDBPyConnection, tag: str, version: DatasetVersion, *, run_id: str) -> bool:
    """Give a version a second name.

    Returns:
        True when it was new; a tag the version has already is left alone.

    Raises:
        WarehouseError: The tag is another version's, the name of a dataset, or no name at all.
    """
    tagged = read_rows(con, "select name, number from version_tag where tag = ?", [tag])
    if tagged:
        name, number = tagged[0]["name"], tagged[0]["number"]
        if (name, number) == (version.name, version.number):
            return False
        raise WarehouseError(
            f"tag {tag!r} permanently names {name}@{number}; choose another tag for {version.ref}"
        )
    check_name(con, tag)
    if read_rows(con, "select 1 from dataset_version where name = ?", [tag]):
        raise WarehouseError(
            f"{tag!r} is the name of a dataset, and `{tag}` means its newest version; choose "
            "another tag"
        )
    new: dict[str, object] = {
        "tag": tag,
        "name": version.name,
        "number": version.number,
        "run_id": run_id,
    }
    return insert_new(con, "version_tag", [new], key=("tag",)) == 1


def list_tags(con: DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """ "name@number" -> its tags, oldest first."""
    rows = read_rows(
        con,
        """select name || '@' || number as ref, list(tag order by seq) as tags
        from version_tag
        group by all""",
    )
    return {str(row["ref"]): tuple(row["tags"]) for row in rows}  # type: ignore[arg-type]
