"""Half-open intervals of integer milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Segment:
    """A stretch of time, [start_ms, end_ms), in milliseconds from the start of a recording.

    Raises:
        ValueError: `start_ms` is negative or `end_ms` is not after it.
    """

    start_ms: int
    end_ms: int

    def __post_init__(self) -> None:
        if self.start_ms < 0 or self.end_ms <= self.start_ms:
            raise ValueError(
                f"a segment needs 0 <= start_ms < end_ms, not [{self.start_ms}, {self.end_ms})"
            )

    @property
    def duration_ms(self) -> int:
        """Length in ms, at least 1."""
        return self.end_ms - self.start_ms


def overlap_ms(a: Segment, b: Segment) -> int:
    """Length of the part two segments share, in ms; 0 when they only touch.

    >>> overlap_ms(Segment(start_ms=0, end_ms=10), Segment(start_ms=4, end_ms=20))
    6
    """
    return max(0, min(a.end_ms, b.end_ms) - max(a.start_ms, b.start_ms))


def union(segments: Iterable[Segment], *, max_gap_ms: int = 0) -> list[Segment]:
    """Cover the same time with the fewest segments, bridging gaps of up to `max_gap_ms`.

    Returns:
        New segments, sorted and disjoint.
    """
    out: list[Segment] = []
    for segment in sorted(segments):
        if out and segment.start_ms - out[-1].end_ms <= max_gap_ms:
            last = out.pop()
            segment = Segment(start_ms=last.start_ms, end_ms=max(last.end_ms, segment.end_ms))
        out.append(segment)
    return out
