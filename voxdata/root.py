"""The Merkle root that identifies a dataset version.

Every example is a leaf: 128 bits of the salted SHA-256 over its fields. The leaves, sorted, fall
into 4,096 buckets by their first 12 bits; the root is the SHA-256 over the buckets' SHA-256. It
depends on what is in a version and on nothing else, and it can be computed again when the content
of some rows was erased, from the leaves they left behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from voxdata.dataset import Example, leaf_hash

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Halves = npt.NDArray[np.uint64]

ROOT_FORMAT = b"voxdata-version/2\n"
BUCKET_BITS = 12
LEAF_BYTES = 16
_NOTHING = hashlib.sha256(b"").digest()
"""The digest of an empty bucket: in a small version nearly all are."""


def fingerprint(examples: Iterable[Example], *, erased: Iterable[str] = ()) -> str:
    """The Merkle root over examples in any order: the identity of a dataset version.

    Args:
        erased: Leaves of rows that belong to the version but were erased, 32 hex characters each.

    Returns:
        64 hex characters.
    """
    return root_of_leaves([*map(leaf_hash, examples), *erased])


def root_of_leaves(leaves: Iterable[str]) -> str:
    """The same over leaves, 32 hex characters each, in any order."""
    high, low = _halves(leaves)
    return merkle_root(high, low)


def merkle_root(high: Halves, low: Halves) -> str:
    """The root over leaves in any order.

    Args:
        high: (num_leaves,) uint64, the first 64 bits of each leaf.
        low: (num_leaves,) uint64, the last 64 bits.

    Returns:
        64 hex characters.
    """
    root = hashlib.sha256(ROOT_FORMAT)
    for bucket in cut_buckets(high, low):
        root.update(hashlib.sha256(bucket).digest() if bucket else _NOTHING)
    return root.hexdigest()


def cut_buckets(high: Halves, low: Halves) -> Iterator[memoryview]:
    """The 4,096 buckets of leaves in any order, as `merkle_root` takes them.

    Each is 16 bytes per leaf, sorted.
    """
    import numpy as np

    order = np.argsort(high)
    ordered = high[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((low, high))  # thrice as slow, and hardly ever needed

    packed = np.empty((len(order), 2), dtype=">u8")
    packed[:, 0] = ordered
    packed[:, 1] = low[order]
    content = memoryview(packed.tobytes())

    bucket_of = ordered >> np.uint64(64 - BUCKET_BITS)
    numbers = np.arange((1 << BUCKET_BITS) + 1, dtype=np.uint64)
    edges = np.searchsorted(bucket_of, numbers)
    for start, end in pairwise(edges.tolist()):
        yield content[start * LEAF_BYTES : end * LEAF_BYTES]


def _halves(leaves: Iterable[str]) -> tuple[Halves, Halves]:
    """Leaves of 32 hex characters each as `merkle_root` takes them."""
    import numpy as np

    content = b"".join(map(bytes.fromhex, leaves))
    numbers = np.frombuffer(content, dtype=">u8").astype(np.uint64)
    return numbers[0::2], numbers[1::2]
