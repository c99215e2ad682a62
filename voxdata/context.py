"""The context of a dataset version: what training may know of its utterances beside the examples.

It lies beside the manifest, as `context.jsonl`: a header in the first line, and in each further
line one utterance of the version's recordings, by utterance id. Examples have a line each, and so
have utterances without a gold label, which have a split all the same. Nothing of it is in a leaf,
so it may hold more in a later release and no root moves. Audio lies where the manifest says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from voxdata.confine import why_outside
from voxdata.dataset import Split
from voxdata.durable import replacing
from voxdata.errors import ManifestError
from voxdata.identity import canonical_json
from voxdata.json_lines import Line, decode_line, read_lines
from voxdata.malformed import Readers, as_list, as_mapping
from voxdata.manifest import WHOLE, read_whole
from voxdata.segment import Segment
from voxdata.stated import Stated

FORMAT = "voxdata-context/1"
CONTEXT_FILE = "context.jsonl"
"""Its name, in the folder of the manifest."""

REMEDY = "train on the version again"
BATCH_SIZE = 1024

SPEECH_MS = "speech_ms"
WORD_PROBABILITY = "word_probability"
"""Measures of the transcript, beside those of `voxdata.measure.MEASURES`: how long the words last,
and their mean probability."""

_MOST_ROWS = 10**15


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextHeader:
    """The first line of a context.

    Attributes:
        version_id: Of the version, as in the manifest.
        left_out: Why utterances without a gold label are not in it -> how many.
        num_rows: Utterances in it.
        num_unlabelled: Those of them without a gold label.
        digest: SHA-256 over the header's other fields and all rows, 64 hex characters.
    """

    version_id: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    num_rows: int = 0
    num_unlabelled: int = 0
    digest: str = ""


HEADER: Readers = {
    "format": (str, "text"),
    "version_id": (str, "text"),
    "left_out": (as_mapping, "numbers by reason"),
    "num_rows": WHOLE,
    "num_unlabelled": WHOLE,
    "digest": (str, "text"),
}
"""The fields of the first line."""


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


def context_path(manifest: Path) -> Path:
    """Where the context of a manifest lies, if it has one: runs of earlier releases have none."""
    return manifest.with_name(CONTEXT_FILE)


def write_context(
    path: Path, rows: Iterable[ContextRow], *, version_id: str, left_out: Mapping[str, int]
) -> ContextHeader:
    """Write atomically, row by row.

    Args:
        rows: Sorted by utterance id.
        left_out: See `ContextHeader`.

    Returns:
        The header as it was written.
    """
    begun = ContextHeader(version_id=version_id, left_out=left_out)
    longest = replace(begun, num_rows=_MOST_ROWS, num_unlabelled=_MOST_ROWS, digest="0" * 64)
    width = len(_header_line(longest))
    num_rows = num_unlabelled = 0
    content = hashlib.sha256()
    with replacing(path) as file:
        file.write(b" " * width)  # the digest is known at the end
        for row in rows:
            line = _row_line(row)
            content.update(line)
            file.write(line)
            num_rows += 1
            num_unlabelled += not row.is_labelled
        counted = replace(begun, num_rows=num_rows, num_unlabelled=num_unlabelled)
        header = replace(counted, digest=_seal(counted, content.hexdigest()))
        file.seek(0)
        file.write(_header_line(header).removesuffix(b"\n").ljust(width - 1) + b"\n")
    return header


def read_context_header(path: Path) -> ContextHeader:
    """Read the first line alone.

    Raises:
        ManifestError: Missing, of another format, or its first line is malformed.
    """
    return _read_header(path, read_lines(path, remedy=REMEDY))


def read_context(path: Path, *, batch_size: int = BATCH_SIZE) -> Iterator[tuple[ContextRow, ...]]:
    """Read the rows in batches, so that a file may be longer than the memory.

    Whether all of it is as it was written is known after the last batch.

    Args:
        batch_size: Rows of a batch, at least 1; the last one may have fewer.

    Raises:
        ManifestError: Missing, of another format, malformed in the line named, or not as it was
            written.
    """
    lines = read_lines(path, remedy=REMEDY)
    header = _read_header(path, lines)
    content = hashlib.sha256()
    num_rows = num_unlabelled = 0
    rows = _read_rows(path, lines, content)
    while batch := tuple(islice(rows, batch_size)):
        num_rows += len(batch)
        num_unlabelled += sum(not row.is_labelled for row in batch)
        yield batch
    found = replace(header, num_rows=num_rows, num_unlabelled=num_unlabelled, digest="")
    digest = _seal(found, content.hexdigest())
    if digest != header.digest:
        raise ManifestError(
            f"{path}: its {num_rows} rows give {digest[:12]}, "
            f"its header says {header.num_rows} and {header.digest[:12]}; {REMEDY}"
        )


def _read_rows(path: Path, lines: Iterable[Line], content: Any) -> Iterator[ContextRow]:
    """The rows of the lines, which are put into a hash as well."""
    for line in lines:
        content.update(line.text.encode() + b"\n")
        yield decode_line(path, line, decode_row, ROW, remedy=REMEDY)


def _read_header(path: Path, lines: Iterator[Line]) -> ContextHeader:
    decode = partial(_decode_header, path)
    return decode_line(path, next(lines), decode, HEADER, remedy=REMEDY)


def _decode_header(path: Path, row: Any) -> ContextHeader:
    if row["format"] != FORMAT:
        raise ManifestError(f"{path}: format {row['format']!r}, this release reads {FORMAT!r}")
    left_out = {str(why): int(number) for why, number in row["left_out"].items()}
    return ContextHeader(
        version_id=str(row["version_id"]),
        left_out=left_out,
        num_rows=read_whole(row["num_rows"]),
        num_unlabelled=read_whole(row["num_unlabelled"]),
        digest=str(row["digest"]),
    )


def _encode_header(header: ContextHeader) -> dict[str, object]:
    return {"format": FORMAT, **asdict(header), "left_out": dict(sorted(header.left_out.items()))}


def _header_line(header: ContextHeader) -> bytes:
    return json.dumps(_encode_header(header), ensure_ascii=False).encode() + b"\n"


def _seal(header: ContextHeader, rows_digest: str) -> str:
    """The digest of a header that has none yet, with rows of this digest."""
    fields = canonical_json(_encode_header(header))
    return hashlib.sha256(f"{fields}\n{rows_digest}".encode()).hexdigest()


def _row_line(row: ContextRow) -> bytes:
    return json.dumps(encode_row(row), ensure_ascii=False).encode() + b"\n"


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
