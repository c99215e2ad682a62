from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.errors import StatementError
from voxdata.merkle import RootProof, holds_leaf, prove_leaves, proven_root
from voxdata.root import merkle_root

if TYPE_CHECKING:
    from voxdata.root import Halves

Leaves = st.sets(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=60)
# Of few buckets, so that leaves have neighbours.
Crowded = st.sets(
    st.binary(min_size=14, max_size=14).map(lambda tail: "0a3" + "0" + tail.hex()),
    min_size=1,
    max_size=60,
)


def halves(leaves: set[str]) -> tuple[Halves, Halves]:
    packed = np.frombuffer(
        b"".join(bytes.fromhex(leaf) for leaf in sorted(leaves)),
        dtype=">u8",
    ).astype(np.uint64)
    return packed[0::2], packed[1::2]


@settings(deadline=None, max_examples=50)
@given(Leaves | Crowded, Leaves | Crowded)
def test_prove_leaves_gives_the_root_and_tells_who_is_in_it(
    leaves: set[str], asked: set[str]
) -> None:
    proof = prove_leaves(*halves(leaves), asked)
    assert proven_root(proof) == merkle_root(*halves(leaves))
    assert {leaf for leaf in asked if holds_leaf(proof, leaf)} == leaves & asked


@settings(deadline=None, max_examples=20)
@given(Crowded, st.data())
def test_proof_with_a_leaf_less_gives_another_root(leaves: set[str], data: st.DataObject) -> None:
    proof = prove_leaves(*halves(leaves), leaves)
    hidden = data.draw(st.sampled_from(sorted(leaves)))
    without = replace(
        proof,
        opened={"0a3": tuple(leaf for leaf in proof.opened["0a3"] if leaf != hidden)},
    )
    assert proven_root(without) != merkle_root(*halves(leaves))


def test_merkle_root_is_the_same_for_ever() -> None:
    rng = np.random.default_rng(0)
    high, low = (rng.integers(0, 2**64, 10_000, dtype=np.uint64) for _ in range(2))
    assert (
        merkle_root(high, low) == "7dfcb40ad0348321c01caeba7ebde6832b92d1c53f6dbd35604666cc47ef0eac"
    )


def test_proven_root_refuses_a_leaf_spelled_so_that_nobody_finds_it() -> None:
    leaf = "0a3" + "b" * 29
    for spelled in (leaf.upper(), leaf[:-1], leaf[:30] + " b", "0a4" + leaf[3:]):
        proof = RootProof(buckets={}, opened={"0a3": (spelled,)})
        with pytest.raises(StatementError, match="bucket 0a3"):
            proven_root(proof)
    proof = RootProof(
        buckets={},
        opened={"0a3": (leaf, "0a3" + "a" * 29)},
    )
    with pytest.raises(StatementError, match="bucket 0a3"):
        proven_root(proof)


def test_holds_leaf_says_nothing_about_a_closed_bucket() -> None:
    leaf = "0a3" + "b" * 29
    proof = prove_leaves(*halves({leaf}), [])
    with pytest.raises(StatementError, match="does not cover"):
        holds_leaf(proof, leaf)
