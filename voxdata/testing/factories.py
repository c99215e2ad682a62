"""Values with sensible defaults; every field can be overridden by keyword."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from voxdata.dataset import Example, GoldLabel, Split
from voxdata.identity import digest
from voxdata.recording import ChannelLayout, Recording
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Utterance, Word


def make_recording(number: int = 0, **fields: Any) -> Recording:
    """A mono recording of 10 s at 16 kHz; `number` decides its id."""
    made = Recording(
        recording_id=digest("test-recording", number),
        sample_rate_hz=16_000,
        num_samples=160_000,
        num_channels=1,
        layout=ChannelLayout.MONO,
        canonical_channels=1,
        codec="pcm_s16le",
        container="wav",
    )
    return replace(made, **fields)


def make_turn(start_ms: int = 0, end_ms: int = 1_000, **fields: Any) -> Turn:
    """A turn of speaker "S0" on channel 0 of `make_recording()`."""
    made = Turn(
        recording_id=make_recording().recording_id,
        channel=0,
        speaker="S0",
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
    )
    return replace(made, **fields)


def make_word(
    text: str = " hello",
    start_ms: int = 0,
    end_ms: int = 300,
    *,
    probability: float = 0.9,
) -> Word:
    """A word."""
    return Word(
        text=text,
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        probability=probability,
    )


def make_utterance(start_ms: int = 0, end_ms: int = 1_000, **fields: Any) -> Utterance:
    """An English utterance of speaker "S0" on channel 0 of `make_recording()`."""
    made = Utterance(
        recording_id=make_recording().recording_id,
        channel=0,
        speaker="S0",
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        text="hello",
        language="en",
    )
    return replace(made, **fields)


def make_example(
    number: int = 0, *, intent: str | None = "greet", emotion: str | None = "neutral", **fields: Any
) -> Example:
    """A training example; `number` decides its recording, voice and group.

    None leaves a label out.
    """
    recording = make_recording(number)
    segment = Segment(start_ms=0, end_ms=1_000)
    labels = {"intent": intent, "emotion": emotion}
    made = Example(
        utterance_id=digest(recording.recording_id, 0, segment.start_ms, segment.end_ms),
        recording_id=recording.recording_id,
        channel=0,
        segment=segment,
        voice=f"voice-{number}",
        group=f"group-{number}",
        audio_file=f"{recording.recording_id[:2]}/{recording.recording_id}.flac",
        text="hello",
        language="en",
        gold={
            scheme: GoldLabel(
                label=label,
                distribution={label: 1.0},
                num_votes=1,
            )
            for scheme, label in labels.items()
            if label is not None
        },
        split=Split.TRAIN,
    )
    return replace(made, **fields)
