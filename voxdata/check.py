"""A check: a clip whose answer is known, given out again in disguise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckClip:
    """A clip in disguise.

    Attributes:
        key: Its own key in Label Studio: the id of the utterance with moved edges.
        utterance_id: What is heard.
        purpose: "gold" when the answer is known, "retest" when the same person heard it before.
        shift_ms: How much later its edges lie than the utterance's, so that it does not look the
            same.
    """

    key: str
    utterance_id: str
    purpose: str
    shift_ms: int
