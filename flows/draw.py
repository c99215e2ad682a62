"""Draws that are always the same for one key: what was drawn once holds, also when a push is repeated."""

from __future__ import annotations

from voxdata.identity import digest


def draw(key: str, purpose: str) -> float:
    """A number in [0, 1) that is always the same for one key and purpose, and independent between purposes."""
    return int(digest(purpose, key)[:13], 16) / 16**13
