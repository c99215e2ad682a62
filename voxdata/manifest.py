"""The hand-off file: a dataset version as JSON lines, for machines without the warehouse.

The first line is a header, each further line one example. Audio stays where it is: `audio_root`
joined with an example's `audio_file` is a 16 kHz FLAC of which [start_ms, end_ms) on `channel` is
the clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from voxdata.audio_digest import AudioDigest
from voxdata.dataset import Example, Split, decode_gold, encode_gold, leaf_hash
from voxdata.durable import write_file
from voxdata.errors import ManifestError
from voxdata.json_lines import Line, decode_line, read_lines
from voxdata.malformed import FAULTS, Readers, as_list, as_mapping, in_words
from voxdata.root import root_of_leaves
from voxdata.segment import Segment

FORMAT = "voxdata-manifest/2"
REMEDY = "export the version again"


def read_whole(value: object) -> int:
    """A whole number, also when it is written as text; ValueError on anything else."""
    return int(str(value))


WHOLE = (read_whole, "a whole number")
EXAMPLE: Readers = {
    "utterance_id": (str, "text"),
    "recording_id": (str, "text"),
    "channel": WHOLE,
    "start_ms": WHOLE,
    "end_ms": WHOLE,
    "voice": (str, "text"),
    "group": (str, "text"),
    "audio_file": (str, "text"),
    "text": (str, "text"),
    "language": (str, "text"),
    "split": (Split, "train, validation or test"),
    "gold": (decode_gold, "gold labels by scheme"),
    "salt": (str, "text"),
}
"""The fields of an example."""

HEADER: Readers = {
    "format": (str, "text"),
    "version_id": (str, "text"),
    "name": (str, "text"),
    "audio_root": (Path, "a folder"),
    "schemes": (as_mapping, "labels by scheme"),
    "erased": (as_list, "a list"),
    "root": (str, "text"),
    "num_examples": (int, "a whole number"),
}
"""Those of the first line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A dataset version outside the warehouse.

    Attributes:
        version_id: What the version is called for ever.
        root: The Merkle root of its rows when that is not the version_id, since the version is
            older than roots; else "".
        name: What people call the version.
        audio_root: Folder that `Example.audio_file` is relative to.
        schemes: Scheme name -> label names, in the order of the scheme.
        examples: Sorted by utterance id.
        erased: Leaves of rows that were erased, sorted; without them the root could not be
            computed.
        audio: Recording id -> what its canonical file has to be, where that is on record.
    """

    version_id: str
    name: str
    audio_root: Path
    schemes: Mapping[str, tuple[str, ...]]
    examples: tuple[Example, ...]
    erased: tuple[str, ...] = ()
    root: str = ""
    audio: Mapping[str, AudioDigest] = field(default_factory=dict)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write atomically: a reader sees the whole file or none."""
    examples = sorted(manifest.examples, key=lambda example: example.utterance_id)
    rows = [_encode_header(manifest), *map(encode_example, examples)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    content = "\n".join(lines) + "\n"
    write_file(path, content.encode())


def _encode_header(manifest: Manifest) -> dict[str, object]:
    audio = {
        recording_id: [digest.size_bytes, digest.sha256, digest.samples_md5]
        for recording_id, digest in sorted(manifest.audio.items())
    }
    return {
        "format": FORMAT,
        "version_id": manifest.version_id,
        "root": manifest.root,
        "name": manifest.name,
        "audio_root": str(manifest.audio_root),
        "schemes": {name: list(labels) for name, labels in manifest.schemes.items()},
        "num_examples": len(manifest.examples),
        "erased": list(manifest.erased),
        "audio": audio,
    }


def read_manifest(path: Path) -> Manifest:
    """Read a manifest and check its rows against its root.

    Raises:
        ManifestError: Missing, of another format, malformed in the line named, or its rows do not
            give the root.
    """
    examples = tuple(read_examples(path))
    return replace(read_manifest_header(path), examples=examples)


def read_manifest_header(path: Path) -> Manifest:
    """Read the first line of a manifest alone: all but the examples.

    Raises:
        ManifestError: Missing, of another format, or its first line is malformed.
    """
    header, _ = _read_header(path, read_lines(path, remedy=REMEDY))
    return header


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of a manifest in their order, read line by line.

    They are checked against the root after the last one.

    Raises:
        ManifestError: See `read_manifest`.
    """
    lines = read_lines(path, remedy=REMEDY)
    header, num_examples = _read_header(path, lines)
    leaves: list[str] = []
    for line in lines:
        example = decode_line(path, line, decode_example, EXAMPLE, remedy=REMEDY)
        leaves.append(leaf_hash(example))
        yield example
    _check_root(path, header, leaves, num_examples=num_examples)


def _read_header(path: Path, lines: Iterator[Line]) -> tuple[Manifest, int]:
    """A manifest without its examples, and how many it should have."""
    decode = partial(_decode_header, path)
    return decode_line(path, next(lines), decode, HEADER, remedy=REMEDY)


def _check_root(path: Path, header: Manifest, leaves: Sequence[str], *, num_examples: int) -> None:
    try:
        actual = root_of_leaves([*leaves, *header.erased])
    except FAULTS as error:
        raise ManifestError(f"{path}: line 1 is malformed: {in_words(error)}; {REMEDY}") from error
    root = header.root or header.version_id
    if actual != root or len(leaves) != num_examples:
        raise ManifestError(
            f"{path}: its {len(leaves)} rows give {actual[:12]}, "
            f"its header says {num_examples} and {root[:12]}; {REMEDY}"
        )


def _decode_header(path: Path, row: Any) -> tuple[Manifest, int]:
    """A manifest without its examples, and how many it should have."""
    if row["format"] != FORMAT:
        raise ManifestError(f"{path}: format {row['format']!r}, this release reads {FORMAT!r}")
    audio: dict[str, AudioDigest] = {}
    schemes: dict[str, tuple[str, ...]] = {}
    for name, labels in row["schemes"].items():
        schemes[str(name)] = tuple(map(str, labels))
    # Absent before there were digests.
    for recording_id, (size, sha256, md5) in row.get("audio", {}).items():
        audio[str(recording_id)] = AudioDigest(
            recording_id=str(recording_id),
            size_bytes=int(size),
            sha256=str(sha256),
            samples_md5=str(md5),
        )
    manifest = Manifest(
        version_id=str(row["version_id"]),
        name=str(row["name"]),
        audio_root=Path(row["audio_root"]),
        schemes=schemes,
        examples=(),
        erased=tuple(map(str, row["erased"])),
        root=str(row["root"]),
        audio=audio,
    )
    return manifest, int(row["num_examples"])


def encode_example(example: Example) -> dict[str, object]:
    """An example as JSON values."""
    return {
        "utterance_id": example.utterance_id,
        "recording_id": example.recording_id,
        "channel": example.channel,
        "start_ms": example.segment.start_ms,
        "end_ms": example.segment.end_ms,
        "voice": example.voice,
        "group": example.group,
        "audio_file": example.audio_file,
        "text": example.text,
        "language": example.language,
        "split": example.split.value,
        "gold": encode_gold(example.gold),
        "salt": example.salt,
    }


def decode_example(row: Mapping[str, object]) -> Example:
    """The inverse of `encode_example`.

    Raises:
        KeyError, TypeError, ValueError: The row is malformed.
    """
    gold = row["gold"]
    if not isinstance(gold, Mapping):
        raise TypeError("gold is not an object")
    start_ms = read_whole(row["start_ms"])
    end_ms = read_whole(row["end_ms"])
    return Example(
        utterance_id=str(row["utterance_id"]),
        recording_id=str(row["recording_id"]),
        channel=read_whole(row["channel"]),
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        voice=str(row["voice"]),
        group=str(row["group"]),
        audio_file=str(row["audio_file"]),
        text=str(row["text"]),
        language=str(row["language"]),
        split=Split(str(row["split"])),
        gold=decode_gold(gold),
        salt=str(row["salt"]),
    )


def select(manifest: Manifest, split: Split, *, scheme: str) -> Sequence[Example]:
    """The examples of one split that have a gold label under `scheme`."""
    return [
        example
        for example in manifest.examples
        if example.split is split and scheme in example.gold
    ]
