"""Receipts for outsiders: what an erasure took, signed, with proofs that nobody need take on trust.

The file holds the signed receipt, the signed roots it speaks of, and the proofs against these.
docs/verify_receipt.py checks it without voxdata; docs/receipts.md says what is a proof there, and
what is our word.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from flows.signing.keys import Keys, make_keys, signer_of, write_envelope
from flows.signing.sign import (
    ROOT_ALGORITHM,
    sign_version,
    statements_folder,
    version_statement_path,
)
from flows.workspace import Workspace
from voxdata.durable import write_file
from voxdata.errors import StatementError, WarehouseError
from voxdata.merkle import RootProof, encode_proof, holds_leaf, proven_root
from voxdata.statement import (
    Envelope,
    Statement,
    decode_envelope,
    encode_envelope,
    open_statement,
    sign_envelope,
    wrap_statement,
)
from warehouse.erase import Receipt
from warehouse.proofs import (
    Hearer,
    count_unnamed,
    find_hearers,
    find_receipt,
    leaves_left,
    newest_versions,
    prove_version,
)
from warehouse.versions import DatasetVersion, list_versions

RECEIPT_FORMAT, RECEIPT_STATEMENT = "voxdata-receipt/1", "urn:voxdata:erasure-receipt:1"
ABSENT, HELD = "absent", "not yet: no version since"
STATED = (
    "The rows and their salts were deleted from the warehouse, "
    "with every file of the workspace that held them.",
    "A leaf is a salted digest cut to 128 bits: who has neither the row nor its salt learns "
    "nothing from it.",
    "The models named are all that were trained on the versions before the erasure.",
)
"""What a receipt says besides and cannot prove."""

BARRED = "The recordings are refused when they come in again, under whatever leaf."
RENEWED = "Consent was given again since, so the recordings may come in again."


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedReceipt:
    """A receipt on disk.

    Attributes:
        signer: Id of the key that signed it; "" when that is kept elsewhere.
        predicate: What it says.
    """

    path: Path
    signer: str
    predicate: dict[str, Any]

    @property
    def waiting(self) -> tuple[str, ...]:
        """Datasets whose newest version still lists what was erased."""
        return tuple(row["dataset"] for row in self.predicate["now"] if row["status"] != ABSENT)


def receipt_path(workspace: Workspace, receipt_id: str) -> Path:
    """Where a receipt lies."""
    return statements_folder(workspace) / f"receipt-{receipt_id}.json"


def issue_receipt(workspace: Workspace, ref: str) -> IssuedReceipt:
    """Write the receipt of an erasure as things are now; what has not changed keeps its bytes.

    Args:
        ref: Id of the receipt, or its first characters.

    Raises:
        NotFoundError: No receipt, or several, begin so.
    """
    with workspace.warehouse(read_only=True) as con:
        material = _gather(con, find_receipt(con, ref))
    keys = make_keys(workspace)
    path = receipt_path(workspace, material.receipt_id)
    roots = _signed_roots(workspace, material.versions, path, keys)
    envelope = _signed(path, material, keys)
    content = {
        "format": RECEIPT_FORMAT,
        "receipt": encode_envelope(envelope),
        "versions": [encode_envelope(root) for root in roots],
        "proofs": {root: encode_proof(proof) for root, proof in sorted(material.proofs.items())},
        "keys": [encode_envelope(rotation) for rotation in keys.rotations],
    }
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())
    return _issued(path, envelope, keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What there is to say about an erasure, and to prove.

    Attributes:
        versions: Those that held what was erased, and the newest of each dataset.
        proofs: Root -> what proves which leaves it has.
        predicate: All of the statement but when it was issued.
    """

    receipt_id: str
    versions: tuple[DatasetVersion, ...]
    proofs: dict[str, RootProof]
    predicate: dict[str, Any]


def _gather(con: DuckDBPyConnection, receipt: Receipt) -> _Facts:
    held = leaves_left(con, receipt.receipt_id)
    leaves = sorted(set(chain.from_iterable(held.values())))
    versions = [v for v in list_versions(con) if v.version_id in held or v.ref in receipt.versions]
    newest = newest_versions(con, {version.name for version in versions})
    every = tuple({version.ref: version for version in (*versions, *newest)}.values())
    proofs = {version.root: _prove(con, version, leaves) for version in every}
    still = {
        version.ref
        for version in newest
        if version.ref in receipt.versions
        or any(holds_leaf(proofs[version.root], leaf) for leaf in leaves)
    }
    predicate = {
        "receipt_id": receipt.receipt_id,
        "asked_for": receipt.kind,
        "forgotten_at": _moment(receipt.created_at),
        "proven_at": _proven_at(receipt),
        "counts": dict(receipt.counts),
        "num_leaves": len(leaves),
        "num_unnamed": count_unnamed(con, receipt),
        "versions": [_held(version, held.get(version.version_id, ())) for version in versions],
        "now": [_now(version, held=version.ref in still) for version in newest],
        "models": [_model(con, hearer) for hearer in find_hearers(con, receipt)],
        "stated": [*STATED, RENEWED if receipt.renewed else BARRED],
    }
    return _Facts(receipt_id=receipt.receipt_id, versions=every, proofs=proofs, predicate=predicate)


def read_issued(workspace: Workspace, receipt: Receipt, keys: Keys | None) -> IssuedReceipt | None:
    """The receipt as it was written last; None when it never was.

    Raises:
        StatementError: The file is damaged.
    """
    path = receipt_path(workspace, receipt.receipt_id)
    if not path.exists():
        return None
    return _issued(path, _read(path), keys)


def _issued(path: Path, envelope: Envelope, keys: Keys | None) -> IssuedReceipt:
    return IssuedReceipt(
        path=path,
        signer=signer_of(envelope, keys),
        predicate=dict(open_statement(envelope).predicate),
    )


def _signed_roots(
    workspace: Workspace, versions: Sequence[DatasetVersion], path: Path, keys: Keys
) -> list[Envelope]:
    """The statements about versions, with signatures that the receipt got on another machine."""
    brought = {root.payload: root for root in _roots_in(path) if signer_of(root, keys)}
    roots = []
    for version in versions:
        root = sign_version(workspace, version)
        if not signer_of(root, keys) and root.payload in brought:
            root = brought[root.payload]
            write_envelope(version_statement_path(workspace, version.ref), root)
        roots.append(root)
    return roots


def _signed(path: Path, found: _Facts, keys: Keys) -> Envelope:
    """The receipt in its envelope: the one there is when it says the same, else a new one with the
    time.
    """
    if path.exists():
        envelope = _read(path)
        predicate = dict(open_statement(envelope).predicate)
        predicate.pop("issued_at", None)
        if predicate == found.predicate and (keys.private is None or signer_of(envelope, keys)):
            return envelope
    subject = {row["ref"]: {ROOT_ALGORITHM: row["root"]} for row in found.predicate["versions"]}
    statement = Statement(
        subject=subject or {f"receipt {found.receipt_id}": {"voxdata-receipt": found.receipt_id}},
        predicate_type=RECEIPT_STATEMENT,
        predicate={**found.predicate, "issued_at": _moment(datetime.now(UTC))},
    )
    made = wrap_statement(statement)
    return made if keys.private is None else sign_envelope(made, keys.private)


def _read(path: Path) -> Envelope:
    return decode_envelope(_content(path).get("receipt"))


def _roots_in(path: Path) -> list[Envelope]:
    return (
        [decode_envelope(row) for row in _rows(_content(path).get("versions"))]
        if path.exists()
        else []
    )


def _content(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__}")
        return content
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StatementError(
            f"{path}: no receipt ({error!r}); delete the file, "
            "and `voxdata receipts show` writes it again"
        ) from error


def _prove(con: DuckDBPyConnection, version: DatasetVersion, leaves: list[str]) -> RootProof:
    """A proof that computes the root; nothing is signed that does not."""
    proof = prove_version(con, version, leaves)
    if proven_root(proof) != version.root:
        raise WarehouseError(
            f"{version.ref}: its leaves do not give its root; "
            f"`voxdata verify {version.ref}` shows more"
        )
    return proof


def _proven_at(receipt: Receipt) -> str | None:
    """When a search ended that found nothing left of it; None while none has."""
    return None if receipt.proven_at is None else _moment(receipt.proven_at)


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _held(version: DatasetVersion, leaves: tuple[str, ...]) -> dict[str, object]:
    return {
        "ref": version.ref,
        "root": version.root,
        "num_examples": version.num_examples,
        "leaves": list(leaves),
    }


def _now(version: DatasetVersion, *, held: bool) -> dict[str, object]:
    return {
        "dataset": version.name,
        "newest": version.ref,
        "root": version.root,
        "created_at": _moment(version.created_at),
        "status": HELD if held else ABSENT,
    }


def _model(con: DuckDBPyConnection, hearer: Hearer) -> dict[str, object]:
    refs = {version.version_id: version.ref for version in list_versions(con)}
    since = hearer.retrained
    return {
        "training_id": hearer.run.training_id,
        "scheme": hearer.run.scheme,
        "version": refs.get(hearer.run.version_id, ""),
        "in_use": hearer.in_use,
        "retrained": since
        and {
            "training_id": since.training_id,
            "version": refs.get(since.version_id, ""),
            "promoted": since.promoted,
        },
    }


def _rows(value: object) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []
