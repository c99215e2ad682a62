"""Kaldi data folders: wav.scp, and beside it utt2spk, text, segments and any other utt2NAME."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from voxdata.errors import ConfigError
from voxdata.lines import split_lines
from voxdata.tables.table import RawRow
from voxdata.tables.text import read_text

_NAMES = {
    "utt2spk": "speaker",
    "text": "text",
    "utt2lang": "language",
    "utt2dur": "utterance_seconds",
}
_BLANKS = re.compile(r"[ \t]+")
_TO_THE_END = ("-1", "-1.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """A Kaldi file.

    Attributes:
        values: Key -> the rest of its line.
        numbers: Key -> the number of its line.
        twice: Keys of several lines that have different values.
    """

    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Utterance:
    """A line of `segments`, or a whole recording.

    Attributes:
        start, end: Seconds as written; None where there are none.
    """

    key: str
    recording: str
    start: str | None = None
    end: str | None = None


def find_kaldi_folders(path: Path) -> list[Path]:
    """The data folders that a path names.

    Returns:
        The folder itself, the folder of a wav.scp, or one folder a split below it; empty for none.
    """
    folder = path.parent if path.name == "wav.scp" else path
    if (folder / "wav.scp").is_file():
        return [folder]
    if not folder.is_dir():
        return []
    return sorted(file.parent for file in folder.glob("*/wav.scp"))


def read_recordings(folder: Path) -> Iterator[RawRow]:
    """A row for each line of wav.scp.

    The lines of utt2spk and text count where utterance and recording have the same name.
    """
    speakers = _read_map(folder / "utt2spk")
    texts = _read_map(folder / "text")
    sounds = _read_map(folder / "wav.scp")
    for key, location in sounds.values.items():
        values = {
            "path": location,
            "kaldi_id": key,
            "speaker": speakers.values.get(key),
            "transcript": texts.values.get(key),
        }
        yield RawRow(
            number=sounds.numbers[key],
            values=values,
            problem=_problem(key, location, sounds, speakers, texts),
        )


def read_utterances(path: Path) -> Iterator[RawRow]:
    """A row for each utterance, numbered over all folders; the split is the folder.

    Utterances are those of `segments`, or else the recordings.

    Raises:
        ConfigError: There is no wav.scp.
    """
    folders = find_kaldi_folders(path)
    if not folders:
        raise ConfigError(f"{path}: has no wav.scp, nor have its folders; name a Kaldi data folder")
    number = 0
    for folder in folders:
        for row in _folder_rows(folder):
            number += 1
            yield replace(row, number=number)


def _folder_rows(folder: Path) -> Iterator[RawRow]:
    """The utterances of one folder, all numbered 0."""
    files = [file for file in sorted(folder.glob("utt2*")) if file.is_file()]
    about = [_read_map(file) for file in (*files, folder / "text")]
    sounds = _read_map(folder / "wav.scp")
    segments = _read_map(folder / "segments")
    for utterance in _list_utterances(sounds, segments):
        key = utterance.key
        location = sounds.values.get(utterance.recording)
        if location is None:
            problem = f"{key}: wav.scp does not have {utterance.recording}"
        else:
            problem = _problem(utterance.recording, location, sounds)
            problem = problem or _given_twice(key, segments, *about)

        values: dict[str, object] = {"split": folder.name}
        for lines in about:
            meaning = _NAMES.get(lines.name, lines.name.removeprefix("utt2"))
            values[meaning] = lines.values.get(key)
        values["kaldi_id"] = key
        values["audio"] = location
        if segments.values:
            values["start"] = utterance.start
            values["end"] = utterance.end
        yield RawRow(
            number=0,
            values=values,
            problem=problem,
            folder=folder,
        )


def _list_utterances(sounds: _Map, segments: _Map) -> Iterator[_Utterance]:
    if not segments.values:
        for key in sounds.values:
            yield _Utterance(key=key, recording=key)
        return
    for key, rest in segments.values.items():
        recording, start, end = (*rest.split(), None, None, None)[:3]
        if end in _TO_THE_END:
            end = None
        yield _Utterance(
            key=key,
            recording=str(recording),
            start=start,
            end=end,
        )


def _problem(key: str, location: str, *maps: _Map) -> str:
    """Why a recording cannot be used; "" when it can."""
    if location.endswith("|"):
        remedy = "commands are not run: write its output to a file and name that"
        return f"{key}: is a command; {remedy}"
    if not location:
        return f"{key}: wav.scp names no file"
    return _given_twice(key, *maps)


def _given_twice(key: str, *maps: _Map) -> str:
    for lines in maps:
        if key in lines.twice:
            return f"{key}: {lines.name} has it twice, with other values; keep one"
    return ""


def _read_map(path: Path) -> _Map:
    if not path.is_file():
        return _Map(name=path.name)
    values: dict[str, str] = {}
    numbers: dict[str, int] = {}
    twice: set[str] = set()
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        # Kaldi divides by spaces and tabs; other blanks may stand inside a text.
        key, _, rest = _BLANKS.sub(" ", line.strip(" \t"), count=1).partition(" ")
        if not key:
            continue
        value = rest.strip(" \t")
        first = values.setdefault(key, value)
        if first != value:
            twice.add(key)
        numbers.setdefault(key, number)
    return _Map(
        name=path.name,
        values=values,
        numbers=numbers,
        twice=frozenset(twice),
    )
