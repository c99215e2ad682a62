"""Examples, splits and the fingerprint of a dataset version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from voxdata.identity import canonical_json
from voxdata.label import Distribution
from voxdata.segment import Segment


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


def canonical_row(example: Example) -> str:
    """The example as one line of canonical JSON; votes as shares rounded to a millionth, so that no float noise enters."""
    return canonical_json(
        {
            "utterance_id": example.utterance_id,
            "recording_id": example.recording_id,
            "channel": example.channel,
            "start_ms": example.segment.start_ms,
            "end_ms": example.segment.end_ms,
            "voice": example.voice,
            "group": example.group,
            "audio_file": example.audio_file,
            "text": example.text,
            "language": example.language,
            "split": example.split.value,
            "gold": {scheme: _canonical_gold(gold) for scheme, gold in example.gold.items()},
        }
    )


def _canonical_gold(gold: GoldLabel) -> dict[str, object]:
    """What is empty is left out, so that versions from before these fields keep their fingerprint."""
    row: dict[str, object] = {
        "label": gold.label,
        "num_votes": gold.num_votes,
        "distribution": {name: round(share * 1_000_000) for name, share in gold.distribution.items()},
    }
    if gold.posterior:
        row["posterior"] = {name: round(share * 1_000_000) for name, share in gold.posterior.items()}
    if gold.standing:
        row["standing"] = gold.standing
    return row


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256 over the canonical rows in order of utterance id: the identity of a dataset version, 64 hex characters."""
    hasher = hashlib.sha256(b"voxdata-version/1\n")
    for example in sorted(examples, key=lambda e: e.utterance_id):
        hasher.update(canonical_row(example).encode())
        hasher.update(b"\n")
    return hasher.hexdigest()
