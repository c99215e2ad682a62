"""Proofs against the root of a dataset version: these leaves are in it, or are not.

The leaves of a version lie sorted in 4,096 buckets, and the root is made of a digest of each. So
whoever is shown one bucket whole, and the digests of all others, can compute the root, and sees
between which neighbours a leaf stands or would have to stand. A bucket holds a 4,096th of the
version; what is shown says nothing about the rows, since leaves are salted.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from voxdata.errors import StatementError
from voxdata.identity import is_digest
from voxdata.root import BUCKET_BITS, LEAF_BYTES, ROOT_FORMAT, cut_buckets

if TYPE_CHECKING:
    from voxdata.root import Halves

NUM_BUCKETS = 1 << BUCKET_BITS
_EMPTY = hashlib.sha256(b"").hexdigest()
_LEAF_CHARS = LEAF_BYTES * 2
_BUCKET_CHARS = BUCKET_BITS // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RootProof:
    """What computes a root, with the buckets open in which some leaves are or would be.

    Attributes:
        buckets: First three hex characters of its leaves -> digest of a bucket that stays closed;
            an empty one is absent.
        opened: The same -> all leaves of a bucket, sorted, 32 hex characters each; an empty one is
            absent.
    """

    buckets: Mapping[str, str]
    opened: Mapping[str, tuple[str, ...]]


def prove_leaves(
    high: Halves,
    low: Halves,
    wanted: Collection[str],
) -> RootProof:
    """A proof about leaves, whether they are in a version or not.

    Args:
        high: (num_leaves,) uint64, the first 64 bits of each leaf of the version.
        low: (num_leaves,) uint64, the last 64 bits.
        wanted: Leaves that somebody may ask about, 32 hex characters each.
    """
    wanted_buckets = {leaf[:_BUCKET_CHARS] for leaf in wanted}
    buckets: dict[str, str] = {}
    opened: dict[str, tuple[str, ...]] = {}
    for number, content in enumerate(cut_buckets(high, low)):
        if not content:
            continue
        name = _bucket_name(number)
        if name in wanted_buckets:
            opened[name] = _split_leaves(content.hex())
        else:
            buckets[name] = hashlib.sha256(content).hexdigest()
    return RootProof(buckets=buckets, opened=opened)


def proven_root(proof: RootProof) -> str:
    """The root that a proof computes.

    Raises:
        StatementError: An open bucket is not sorted, or holds what is no leaf of it.
    """
    root = hashlib.sha256(ROOT_FORMAT)
    for number in range(NUM_BUCKETS):
        name = _bucket_name(number)
        leaves = proof.opened.get(name, ())
        # Digits of one spelling only: a leaf in capitals would give the same root and not be found.
        is_plain = all(is_digest(leaf) and leaf.startswith(name) for leaf in leaves)
        if not is_plain or any(a > b for a, b in pairwise(leaves)):
            raise StatementError(
                f"bucket {name} of the proof is cut short, not sorted, "
                "or holds what belongs elsewhere"
            )
        bucket = bytes.fromhex(proof.buckets.get(name, _EMPTY))
        if leaves:
            content = bytes.fromhex("".join(leaves))
            bucket = hashlib.sha256(content).digest()
        root.update(bucket)
    return root.hexdigest()


def holds_leaf(proof: RootProof, leaf: str) -> bool:
    """Whether a leaf is in the version whose root a proof computes.

    Raises:
        StatementError: The proof does not open the bucket of the leaf.
    """
    name = leaf[:_BUCKET_CHARS]
    if name in proof.buckets:
        raise StatementError(f"the proof does not cover leaf {leaf}: its bucket {name} is closed")
    leaves = proof.opened.get(name, ())
    place = bisect_left(leaves, leaf)
    return place < len(leaves) and leaves[place] == leaf


def encode_proof(proof: RootProof) -> dict[str, dict[str, str]]:
    """A proof as JSON values."""
    return {
        "buckets": dict(proof.buckets),
        "opened": {name: "".join(leaves) for name, leaves in proof.opened.items()},
    }


def _bucket_name(number: int) -> str:
    """The hex characters with which all leaves of a bucket begin."""
    return f"{number:0{_BUCKET_CHARS}x}"


def _split_leaves(text: str) -> tuple[str, ...]:
    starts = range(0, len(text), _LEAF_CHARS)
    return tuple(text[start : start + _LEAF_CHARS] for start in starts)
