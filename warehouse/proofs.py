"""What can be proven about an erasure: the leaves that it left behind, and where they are and are
not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace

from duckdb import DuckDBPyConnection

from voxdata.merkle import RootProof, prove_leaves
from warehouse.erase import Receipt, list_receipts, require_one
from warehouse.promotions import current_promotions
from warehouse.rows import read_rows
from warehouse.runs import TrainingRun, list_training_runs
from warehouse.versions import DatasetVersion, list_versions, manifest_key

_LEAF_TEXT = "printf('%016x%016x', leaf_high, leaf_low)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearer:
    """A model that heard what was erased.

    Attributes:
        run: The training run that made it.
        in_use: It is the model in use for its role today.
        retrained: The newest model for its role that was trained since, on a version that holds
            none of it; None when there is none.
    """

    run: TrainingRun
    in_use: bool
    retrained: TrainingRun | None


def whole_receipts(con: DuckDBPyConnection) -> list[Receipt]:
    """Every receipt once, oldest first: later erasures under the same id are added to it."""
    receipts: dict[str, Receipt] = {}
    for part in list_receipts(con):
        before = receipts.get(part.receipt_id)
        receipts[part.receipt_id] = part if before is None else _joined(before, part)
    return list(receipts.values())


def _joined(before: Receipt, part: Receipt) -> Receipt:
    return replace(
        part,
        counts=dict(Counter(before.counts) + Counter(part.counts)),
        versions=dict(Counter(before.versions) + Counter(part.versions)),
        models=tuple(sorted({*before.models, *part.models})),
    )


def find_receipt(con: DuckDBPyConnection, ref: str) -> Receipt:
    """The receipt that people mean.

    Args:
        ref: Its id or the first characters.

    Raises:
        NotFoundError: None, or several, begin so.
    """
    receipts = [
        receipt for receipt in whole_receipts(con) if ref and receipt.receipt_id.startswith(ref)
    ]
    require_one(receipts, ref, lists="voxdata receipts")
    return receipts[0]


def leaves_left(con: DuckDBPyConnection, receipt_id: str) -> dict[str, tuple[str, ...]]:
    """Id of a version that held what was erased -> the leaves that stand for it there, sorted, 32
    hex characters each.
    """
    rows = read_rows(
        con,
        f"""select distinct v.version_id, {_LEAF_TEXT} as leaf
        from (select distinct row_id from erasure_leaf where receipt_id = ?)
        join example_leaf using (row_id)
        join manifest using (row_id)
        join (
          select distinct version_id, manifest_key
          from dataset_version
        ) v using (manifest_key)
        order by leaf""",
        [receipt_id],
    )
    leaves_by_version: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        leaves_by_version[str(row["version_id"])].append(str(row["leaf"]))
    return {version_id: tuple(leaves) for version_id, leaves in leaves_by_version.items()}


def count_unnamed(con: DuckDBPyConnection, receipt: Receipt) -> int:
    """How many rows an erasure of an earlier release took without noting which."""
    named = {
        version_id: len(leaves)
        for version_id, leaves in leaves_left(con, receipt.receipt_id).items()
    }
    versions = {version.ref: version.version_id for version in list_versions(con)}
    return max(
        (
            count - named.get(versions[ref], 0)
            for ref, count in receipt.versions.items()
            if ref in versions
        ),
        default=0,
    )


def prove_version(
    con: DuckDBPyConnection, version: DatasetVersion, leaves: Collection[str]
) -> RootProof:
    """The proof that a version holds some leaves, or does not."""
    halves = con.sql(
        """select leaf_high, leaf_low
        from example_leaf
        semi join (from manifest where manifest_key = ?) using (row_id)""",
        params=[manifest_key(con, version.version_id)],
    ).fetchnumpy()
    return prove_leaves(halves["leaf_high"], halves["leaf_low"], leaves)


def newest_versions(con: DuckDBPyConnection, names: Collection[str]) -> list[DatasetVersion]:
    """The newest version of each dataset, in the order of the names."""
    newest = {version.name: version for version in list_versions(con)}
    return [newest[name] for name in sorted(names) if name in newest]


def find_hearers(con: DuckDBPyConnection, receipt: Receipt) -> list[Hearer]:
    """The models that heard what an erasure took, and whether there is one since that did not;
    oldest first.
    """
    held = set(leaves_left(con, receipt.receipt_id)) | _concerned(con, receipt)
    runs = [run for run in list_training_runs(con) if run.state == "done"]
    clean = [
        run for run in runs if run.version_id not in held and run.created_at > receipt.created_at
    ]
    newest_clean = {run.role: run for run in clean}
    in_use = {promotion.training_id for promotion in current_promotions(con).values()}
    hearers = []
    for run in runs:
        if has_heard(run, receipt, held):
            hearer = Hearer(
                run=run,
                in_use=run.training_id in in_use,
                retrained=newest_clean.get(run.role),
            )
            hearers.append(hearer)
    return hearers


def has_heard(run: TrainingRun, receipt: Receipt, held: Collection[str]) -> bool:
    """Whether a training run read what an erasure took later: it is named on the receipt, or was
    going on at the time.

    Args:
        held: Ids of the versions that held it.
    """
    began = run.created_at.timestamp() - run.seconds
    return run.training_id in receipt.models or (
        run.version_id in held and began <= receipt.created_at.timestamp()
    )


def forgotten_since(con: DuckDBPyConnection, version: DatasetVersion) -> list[Receipt]:
    """The erasures that took rows of a version, oldest first."""
    rows = read_rows(
        con,
        "select distinct receipt_id from manifest_erasure where manifest_key = ?",
        [manifest_key(con, version.version_id)],
    )
    ids = {str(row["receipt_id"]) for row in rows}
    return [receipt for receipt in whole_receipts(con) if receipt.receipt_id in ids]


def _concerned(con: DuckDBPyConnection, receipt: Receipt) -> set[str]:
    return {version.version_id for version in list_versions(con) if version.ref in receipt.versions}
