"""RTTM, the NIST format for who spoke when."""

from __future__ import annotations

import re
from collections.abc import Sequence

from voxdata.segment import Segment
from voxdata.turn import Turn, sort_turns


def encode_rttm(turns: Sequence[Turn], *, uri: str) -> str:
    """One SPEAKER line a turn, sorted by start, times in seconds with three decimals.

    Args:
        turns: Of one recording.
        uri: Names the recording; RTTM separates by spaces, so white space in it, or in a speaker's name, becomes "_".
    """
    name = _field(uri) or "recording"
    lines = [
        f"SPEAKER {name} {t.channel + 1} {t.segment.start_ms / 1000:.3f} {t.segment.duration_ms / 1000:.3f}"
        f" <NA> <NA> {_field(t.speaker)} <NA> <NA>\n"
        for t in sort_turns(turns)
    ]
    return "".join(lines)


def decode_rttm(text: str, *, recording_id: str) -> list[Turn]:
    """The SPEAKER lines of an RTTM as turns; other lines are comments. Channel 1 becomes 0, and so does 0, which some tools write.

    Raises:
        ValueError: A SPEAKER line is malformed; names the line.
    """
    turns = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            start_ms = round(float(fields[3]) * 1000)
            segment = Segment(start_ms=start_ms, end_ms=start_ms + round(float(fields[4]) * 1000))
            turns.append(Turn(recording_id=recording_id, channel=max(int(fields[2]) - 1, 0), speaker=fields[7], segment=segment))
        except (IndexError, ValueError, OverflowError) as error:
            raise ValueError(f"RTTM line {number} is malformed: {line!r} ({error})") from error
    return sort_turns(turns)


def _field(text: str) -> str:
    return re.sub(r"\s+", "_", text)
