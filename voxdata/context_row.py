"""What is known of one utterance of a version beside its example; see `voxdata.context`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from voxdata.confine import why_outside
from voxdata.dataset import Split
from voxdata.malformed import Readers, as_list, as_mapping
from voxdata.manifest import WHOLE, read_whole
from voxdata.segment import Segment
from voxdata.stated import Stated

SPEECH_MS = "speech_ms"
WORD_PROBABILITY = "word_probability"
"""Measures of the transcript, beside those of `voxdata.measure.MEASURES`: how long the words last,
and their mean probability."""


class TextSource(StrEnum):
    """Whose the text of an example is. The values are stored.

    It is unknown when the example came by an import, or when the transcript that it is from was
    replaced while the version was cut.
    """

    PERSON = "person"
    MACHINE = "machine"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVote:
    """What one person answered under one scheme.

    Attributes:
        annotator: A pseudonym, which is another one in every version.
        labels: At least one, the main one first, in the labels that the version has.
        proposal_shown: Whether a proposed label was ticked when the person began.
        is_decision: Whether an expert decided about what others disagreed on.
    """

    annotator: str
    scheme: str
    labels: tuple[str, ...]
    proposal_shown: bool
    is_decision: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalSound:
    """The file that a recording came from."""

    codec: str
    sample_rate_hz: int
    num_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRow:
    """What is known of one utterance.

    Attributes:
        voice: The speaker across recordings, as far as it was known.
        group: What a split may not divide.
        audio_file: The canonical recording, relative to the audio folder.
        is_labelled: Whether it is an example of the version, and so has a gold label.
        language: Of the transcript.
        text_source: Whose the text in the manifest is; without an example, whose it would be.
        machine_text: What the transcriber heard; None when that is not on record.
        transcriber: Key of the transcriber's model; "" when that is not on record.
        marks: What makes the machine's text doubtful (see `voxdata.guards`).
        person_text: What a person made of it; None when nobody has changed it.
        votes: Of single people, by scheme, then annotator.
        measures: Name -> value, of `voxdata.measure.MEASURES`, `SPEECH_MS` and `WORD_PROBABILITY`;
            what was not measured is absent.
        num_voices: Voices in its recording. Where there are several, a manifest does not say of
            whom it speaks.
        stated: What the manifest of the recording states.
        sound: None when the recording came by an import.
    """

    utterance_id: str
    recording_id: str
    channel: int
    segment: Segment
    voice: str
    group: str
    audio_file: str
    split: Split
    is_labelled: bool
    language: str
    text_source: TextSource
    machine_text: str | None
    transcriber: str = ""
    marks: tuple[str, ...] = ()
    person_text: str | None = None
    votes: tuple[CastVote, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    num_voices: int = 0
    stated: Stated = field(default_factory=Stated)
    sound: OriginalSound | None = None


ROW: Readers = {
    "utterance_id": (str, "text"),
    "recording_id": (str, "text"),
    "channel": WHOLE,
    "start_ms": WHOLE,
    "end_ms": WHOLE,
    "split": (Split, "train, validation or test"),
    "text_source": (TextSource, "person, machine or unknown"),
    "marks": (as_list, "a list"),
    "votes": (as_list, "a list of votes"),
    "measures": (as_mapping, "numbers by name"),
    "num_voices": WHOLE,
    "stated": (as_mapping, "what a manifest states"),
}
"""The fields of a row that can be something else than what they should be."""


def encode_row(row: ContextRow) -> dict[str, object]:
    """A row as JSON values."""
    return {
        "utterance_id": row.utterance_id,
        "recording_id": row.recording_id,
        "channel": row.channel,
        "start_ms": row.segment.start_ms,
        "end_ms": row.segment.end_ms,
        "voice": row.voice,
        "group": row.group,
        "audio_file": row.audio_file,
        "split": row.split.value,
        "is_labelled": row.is_labelled,
        "language": row.language,
        "text_source": row.text_source.value,
        "machine_text": row.machine_text,
        "transcriber": row.transcriber,
        "marks": list(row.marks),
        "person_text": row.person_text,
        "votes": [_encode_vote(vote) for vote in row.votes],
        "measures": dict(row.measures),
        "num_voices": row.num_voices,
        "stated": asdict(row.stated),
        "sound": None if row.sound is None else asdict(row.sound),
    }


def decode_row(row: Mapping[str, Any]) -> ContextRow:
    """The inverse of `encode_row`.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: The row is malformed, or leads out of the
            audio folder.
    """
    segment = Segment(start_ms=read_whole(row["start_ms"]), end_ms=read_whole(row["end_ms"]))
    measures = {str(name): _number(value) for name, value in row["measures"].items()}
    return ContextRow(
        utterance_id=str(row["utterance_id"]),
        recording_id=str(row["recording_id"]),
        channel=read_whole(row["channel"]),
        segment=segment,
        voice=str(row["voice"]),
        group=str(row["group"]),
        audio_file=_inside(str(row["audio_file"])),
        split=Split(str(row["split"])),
        is_labelled=_flag(row["is_labelled"]),
        language=str(row["language"]),
        text_source=TextSource(str(row["text_source"])),
        machine_text=_text(row["machine_text"]),
        transcriber=str(row["transcriber"]),
        marks=tuple(map(str, as_list(row["marks"]))),
        person_text=_text(row["person_text"]),
        votes=tuple(map(_decode_vote, as_list(row["votes"]))),
        measures=measures,
        num_voices=read_whole(row["num_voices"]),
        stated=_decode_stated(row["stated"]),
        sound=_decode_sound(row["sound"]),
    )


def _encode_vote(vote: CastVote) -> dict[str, object]:
    return {
        "annotator": vote.annotator,
        "scheme": vote.scheme,
        "labels": list(vote.labels),
        "proposal_shown": vote.proposal_shown,
        "is_decision": vote.is_decision,
    }


def _decode_vote(row: Any) -> CastVote:
    labels = tuple(map(str, as_list(row["labels"])))
    if not labels:
        raise ValueError("a vote has no label")
    return CastVote(
        annotator=str(row["annotator"]),
        scheme=str(row["scheme"]),
        labels=labels,
        proposal_shown=_flag(row["proposal_shown"]),
        is_decision=_flag(row["is_decision"]),
    )


def _decode_stated(row: Mapping[str, Any]) -> Stated:
    return Stated(
        sex=str(row["sex"]),
        age_band=str(row["age_band"]),
        dialect=str(row["dialect"]),
        language=str(row["language"]),
    )


def _decode_sound(row: Any) -> OriginalSound | None:
    if row is None:
        return None
    return OriginalSound(
        codec=str(row["codec"]),
        sample_rate_hz=read_whole(row["sample_rate_hz"]),
        num_channels=read_whole(row["num_channels"]),
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"measure {value!r} is no number")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _inside(audio_file: str) -> str:
    why = why_outside(audio_file) if audio_file else ""
    if why:
        raise ValueError(f"audio_file {audio_file!r} {why}; it must lie in the audio folder")
    return audio_file
