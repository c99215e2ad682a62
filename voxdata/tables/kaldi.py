"""Kaldi data folders: wav.scp with utt2spk, text, segments and any other utt2NAME beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
_TO_THE_END = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Map:
    """A Kaldi file: key -> the rest of its line.

    Attributes:
        numbers: Key -> its line.
        twice: Keys of several lines that say different things.
    """

    name: str
    said: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()


def find_kaldi_folders(path: Path) -> list[Path]:
    """The data folders that a path names: itself, the folder of a wav.scp, or one folder a split below it; empty for none."""
    folder = path.parent if path.name == "wav.scp" else path
    if (folder / "wav.scp").is_file():
        return [folder]
    return sorted(found.parent for found in folder.glob("*/wav.scp")) if folder.is_dir() else []


def read_recordings(folder: Path) -> Iterator[RawRow]:
    """A row for each line of wav.scp; what utt2spk and text say is taken when utterance and recording have the same name."""
    speakers, texts = _read_map(folder / "utt2spk"), _read_map(folder / "text")
    sounds = _read_map(folder / "wav.scp")
    for key, where in sounds.said.items():
        number = sounds.numbers[key]
        problem = _wrong(key, where, sounds, speakers, texts)
        values = {
            "path": where,
            "kaldi_id": key,
            "speaker": speakers.said.get(key),
            "transcript": texts.said.get(key),
        }
        yield RawRow(number=number, values=values, problem=problem)


def read_utterances(path: Path) -> Iterator[RawRow]:
    """A row for each utterance, numbered over all folders: those of `segments`, or else the recordings. The split is the folder.

    Raises:
        ConfigError: There is no wav.scp.
    """
    folders = find_kaldi_folders(path)
    if not folders:
        raise ConfigError(f"{path}: has no wav.scp, nor have its folders; name a Kaldi data folder")
    number = 0
    for folder in folders:
        maps = [_read_map(file) for file in sorted(folder.glob("utt2*")) if file.is_file()]
        maps.append(_read_map(folder / "text"))
        sounds, segments = _read_map(folder / "wav.scp"), _read_map(folder / "segments")
        parts = {key: value.split() for key, value in segments.said.items()} or {
            key: [key] for key in sounds.said
        }
        for key, part in parts.items():
            number += 1
            recording, start, end = (*part, None, None, None)[:3]
            where = sounds.said.get(str(recording))
            problem = "" if where is not None else f"{key}: wav.scp does not have {recording}"
            problem = (
                problem
                or _wrong(str(recording), str(where), sounds)
                or _wrong(key, ".", segments, *maps)
            )
            known = {_NAMES.get(m.name, m.name.removeprefix("utt2")): m.said.get(key) for m in maps}
            times = (
                {"start": start, "end": None if end in (_TO_THE_END, "-1.0") else end}
                if segments.said
                else {}
            )
            values = {"split": folder.name, **known, "kaldi_id": key, "audio": where, **times}
            yield RawRow(number=number, values=values, problem=problem, folder=folder)


def _wrong(key: str, where: str, *maps: _Map) -> str:
    if where.endswith("|"):
        return (
            f"{key}: is a command; commands are not run: write its output to a file and name that"
        )
    if not where:
        return f"{key}: wav.scp names no file"
    return next(
        (
            f"{key}: {m.name} has it twice, with other values; keep one"
            for m in maps
            if key in m.twice
        ),
        "",
    )


def _read_map(path: Path) -> _Map:
    if not path.is_file():
        return _Map(name=path.name)
    said: dict[str, str] = {}
    numbers: dict[str, int] = {}
    twice: set[str] = set()
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        # Kaldi divides by spaces and tabs; other blanks may stand inside a text.
        key, _, rest = re.sub(r"[ \t]+", " ", line.strip(" \t"), count=1).partition(" ")
        rest = rest.strip(" \t")
        if not key:
            continue
        if said.get(key, rest) != rest:
            twice.add(key)
        said.setdefault(key, rest)
        numbers.setdefault(key, number)
    return _Map(name=path.name, said=said, numbers=numbers, twice=frozenset(twice))
