"""Datasets that only their own library reads: Lhotse cuts and Shar, Hugging Face, audformat."""

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

_PLAIN = (str, int, float)


def read_lhotse(
    path: Path,
    scratch: Path,
    reach: Reach,
) -> Iterator[RawRow]:
    """A row for each cut of a file, of a Shar folder, or of a Shar folder a split.

    Their sound goes to `scratch`.

    Raises:
        ConfigError: There are no cuts, or Lhotse is not installed.
    """
    number = 0
    for split, cuts in _cut_sets(path).items():
        for cut in cuts:
            number += 1
            yield _cut_row(
                number,
                cut,
                split,
                scratch / f"{number}.wav",
                reach,
            )


def _cut_sets(path: Path) -> dict[str, Any]:
    """Split -> its cuts."""
    lhotse = _library("lhotse")
    if path.is_file():
        return {"": lhotse.CutSet.from_file(path)}
    folders = [path]
    if not any(path.glob("cuts.*")):
        folders = sorted({file.parent for file in path.glob("*/cuts.*")})
    if not folders:
        raise ConfigError(
            f"{path}: has no cuts, nor have its folders; name a file of cuts or a Shar folder"
        )
    return {folder.name: lhotse.CutSet.from_shar(in_dir=folder) for folder in folders}


def _cut_row(
    number: int,
    cut: Any,
    split: str,
    sound: Path,
    reach: Reach,
) -> RawRow:
    """The row of a cut, whose sound is written to the file `sound`."""
    problem = _unsafe(cut, reach)
    if problem:
        return RawRow(number=number, problem=f"cut {cut.id}: {problem}")
    supervision = cut.supervisions[0]
    try:
        samples = _rooted(cut, reach).load_audio()
    except Exception as error:  # a decoder of its own for each kind of source
        why = f"{type(error).__name__}: {error}"
        problem = f"cut {cut.id}: its sound cannot be read ({why})"
        return RawRow(number=number, problem=problem)

    first = _sample_at(cut, supervision.start)
    last = _sample_at(cut, supervision.end)
    if first >= last:
        return RawRow(number=number, problem=f"cut {cut.id}: its supervision lies outside it")
    soundfile.write(
        sound,
        samples.T[first:last],
        cut.sampling_rate,
        subtype="FLOAT",
    )

    custom = {"split": split, **(cut.custom or {}), **(supervision.custom or {})}
    plain = {name: value for name, value in custom.items() if isinstance(value, _PLAIN)}
    values: dict[str, object] = {
        **plain,
        "audio": str(sound),
        "speaker": supervision.speaker,
        "text": supervision.text,
        "language": supervision.language,
        "lhotse_id": cut.id,
    }
    return RawRow(
        number=number,
        values=values,
        cut=True,
    )


def _sample_at(cut: Any, time_s: float) -> int:
    # A supervision counts from the start of its cut, and may reach out of it.
    within_s: float = min(max(time_s, 0.0), cut.duration)
    rate_hz: int = cut.sampling_rate
    return round(within_s * rate_hz)


def _recordings(cut: Any) -> list[Any]:
    cuts = [cut]
    tracks = getattr(cut, "tracks", None)
    if tracks is not None:
        cuts = [track.cut for track in tracks]
    return [part.recording for part in cuts if getattr(part, "has_recording", False)]


def _sources(cut: Any) -> Iterator[Any]:
    for recording in _recordings(cut):
        yield from recording.sources


def _unsafe(cut: Any, reach: Reach) -> str:
    """Why a cut cannot be imported; "" when it can."""
    if not cut.has_recording or len(cut.supervisions) != 1:
        remedy = "cuts.trim_to_supervisions() gives such cuts"
        return f"wants sound and exactly one supervision; {remedy}"
    for source in _sources(cut):
        if source.type not in _SAFE_SOURCES:
            return f"its sound is a {source.type}; write it to a file first"
        if source.type == "file":
            why = reach.why_not(reach.locate(str(source.source)))
            if why:
                return why
    return ""


def _rooted(cut: Any, reach: Reach) -> Any:
    """The cut with absolute paths: Lhotse's own are relative to the working directory."""
    for source in _sources(cut):
        if source.type == "file":
            source.source = reach.locate(str(source.source))
    return cut


def read_huggingface(path: Path, scratch: Path) -> Iterator[RawRow]:
    """A row for each entry, its split beside it.

    Class labels are given by name, and -1 as no label; sound that is inside goes to `scratch`.

    Raises:
        ConfigError: A split has no column of sound, or `datasets` is not installed.
    """
    datasets = _library("datasets")
    number = 0
    for split, table in _load_splits(datasets, path, scratch).items():
        sounds = _features_of(table, datasets.Audio)
        if not sounds:
            raise ConfigError(
                f"{path}: split {split} has no column of sound; cast one to datasets.Audio"
            )
        audio = next(iter(sounds))
        classes = _features_of(table, datasets.ClassLabel)
        for entry in table.cast_column(audio, datasets.Audio(decode=False)):
            number += 1
            sound = entry.pop(audio) or {}
            for name, feature in classes.items():
                entry[name] = _class_name(feature, entry[name])
            location = _unpacked(sound, scratch / f"{number}")
            yield RawRow(
                number=number,
                values={"split": split, **entry, "audio": location},
                problem="" if location else "names no sound",
                cut=bool(sound.get("bytes")),
            )


def _load_splits(
    datasets: Any,
    path: Path,
    scratch: Path,
) -> dict[str, Any]:
    """Split -> its table."""
    loaded = _load(datasets, path, scratch)
    if isinstance(loaded, dict):
        return loaded
    split = str(loaded.split or "")
    return {split: loaded}


def _load(datasets: Any, path: Path, scratch: Path) -> Any:
    saved = ("state.json", "dataset_dict.json")
    if any((path / name).is_file() for name in saved):
        return datasets.load_from_disk(str(path))
    return datasets.load_dataset(str(path), cache_dir=str(scratch / "cache"))


def _features_of(table: Any, kind: type) -> dict[str, Any]:
    """Column -> its feature, for the columns of one kind of feature."""
    features = table.features.items()
    return {name: feature for name, feature in features if isinstance(feature, kind)}


def _class_name(feature: Any, value: object) -> object:
    """The name of a class; in Hugging Face's datasets -1 means that there is no label."""
    if value is None:
        return None
    number = int(str(value))
    if not 0 <= number < feature.num_classes:
        return Unusable(why=f"is {number}, which is none of its {feature.num_classes} classes")
    return str(feature.int2str(number))


def _unpacked(sound: Mapping[str, Any], target: Path) -> str:
    """Where the sound of an entry lies; sound that is inside is written to `target`."""
    location = str(sound.get("path") or "")
    if not sound.get("bytes"):
        return location
    suffix = Path(location).suffix
    if not _SUFFIX.fullmatch(suffix):
        suffix = ""
    file = target.with_name(target.name + suffix)
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
        if table.split_id:
            split = db.splits[table.split_id].type
        else:
            _, _, split = name.rpartition(".")
        frame = audformat.utils.to_segmented_index(table.df, allow_nat=True).reset_index()
        for entry in frame.to_dict("records"):
            number += 1
            filled = {name: value for name, value in entry.items() if _is_filled(value)}
            filled.pop("file", None)
            seconds = {}
            for bound in ("start", "end"):
                if bound in filled:
                    seconds[bound] = filled.pop(bound).total_seconds()
            audio = str(entry["file"])
            values = {"split": split, **filled, "audio": audio, **seconds}
            yield RawRow(number=number, values=values)


def _is_filled(value: object) -> bool:
    """Whether a value is there: pandas writes None, NaN or NaT, which equal nothing, for none."""
    return value is not None and value == value


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"this format needs the package {name}; pip install {name}") from error
