"""Examples and splits: what a dataset version holds, and the leaf of each example.

`voxdata.root` makes the root of a version from the leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from voxdata.confine import why_outside
from voxdata.identity import canonical_json
from voxdata.label import Distribution
from voxdata.segment import Segment

ROW_FORMAT = "voxdata-row/2"
UNIT = "\x1f"
"""Parts the fields of a row; only the text, which comes last, may hold it."""

MICRO = 1_000_000
"""Shares are stored as integers, in millionths, so that no float noise enters."""


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
        posterior: Probability of every label, when a model of the annotators' skill gave the label;
            else empty.
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
        salt: Hex; enters the leaf, so that the leaf of an erased row says nothing about it.
            Destroyed with the row.

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
        if not self.audio_file:
            return
        why = why_outside(self.audio_file)
        if why:
            remedy = "it must lie in the audio folder"
            raise ValueError(f"audio_file {self.audio_file!r} {why}; {remedy}")


def encode_gold(gold: Mapping[str, GoldLabel]) -> dict[str, object]:
    """Gold labels as JSON values, shares in millionths.

    The canonical JSON of this is what is stored, hashed and exported. What is empty is left out, so
    that rows from before a field came keep their leaf.
    """
    return {scheme: _encode_label(label) for scheme, label in gold.items()}


def decode_gold(encoded: Mapping[str, Any]) -> dict[str, GoldLabel]:
    """The inverse of `encode_gold`.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: The values are not those of gold labels.
    """
    return {str(scheme): _decode_label(row) for scheme, row in encoded.items()}


def _decode_label(row: Mapping[str, Any]) -> GoldLabel:
    return GoldLabel(
        label=str(row["label"]),
        distribution=_shares(row["distribution"]),
        num_votes=int(row["num_votes"]),
        posterior=_shares(row.get("posterior", {})),
        standing=str(row.get("standing", "")),
    )


def _encode_label(gold: GoldLabel) -> dict[str, object]:
    row: dict[str, object] = {
        "label": gold.label,
        "num_votes": gold.num_votes,
        "distribution": _micro(gold.distribution),
    }
    if gold.posterior:
        row["posterior"] = _micro(gold.posterior)
    if gold.standing:
        row["standing"] = gold.standing
    return row


def _micro(distribution: Distribution) -> dict[str, int]:
    return {name: round(share * MICRO) for name, share in distribution.items()}


def _shares(stored: Mapping[str, int]) -> dict[str, float]:
    return {str(name): int(share) / MICRO for name, share in stored.items()}


def canonical_row(example: Example) -> str:
    """All fields but the salt, joined by the unit separator, the text last.

    `warehouse.leaves` computes the same in SQL.
    """
    fields = (
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
    return UNIT.join(fields)


def leaf_hash(example: Example) -> str:
    """What stands for an example in the root of a version: 32 hex characters."""
    content = UNIT.join((ROW_FORMAT, example.salt, canonical_row(example)))
    return hashlib.sha256(content.encode()).hexdigest()[:32]
