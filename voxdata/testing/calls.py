"""Calls composed from clips, with complete truth about who spoke when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment
from voxdata.turn import Turn, sort_turns


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedCall:
    """A call and the truth about it.

    Attributes:
        samples: (num_samples, num_channels) float32 in [-1, 1] at MODEL_RATE_HZ.
        turns: One for each clip, sorted by start; party i is speaker "S<i>", on channel i when
            stereo, else on channel 0.
        clips: For each turn, (party, index of the clip within the party).
    """

    samples: npt.NDArray[np.float32]
    turns: tuple[Turn, ...]
    clips: tuple[tuple[int, int], ...]


def compose_call(
    parties: Sequence[Sequence[Samples]],
    *,
    pause_ms: int = 400,
    overlap_ms: int = 0,
    stereo: bool = True,
    lead_ms: int = 200,
    recording_id: str = "composed",
) -> ComposedCall:
    """Let parties speak in turn: the first clip of each, then the second of each, until all clips
    are spoken.

    Args:
        parties: For each party its clips, (num_samples,) float32 at MODEL_RATE_HZ; a party may have
            fewer clips than others.
        pause_ms: Silence between one turn and the next.
        overlap_ms: When positive, a change of party comes this much before the last turn ends
            instead of after a pause (at most half of either clip, and no turn starts before its
            party's own last one ended).
        stereo: One channel a party; otherwise all are mixed into one channel, scaled down only when
            the sum exceeds full scale.
        lead_ms: Silence before the first turn and after the last.
        recording_id: Given to the turns.

    Raises:
        ValueError: There is no clip, or one shorter than 1 ms.
    """
    order = [
        (party, index)
        for index in range(max((len(clips) for clips in parties), default=0))
        for party in range(len(parties))
        if index < len(parties[party])
    ]
    if not order or any(
        parties[party][index].size < MODEL_RATE_HZ // 1000 for party, index in order
    ):
        raise ValueError("a call needs at least one clip, each of at least 1 ms")
    turns: list[Turn] = []
    free_ms = [0] * len(parties)
    last_party, last_ms = -1, 0
    at_ms = lead_ms
    for party, index in order:
        duration_ms = parties[party][index].size * 1000 // MODEL_RATE_HZ
        if turns:
            early = min(overlap_ms, duration_ms // 2, last_ms // 2) if party != last_party else 0
            at_ms = max(at_ms - early if early > 0 else at_ms + pause_ms, free_ms[party])
        segment = Segment(start_ms=at_ms, end_ms=at_ms + duration_ms)
        turns.append(
            Turn(
                recording_id=recording_id,
                channel=party if stereo else 0,
                speaker=f"S{party}",
                segment=segment,
            )
        )
        free_ms[party] = segment.end_ms
        last_party, last_ms = party, duration_ms
        at_ms = max(turn.segment.end_ms for turn in turns)
    num_samples = (at_ms + lead_ms) * MODEL_RATE_HZ // 1000
    channels = np.zeros((num_samples, len(parties) if stereo else 1), dtype=np.float32)
    for (party, index), turn in zip(order, turns, strict=True):
        start = turn.segment.start_ms * MODEL_RATE_HZ // 1000
        length = turn.segment.duration_ms * MODEL_RATE_HZ // 1000
        channels[start : start + length, turn.channel] += parties[party][index][:length]
    peak = float(np.abs(channels).max())
    by_start = sort_turns(turns)
    places = {id(turn): place for turn, place in zip(turns, order, strict=True)}
    return ComposedCall(
        samples=channels / np.float32(peak) if peak > 1 else channels,
        turns=tuple(by_start),
        clips=tuple(places[id(turn)] for turn in by_start),
    )
