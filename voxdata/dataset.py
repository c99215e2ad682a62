"""Examples, splits and the Merkle root that identifies a dataset version.

Every example is a leaf: 128 bits of the salted SHA-256 over its fields. The leaves, sorted, fall into 4,096 buckets by their first 12
bits; the root is the SHA-256 over the buckets' SHA-256. It depends on what is in a version and on nothing else, and it can be computed
again when the content of some rows was erased, from the leaves they left behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.confine import why_outside
from voxdata.identity import canonical_json
from voxdata.label import Distribution
from voxdata.segment import Segment

ROW_FORMAT = "voxdata-row/2"
ROOT_FORMAT = b"voxdata-version/2\n"
BUCKET_BITS = 12
UNIT = "\x1f"
"""Parts the fields of a row; only the text, which comes last, may hold it."""

MICRO = 1_000_000
"""Shares are stored as integers, in millionths, so that no float noise enters."""

LEAF_BYTES = 16

Halves = npt.NDArray[np.uint64]


class Split(StrEnum):
    """Where an example belongs. The values are stored."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldLabel:
    """The resolved label of an example under one scheme, with the votes behind it.

    Attributes:
        distribution: Shares of the votes.
        posterior: Probability of every label, when a model of the annotators' skill gave the label; else empty.
        standing: How contested it is: see `voxdata.label.Gold`; "" when nobody asked.
    """

    label: str
    distribution: Distribution
    num_votes: int
    posterior: Distribution = field(default_factory=dict)
    standing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a dataset version: utterance + gold + split.

    Attributes:
        voice: The speaker across recordings, as far as known; no voice is in two splits.
        group: What a split may not divide: the connected component of shared voices and recordings.
        audio_file: The canonical recording, relative to the audio folder.
        gold: Scheme name -> gold label; a scheme nobody voted on is absent.
        salt: Hex; enters the leaf, so that the leaf of an erased row says nothing about it. Destroyed with the row.

    Raises:
        ValueError: `audio_file` leads out of the audio folder.
    """

    utterance_id: str
    recording_id: str
    channel: int
    segment: Segment
    voice: str
    group: str
    audio_file: str
    text: str
    language: str
    gold: Mapping[str, GoldLabel]
    split: Split
    salt: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.audio_file and (why := why_outside(self.audio_file)):
            raise ValueError(f"audio_file {self.audio_file!r} {why}; it must lie in the audio folder")


def encode_gold(gold: Mapping[str, GoldLabel]) -> dict[str, object]:
    """Gold labels as JSON values, shares in millionths; its canonical JSON is what is stored, hashed and exported.

    What is empty is left out, so that rows from before a field came keep their leaf.
    """
    return {scheme: _encode_label(label) for scheme, label in gold.items()}


def decode_gold(encoded: Mapping[str, Any]) -> dict[str, GoldLabel]:
    """The inverse of `encode_gold`; raises KeyError, TypeError, AttributeError or ValueError on what is not one."""
    return {
        str(scheme): GoldLabel(
            label=str(row["label"]),
            distribution=_shares(row["distribution"]),
            num_votes=int(row["num_votes"]),
            posterior=_shares(row.get("posterior", {})),
            standing=str(row.get("standing", "")),
        )
        for scheme, row in encoded.items()
    }


def _encode_label(gold: GoldLabel) -> dict[str, object]:
    row: dict[str, object] = {"label": gold.label, "num_votes": gold.num_votes, "distribution": _micro(gold.distribution)}
    if gold.posterior:
        row["posterior"] = _micro(gold.posterior)
    if gold.standing:
        row["standing"] = gold.standing
    return row


def _micro(distribution: Distribution) -> dict[str, int]:
    return {name: round(share * MICRO) for name, share in distribution.items()}


def _shares(stored: Mapping[str, int]) -> dict[str, float]:
    return {str(name): int(share) / MICRO for name, share in stored.items()}


def stored_form(example: Example) -> Example:
    """An example as it comes back from storage: shares in whole millionths."""
    return replace(example, gold=decode_gold(encode_gold(example.gold)))


def canonical_row(example: Example) -> str:
    """All fields but the salt, joined by the unit separator, the text last; `warehouse.leaves` says the same in SQL."""
    return UNIT.join(
        (
            example.utterance_id,
            example.recording_id,
            str(example.channel),
            str(example.segment.start_ms),
            str(example.segment.end_ms),
            example.voice,
            example.group,
            example.audio_file,
            example.language,
            example.split.value,
            canonical_json(encode_gold(example.gold)),
            example.text,
        )
    )


def leaf_hash(example: Example) -> str:
    """What stands for an example in the root of a version: 32 hex characters."""
    return hashlib.sha256(UNIT.join((ROW_FORMAT, example.salt, canonical_row(example))).encode()).hexdigest()[:32]


def fingerprint(examples: Iterable[Example], *, erased: Iterable[str] = ()) -> str:
    """The Merkle root over examples in any order: the identity of a dataset version, 64 hex characters.

    Args:
        erased: Leaves of rows that belong to the version but were erased, 32 hex characters each.
    """
    return merkle_root(*_halves([*map(leaf_hash, examples), *erased]))


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
        root.update(hashlib.sha256(bucket).digest())
    return root.hexdigest()


def cut_buckets(high: Halves, low: Halves) -> Iterator[memoryview]:
    """The 4,096 buckets of leaves in any order, as `merkle_root` takes them: 16 bytes a leaf, sorted."""
    order = np.argsort(high)
    ordered = high[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((low, high))  # thrice as slow, and hardly ever needed
    edges = np.searchsorted(ordered >> np.uint64(64 - BUCKET_BITS), np.arange((1 << BUCKET_BITS) + 1, dtype=np.uint64))
    packed = np.empty((len(order), 2), dtype=">u8")
    packed[:, 0], packed[:, 1] = ordered, low[order]
    content = memoryview(packed.tobytes())
    for start, end in pairwise(edges):
        yield content[start * LEAF_BYTES : end * LEAF_BYTES]


def _halves(leaves: Iterable[str]) -> tuple[Halves, Halves]:
    """Leaves of 32 hex characters each as `merkle_root` takes them."""
    packed = np.frombuffer(b"".join(bytes.fromhex(leaf) for leaf in leaves), dtype=">u8").astype(np.uint64)
    return packed[0::2], packed[1::2]
