"""Turns: who spoke when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from voxdata.errors import MixedRecordingsError
from voxdata.segment import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A stretch in which one speaker speaks. Turns of different speakers may overlap.

    Attributes:
        recording_id: The recording it belongs to.
        channel: 0-based channel of the canonical file.
        speaker: Local to the recording, such as "S0".
        segment: When.
    """

    recording_id: str
    channel: int
    speaker: str
    segment: Segment


def sort_turns(turns: Sequence[Turn]) -> list[Turn]:
    """By start, then end, channel and speaker: the order every output uses."""
    return sorted(turns, key=lambda t: (t.segment.start_ms, t.segment.end_ms, t.channel, t.speaker))


def merge_turns(turns: Sequence[Turn], *, max_gap_ms: int = 300) -> list[Turn]:
    """Join neighbouring turns of one speaker across short silences.

    Args:
        turns: One recording, in any order.
        max_gap_ms: Longest silence bridged, in ms.

    Returns:
        New turns, sorted by start.

    Raises:
        MixedRecordingsError: `turns` come from several recordings.

    Source: the `support(collar)` operation of pyannote.core.Annotation.
    """
    if len({turn.recording_id for turn in turns}) > 1:
        raise MixedRecordingsError(
            "merge_turns takes the turns of one recording; group them by recording_id first"
        )
    merged: list[Turn] = []
    place_of: dict[tuple[int, str], int] = {}
    for turn in sort_turns(turns):
        speaker = (turn.channel, turn.speaker)
        place = place_of.get(speaker)
        if place is not None:
            last = merged[place].segment
            gap_ms = turn.segment.start_ms - last.end_ms
            if gap_ms <= max_gap_ms:
                joined = replace(last, end_ms=max(last.end_ms, turn.segment.end_ms))
                merged[place] = replace(merged[place], segment=joined)
                continue
        place_of[speaker] = len(merged)
        merged.append(turn)
    return sort_turns(merged)
