from __future__ import annotations

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, leaf_hash
from voxdata.merkle import holds_leaf, proven_root
from warehouse.connection import MIGRATIONS
from warehouse.erase import begin_erasure, erase_rows, list_receipts, plan_erasure
from warehouse.guards import unguarded
from warehouse.proofs import (
    count_unnamed,
    forgotten_since,
    leaves_left,
    prove_version,
    whole_receipts,
)
from warehouse.rollback import roll_back
from warehouse.rows import read_rows
from warehouse.versions import create_version, find_version, load_examples

Make = Callable[..., Example]


def cut(con: DuckDBPyConnection, example: Make, *numbers: int, name: str = "calls") -> None:
    create_version(
        con,
        name,
        [example(n) for n in numbers],
        recipe={},
        run_id="t",
    )


def erase(con: DuckDBPyConnection, *recording_ids: str) -> str:
    plan = plan_erasure(con, recording_ids)
    receipt = begin_erasure(
        con,
        plan,
        kind="recording",
        subject=recording_ids[0],
        reason="asked",
        run_id="t",
    )
    erase_rows(
        con,
        plan,
        receipt_id=receipt,
        kind="recording",
        subject=recording_ids[0],
        reason="asked",
        run_id="t",
    )
    return receipt


def named_rows(con: DuckDBPyConnection) -> set[tuple[str, int]]:
    return {
        (str(row["receipt_id"]), int(str(row["row_id"])))
        for row in read_rows(con, "from erasure_leaf")
    }


def name_rows_of_before(con: DuckDBPyConnection) -> None:
    """Forget which rows were erased, and let the migration find it out."""
    with unguarded(con, "erasure_leaf"):
        con.execute("delete from erasure_leaf")
    migration = (MIGRATIONS / "0013_erased_leaves.sql").read_text(encoding="utf-8")
    con.execute(migration[migration.index("insert into") :])


def test_leaves_left_are_those_of_the_rows_as_they_were(
    con: DuckDBPyConnection, example: Make
) -> None:
    cut(con, example, 1, 2, 3)
    cut(con, example, 2, 3)
    first, second = (find_version(con, ref) for ref in ("calls@1", "calls@2"))
    before = {e.recording_id: leaf_hash(e) for e in load_examples(con, first.version_id)}
    receipt = erase(con, "r1", "r2")
    assert leaves_left(con, receipt) == {
        first.version_id: tuple(sorted(before[key] for key in ("r1", "r2"))),
        second.version_id: (before["r2"],),
    }
    proof = prove_version(con, second, before.values())
    assert proven_root(proof) == second.root
    assert {key: holds_leaf(proof, leaf) for key, leaf in before.items()} == {
        "r1": False,
        "r2": True,
        "r3": True,
    }
    roll_back(con, first, run_id="t")
    proof = prove_version(con, find_version(con, "calls"), before.values())
    assert {key: holds_leaf(proof, leaf) for key, leaf in before.items()} == {
        "r1": False,
        "r2": False,
        "r3": True,
    }


def test_migration_names_the_rows_that_one_erasure_alone_fits(
    con: DuckDBPyConnection, example: Make
) -> None:
    cut(con, example, 1, 2, 3, 4)
    cut(con, example, 2, 3, 4)
    cut(con, example, 4, 5, name="others")
    erase(con, "r1")
    erase(con, "r5")
    was = named_rows(con)
    assert len(was) == 2
    name_rows_of_before(con)
    assert named_rows(con) == was
    assert [count_unnamed(con, receipt) for receipt in list_receipts(con)] == [0, 0]


def test_migration_leaves_rows_without_a_name_that_two_erasures_fit(
    con: DuckDBPyConnection, example: Make
) -> None:
    cut(con, example, 1, 2, 3)
    erase(con, "r1")
    erase(con, "r2")
    name_rows_of_before(con)
    assert named_rows(con) == set()
    assert [count_unnamed(con, receipt) for receipt in list_receipts(con)] == [1, 1]


def test_whole_receipts_join_what_was_erased_under_one_id(
    con: DuckDBPyConnection, example: Make
) -> None:
    cut(con, example, 1, 2, 3)
    receipt = erase(con, "r1")
    plan = plan_erasure(con, ["r2"])
    erase_rows(
        con,
        plan,
        receipt_id=receipt,
        kind="recording",
        subject="r1",
        reason="asked",
        run_id="t",
    )
    (whole,) = whole_receipts(con)
    assert whole.counts["example"] == 2
    assert whole.versions == {"calls@1": 2}
    lengths = [len(leaves) for leaves in leaves_left(con, receipt).values()]
    assert lengths == [2]
    assert count_unnamed(con, whole) == 0


def test_forgotten_since_names_the_erasures_of_a_version(
    con: DuckDBPyConnection, example: Make
) -> None:
    cut(con, example, 1, 2, 3)
    cut(con, example, 3, 4)
    one = erase(con, "r1")
    two = erase(con, "r4")
    found = {}
    for ref in ("calls@1", "calls@2"):
        found[ref] = [r.receipt_id for r in forgotten_since(con, find_version(con, ref))]
    assert found == {"calls@1": [one], "calls@2": [two]}
