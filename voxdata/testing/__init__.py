"""Factories for tests, shipped with the package: synthetic sound, values with sensible defaults,
and composed calls.
"""

from voxdata.testing.calls import ComposedCall, compose_call
from voxdata.testing.factories import (
    make_example,
    make_recording,
    make_turn,
    make_utterance,
    make_word,
)
from voxdata.testing.synthetic import noise, silence, speech_like, tone

__all__ = [
    "ComposedCall",
    "compose_call",
    "make_example",
    "make_recording",
    "make_turn",
    "make_utterance",
    "make_word",
    "noise",
    "silence",
    "speech_like",
    "tone",
]
