"""Datasets that only a library of their own reads: Lhotse cuts and Shar, Hugging Face, audformat."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import soundfile  # type: ignore[import-untyped]

from voxdata.errors import ConfigError
from voxdata.tables.reach import Reach
from voxdata.tables.table import RawRow, Unusable

_SUFFIX = re.compile(r"\.\w{1,8}")
_SAFE_SOURCES = ("file", "memory", "shar")
"""What Lhotse may load sound from; a "command" would be run."""


def read_lhotse(path: Path, scratch: Path, reach: Reach) -> Iterator[RawRow]:
    """A row for each cut of a file, of a Shar folder, or of a Shar folder a split; their sound goes to `scratch`.

    Raises:
        ConfigError: There are no cuts, or Lhotse is not installed.
    """
    lhotse = _library("lhotse")
    if path.is_file():
        sets = {"": lhotse.CutSet.from_file(path)}
    else:
        folders = (
            [path]
            if any(path.glob("cuts.*"))
            else sorted({found.parent for found in path.glob("*/cuts.*")})
        )
        sets = {folder.name: lhotse.CutSet.from_shar(in_dir=folder) for folder in folders}
    if not sets:
        raise ConfigError(
            f"{path}: has no cuts, nor have its folders; name a file of cuts or a Shar folder"
        )
    number = 0
    for split, cuts in sets.items():
        for cut in cuts:
            number += 1
            yield _cut_row(number, cut, split, scratch / f"{number}.wav", reach)


def _cut_row(number: int, cut: Any, split: str, sound: Path, reach: Reach) -> RawRow:
    if not cut.has_recording or len(cut.supervisions) != 1:
        problem = f"cut {cut.id}: wants sound and exactly one supervision; cuts.trim_to_supervisions() gives such cuts"
        return RawRow(number=number, problem=problem)
    problem = _unsafe(cut, reach)
    if problem:
        return RawRow(number=number, problem=f"cut {cut.id}: {problem}")
    said = cut.supervisions[0]
    try:
        samples = _rooted(cut, reach).load_audio()
    except Exception as error:  # a decoder of its own for each kind of source
        return RawRow(
            number=number,
            problem=f"cut {cut.id}: its sound cannot be read ({type(error).__name__}: {error})",
        )
    # A supervision counts from the start of its cut, and may reach out of it.
    first, last = (
        round(min(max(at, 0.0), cut.duration) * cut.sampling_rate) for at in (said.start, said.end)
    )
    if first >= last:
        return RawRow(number=number, problem=f"cut {cut.id}: its supervision lies outside it")
    soundfile.write(sound, samples.T[first:last], cut.sampling_rate, subtype="FLOAT")
    known = {"split": split, **(cut.custom or {}), **(said.custom or {})}
    values: dict[str, object] = {
        name: value for name, value in known.items() if isinstance(value, str | int | float)
    }
    values |= {
        "audio": str(sound),
        "speaker": said.speaker,
        "text": said.text,
        "language": said.language,
        "lhotse_id": cut.id,
    }
    return RawRow(number=number, values=values, cut=True)


def _recordings(cut: Any) -> list[Any]:
    tracks = getattr(cut, "tracks", None)
    cuts = [cut] if tracks is None else [track.cut for track in tracks]
    return [part.recording for part in cuts if getattr(part, "has_recording", False)]


def _unsafe(cut: Any, reach: Reach) -> str:
    for recording in _recordings(cut):
        for source in recording.sources:
            if source.type not in _SAFE_SOURCES:
                return f"its sound is a {source.type}; write it to a file first"
            why = reach.why_not(reach.locate(str(source.source))) if source.type == "file" else ""
            if why:
                return why
    return ""


def _rooted(cut: Any, reach: Reach) -> Any:
    """The cut with absolute paths: Lhotse's own are relative to wherever one stands."""
    for recording in _recordings(cut):
        for source in recording.sources:
            if source.type == "file":
                source.source = reach.locate(str(source.source))
    return cut


def read_huggingface(path: Path, scratch: Path) -> Iterator[RawRow]:
    """A row for each entry, its split beside it; class labels by name, and -1 as no label; sound that is inside goes to `scratch`.

    Raises:
        ConfigError: A split has no column of sound, or `datasets` is not installed.
    """
    datasets = _library("datasets")
    saved = (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()
    loaded = (
        datasets.load_from_disk(str(path))
        if saved
        else datasets.load_dataset(str(path), cache_dir=str(scratch / "cache"))
    )
    number = 0
    for split, table in (
        loaded if isinstance(loaded, dict) else {str(loaded.split or ""): loaded}
    ).items():
        sounds = [
            name for name, feature in table.features.items() if isinstance(feature, datasets.Audio)
        ]
        if not sounds:
            raise ConfigError(
                f"{path}: split {split} has no column of sound; cast one to datasets.Audio"
            )
        classes = {
            name: feature
            for name, feature in table.features.items()
            if isinstance(feature, datasets.ClassLabel)
        }
        for entry in table.cast_column(sounds[0], datasets.Audio(decode=False)):
            number += 1
            sound = entry.pop(sounds[0]) or {}
            known = {
                name: _class_name(classes[name], value) if name in classes else value
                for name, value in entry.items()
            }
            where = _unpacked(sound, scratch / f"{number}")
            values: dict[str, object] = {"split": split, **known, "audio": where}
            problem = "" if where else "names no sound"
            yield RawRow(
                number=number, values=values, problem=problem, cut=bool(sound.get("bytes"))
            )


def _class_name(feature: Any, value: object) -> object:
    """The name of a class; in Hugging Face's datasets -1 says that there is no label."""
    if value is None:
        return None
    number = int(str(value))
    if not 0 <= number < feature.num_classes:
        return Unusable(why=f"is {number}, which is none of its {feature.num_classes} classes")
    return str(feature.int2str(number))


def _unpacked(sound: Mapping[str, Any], target: Path) -> str:
    where = str(sound.get("path") or "")
    if not sound.get("bytes"):
        return where
    suffix = Path(where).suffix
    file = target.with_name(target.name + (suffix if _SUFFIX.fullmatch(suffix) else ""))
    file.write_bytes(sound["bytes"])
    return str(file)


def read_audformat(path: Path) -> Iterator[RawRow]:
    """A row for each entry of each table; the split is the table's, or the end of its name.

    Raises:
        ConfigError: audformat is not installed.
    """
    audformat = _library("audformat")
    db = audformat.Database.load(str(path))
    number = 0
    for name in sorted(db.tables):
        table = db.tables[name]
        split = db.splits[table.split_id].type if table.split_id else name.rpartition(".")[2]
        frame = audformat.utils.to_segmented_index(table.df, allow_nat=True).reset_index()
        for entry in frame.to_dict("records"):
            number += 1
            times = {place: entry.pop(place) for place in ("start", "end")}
            file = entry.pop("file")
            known = {
                key: value for key, value in entry.items() if value == value and value is not None
            }
            seconds = {
                place: value.total_seconds()
                for place, value in times.items()
                if value == value and value is not None
            }
            yield RawRow(
                number=number, values={"split": split, **known, "audio": str(file), **seconds}
            )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"this format needs the package {name}; pip install {name}") from error
