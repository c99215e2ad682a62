"""What the model to beat, and the cold start, say about the test clips: a file beside the
manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxdata.errors import TrainingError
from voxdata.label import Distribution
from voxdata.malformed import FAULTS, Readers, as_mapping, in_words, name_fault, parse_json

Answers = Mapping[str, Distribution]
"""Utterance id -> label -> probability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponents:
    """What a new model is judged beside.

    Attributes:
        incumbent: The answers of the model to beat.
        cold_start: Those of the cold start; empty in files of earlier releases.
    """

    incumbent: Answers
    cold_start: Answers = field(default_factory=dict)


def _read_shares(value: object) -> Distribution:
    shares: dict[str, float] = {}
    for label, share in as_mapping(value).items():
        shares[str(label)] = float(str(share))
    return shares


LINE: Readers = {
    "utterance_id": (str, "text"),
    "distribution": (_read_shares, "a number for each label"),
}
"""The fields of a line; "cold_start", which is like the second, may be there too."""


def read_opponents(path: Path) -> Opponents:
    """Read the file.

    Raises:
        TrainingError: Missing, or malformed in the line named.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error
    incumbent: dict[str, Distribution] = {}
    cold_start: dict[str, Distribution] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row: Any = None
        try:
            row = parse_json(line)
            utterance_id = str(row["utterance_id"])
            incumbent[utterance_id] = _read_shares(row["distribution"])
            if "cold_start" in row:
                cold_start[utterance_id] = _read_shares(row["cold_start"])
        except FAULTS as error:
            why = in_words(error) if row is None else name_fault(row, LINE, error)
            raise TrainingError(f"{path}: line {number} is malformed: {why}") from error
    return Opponents(incumbent=incumbent, cold_start=cold_start)
