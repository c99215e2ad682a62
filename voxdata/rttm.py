"""RTTM, the NIST format for who spoke when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from voxdata.lines import split_lines
from voxdata.segment import Segment
from voxdata.turn import Turn, sort_turns

_BLANK = re.compile("[ \t]+")
"""What divides fields; other blanks may stand inside a name."""


def encode_rttm(turns: Sequence[Turn], *, uri: str) -> str:
    """One SPEAKER line per turn, sorted by start, times in seconds with three decimals.

    Args:
        turns: The turns of one recording.
        uri: Names the recording; RTTM separates by spaces, so white space in it, or in a speaker's
            name, becomes "_".
    """
    name = _field(uri) or "recording"
    lines: list[str] = []
    for turn in sort_turns(turns):
        start_s = turn.segment.start_ms / 1000
        duration_s = turn.segment.duration_ms / 1000
        speaker = _field(turn.speaker)
        lines.append(
            f"SPEAKER {name} {turn.channel + 1} {start_s:.3f} {duration_s:.3f}"
            f" <NA> <NA> {speaker} <NA> <NA>\n"
        )
    return "".join(lines)


def decode_rttm(text: str, *, recording_id: str) -> list[Turn]:
    """The SPEAKER lines of an RTTM as turns; other lines are comments.

    Channels count from 1, as NIST has it, unless a line names channel 0: then the whole text counts
    from 0, as some tools do.

    Raises:
        ValueError: A SPEAKER line is malformed; names the line.
    """
    lines = split_lines(text.removeprefix("\ufeff"))
    turns: list[Turn] = []
    for number, line in enumerate(lines, start=1):
        fields = _BLANK.split(line.strip(" \t"))
        if fields[0] != "SPEAKER":
            continue
        try:
            turns.append(_decode_fields(fields, recording_id=recording_id))
        except (IndexError, ValueError, OverflowError) as error:
            raise ValueError(f"RTTM line {number} is malformed: {line!r} ({error})") from error

    first = 0 if any(turn.channel == 0 for turn in turns) else 1
    return sort_turns([replace(turn, channel=turn.channel - first) for turn in turns])


def _decode_fields(fields: Sequence[str], *, recording_id: str) -> Turn:
    """The turn of a SPEAKER line, with the channel as it counts them."""
    start_ms = round(float(fields[3]) * 1000)
    duration_ms = round(float(fields[4]) * 1000)
    segment = Segment(start_ms=start_ms, end_ms=start_ms + duration_ms)
    return Turn(
        recording_id=recording_id,
        channel=_channel(fields[2]),
        speaker=fields[7],
        segment=segment,
    )


def _channel(field: str) -> int:
    channel = int(field)
    if channel < 0:
        raise ValueError(f"there is no channel {channel}")
    return channel


def _field(text: str) -> str:
    return re.sub(r"\s+", "_", text)
