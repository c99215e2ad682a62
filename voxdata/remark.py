"""What was lost, filled in or left out of a recording that was kept all the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RemarkKind(StrEnum):
    """What a remark is about; the ledger stores the value."""

    GAP = "gap"  # packets are missing inside: silence stands for them
    LATE_START = "late_start"  # the track begins after the recording: silence stands before it
    TIME_JUMP = "time_jump"  # timestamps leap further than anybody pauses: they were not followed
    CUT_OFF = "cut_off"  # the file ends before the recording did
    AFTER_END = "after_end"  # sound lies after the end that the header names
    TRACKS = "tracks"  # several audio tracks became channels
    OTHER_TRACK = "other_track"  # an audio track was left out
    DAMAGED = "damaged"  # damaged packets were passed over
    DOUBTFUL_SPEECH = "doubtful_speech"  # somebody may speak, but no turn was found


MIN_DOUBTFUL_MS = 200
"""Less than this is no word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something to know about a recording that was kept.

    Attributes:
        detail: A sentence for people.
        amount_ms: How much sound it is about; None where that says nothing.
    """

    kind: RemarkKind
    detail: str
    amount_ms: int | None = None


def remark_doubt(doubtful_ms: int) -> Remark:
    """That somebody may speak where no turn was found."""
    detail = (
        f"somebody may speak for {doubtful_ms / 1000:.1f} s, but no turn was found; listen to it"
    )
    return Remark(
        kind=RemarkKind.DOUBTFUL_SPEECH,
        detail=detail,
        amount_ms=doubtful_ms,
    )
