"""Calls composed from clips, with complete truth about who spoke when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment
from voxdata.turn import Turn, sort_turns

_SAMPLES_PER_MS = MODEL_RATE_HZ // 1000


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
    """Let parties speak in turn: the first clip of each, then the second of each, and so on.

    Args:
        parties: For each party its clips, (num_samples,) float32 at MODEL_RATE_HZ; a party may have
            fewer clips than others.
        pause_ms: Silence between one turn and the next.
        overlap_ms: When positive, a change of party comes this much before the last turn ends
            instead of after a pause (at most half of either clip, and no turn starts before its
            party's own last one ended).
        stereo: One channel per party; otherwise all are mixed into one channel, scaled down only
            when the sum exceeds full scale.
        lead_ms: Silence before the first turn and after the last.
        recording_id: Given to the turns.

    Raises:
        ValueError: There is no clip, or one shorter than 1 ms.
    """
    clips = _in_turn(parties)
    if not clips or any(clip.samples.size < _SAMPLES_PER_MS for clip in clips):
        raise ValueError("a call needs at least one clip, each of at least 1 ms")
    segments = _place_clips(
        clips,
        pause_ms=pause_ms,
        overlap_ms=overlap_ms,
        lead_ms=lead_ms,
    )
    turns = [
        Turn(
            recording_id=recording_id,
            channel=clip.party if stereo else 0,
            speaker=f"S{clip.party}",
            segment=segment,
        )
        for clip, segment in zip(clips, segments, strict=True)
    ]

    end_ms = max(segment.end_ms for segment in segments)
    num_samples = (end_ms + lead_ms) * _SAMPLES_PER_MS
    num_channels = len(parties) if stereo else 1
    channels = np.zeros((num_samples, num_channels), dtype=np.float32)
    for clip, turn in zip(clips, turns, strict=True):
        start = turn.segment.start_ms * _SAMPLES_PER_MS
        length = turn.segment.duration_ms * _SAMPLES_PER_MS
        channels[start : start + length, turn.channel] += clip.samples[:length]
    peak = float(np.abs(channels).max())
    if peak > 1:
        channels /= np.float32(peak)

    by_start = sort_turns(turns)
    clip_of = {id(turn): clip for turn, clip in zip(turns, clips, strict=True)}
    spoken = [clip_of[id(turn)] for turn in by_start]
    return ComposedCall(
        samples=channels,
        turns=tuple(by_start),
        clips=tuple((clip.party, clip.index) for clip in spoken),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clip:
    """One clip of a party."""

    party: int
    index: int
    samples: Samples

    @property
    def duration_ms(self) -> int:
        """Its length, rounded down."""
        return self.samples.size // _SAMPLES_PER_MS


def _in_turn(parties: Sequence[Sequence[Samples]]) -> list[_Clip]:
    """The clips in the order in which they are spoken."""
    clips: list[_Clip] = []
    for party, samples_of_party in enumerate(parties):
        for index, samples in enumerate(samples_of_party):
            clips.append(
                _Clip(
                    party=party,
                    index=index,
                    samples=samples,
                )
            )
    return sorted(clips, key=lambda clip: (clip.index, clip.party))


def _place_clips(
    clips: Sequence[_Clip],
    *,
    pause_ms: int,
    overlap_ms: int,
    lead_ms: int,
) -> list[Segment]:
    """When each clip is spoken."""
    segments: list[Segment] = []
    free_ms: dict[int, int] = {}
    end_ms = lead_ms
    last = clips[0]
    for clip in clips:
        start_ms = end_ms
        if segments:
            early_ms = 0
            if clip.party != last.party:
                early_ms = min(overlap_ms, clip.duration_ms // 2, last.duration_ms // 2)
            start_ms += -early_ms if early_ms > 0 else pause_ms
            start_ms = max(start_ms, free_ms.get(clip.party, 0))
        segment = Segment(start_ms=start_ms, end_ms=start_ms + clip.duration_ms)
        segments.append(segment)
        free_ms[clip.party] = segment.end_ms
        end_ms = max(end_ms, segment.end_ms)
        last = clip
    return segments
