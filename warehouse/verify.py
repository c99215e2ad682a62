"""Verification: are the stored rows still those that every version was cut from?"""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from voxdata.counted import counted
from warehouse.leaves import LEAF, compute_root
from warehouse.rows import read_rows
from warehouse.versions import DatasetVersion, list_versions, manifest_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What verifying a version found.

    Attributes:
        num_intact: Rows whose content still gives their leaf.
        num_erased: Rows that were erased on record; their leaf still enters the root.
        problems: What is wrong, a line each; none when the version is as it was cut.
    """

    version: DatasetVersion
    num_intact: int
    num_erased: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True when the version is as it was cut."""
        return not self.problems


def verify_version(con: DuckDBPyConnection, version: DatasetVersion) -> Verification:
    """Compute every leaf of a version from its row, and the root from the leaves."""
    rows = f"(from manifest where manifest_key = {manifest_key(con, version.version_id)})"
    listed = int(str(read_rows(con, f"select count(*) as n from {rows}")[0]["n"]))
    changed = read_rows(
        con,
        f"""select e.utterance_id
        from example e
        semi join {rows} using (row_id)
        left join row_salt s using (recording_id, voice)
        left join example_leaf l using (row_id)
        where l.row_id is null
          or s.salt is null
          or {LEAF}[:32] <> printf('%016x%016x', l.leaf_high, l.leaf_low)
        order by utterance_id""",
    )
    present = int(
        str(
            read_rows(con, f"select count(*) as n from example semi join {rows} using (row_id)")[0][
                "n"
            ]
        )
    )
    problems = [
        f"utterance {row['utterance_id']} is not as it was when the version was cut"
        for row in changed
    ]
    if listed != version.num_examples:
        problems.append(
            f"it lists {counted(listed, 'row')}, and was cut with {version.num_examples}"
        )
    if listed - present != version.num_erased:
        problems.append(
            f"{counted(listed - present, 'row is', 'rows are')} gone; erased on record: "
            f"{version.num_erased}"
        )
    if compute_root(con, rows) != version.root:
        problems.append(f"its leaves do not give its root {version.root[:16]}")
    return Verification(
        version=version,
        num_intact=present - len(changed),
        num_erased=version.num_erased,
        problems=tuple(problems),
    )


def verify_all(con: DuckDBPyConnection) -> list[Verification]:
    """Verify every version, oldest first."""
    return [verify_version(con, version) for version in list_versions(con)]


def read_everything(con: DuckDBPyConnection) -> None:
    """Read every block: damage in the file shows when it is read, not when it is opened."""
    for row in read_rows(
        con, "select table_name from duckdb_tables() where not internal and not temporary"
    ):
        con.execute(f'select bit_xor(hash(t)) from "{row["table_name"]}" t').fetchall()
