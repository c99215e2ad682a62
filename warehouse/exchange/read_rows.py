"""The rows of an export, read back and checked one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxdata.canonicalise import MAX_CANONICAL_CHANNELS
from voxdata.dataset import Example, GoldLabel, Split, decode_gold
from voxdata.errors import ManifestError
from voxdata.identity import digest, is_digest
from voxdata.malformed import FAULTS, Readers, in_words, name_fault, parse_json
from voxdata.manifest import EXAMPLE, read_whole
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from warehouse.exchange.bundle import ROWS

_HEX = re.compile("[0-9a-f]*")


def read_rows(path: Path, *, origin: str) -> tuple[Example, ...]:
    """The examples of an export, in the order of its lines.

    Args:
        origin: What to call the export in messages.

    Raises:
        ManifestError: A line is malformed, or says what voxdata would never write; names line and
            field.
    """
    # Not splitlines(): a transcript may hold U+2028 and its like.
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    examples = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        row: Any = None
        try:
            row = parse_json(line)
            examples.append(_example(number, row, origin))
        except FAULTS as error:
            why = in_words(error) if row is None else name_fault(row, FLAT, error)
            raise ManifestError(
                f"{origin}: line {number} of {ROWS}: {why}; export the version again"
            ) from error
    return tuple(examples)


def _read_gold(value: object) -> dict[str, GoldLabel]:
    return decode_gold(json.loads(str(value)))


FLAT: Readers = {**EXAMPLE, "gold": (_read_gold, "the JSON of gold labels by scheme")}
"""The fields of a row of the flat table from which its example is made."""


def _example(number: int, row: Mapping[str, object], origin: str) -> Example:
    """A row of the flat table; one of `voxdata.malformed.FAULTS` on what is none.

    Raises:
        ManifestError: Its ids, its file or its place in the recording are none that voxdata would
            give.
    """
    recording_id, utterance_id = str(row["recording_id"]), str(row["utterance_id"])
    channel = read_whole(row["channel"])
    start_ms, end_ms = read_whole(row["start_ms"]), read_whole(row["end_ms"])
    trouble = _wrong_ids(recording_id, utterance_id)
    if not trouble and utterance_id != digest(recording_id, channel, start_ms, end_ms):
        trouble = (
            f"utterance_id {utterance_id} is not that of its recording, channel, start and end"
        )
    if not trouble and row["audio_file"] != canonical_file(recording_id):
        trouble = f"audio_file {row['audio_file']!r} is not that of its recording"
    possible = 0 <= channel < MAX_CANONICAL_CHANNELS and 0 <= start_ms < end_ms
    if not trouble and not possible:
        trouble = f"channel {channel}, {start_ms} to {end_ms} ms, cannot be in a recording"
    if not trouble and (not str(row["voice"]).strip() or not _HEX.fullmatch(str(row["salt"]))):
        trouble = "its voice or its salt is none"
    if trouble:
        raise _strange(origin, number, trouble)
    gold = _read_gold(row["gold"])
    if not all(map(_is_sound, gold.values())):
        raise _strange(origin, number, "its gold labels have shares or votes that cannot be")
    return Example(
        utterance_id=utterance_id,
        recording_id=recording_id,
        channel=channel,
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        voice=str(row["voice"]),
        group=str(row["group"]),
        audio_file=canonical_file(recording_id),
        text=str(row["text"]),
        language=str(row["language"]),
        split=Split(str(row["split"])),
        gold=gold,
        salt=str(row["salt"]),
    )


def _wrong_ids(recording_id: str, utterance_id: str) -> str:
    """What is wrong with the form of ids; "" when nothing is."""
    for name, value in (("recording_id", recording_id), ("utterance_id", utterance_id)):
        if not is_digest(value):
            return f"{name} {value!r} is none: ids have 32 hexadecimal digits"
    return ""


def _is_sound(gold: GoldLabel) -> bool:
    shares = (*gold.distribution.values(), *gold.posterior.values())
    return gold.num_votes >= 0 and all(0 <= share <= 1 for share in shares)


def _strange(origin: str, number: int, trouble: str) -> ManifestError:
    return ManifestError(
        f"{origin}: line {number} of {ROWS}: {trouble}; voxdata did not write this: do not import "
        "it"
    )
