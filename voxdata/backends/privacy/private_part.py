"""A part of a text that a pattern takes for personal data."""

from __future__ import annotations

from voxdata.ports import PrivateText


def mark_private(kind: str, span: tuple[int, int], score: float) -> PrivateText:
    """Personal data at the characters of a match, [start, end)."""
    start, end = span
    return PrivateText(kind=kind, start=start, end=end, score=score)
