"""Labelled clips in the formats of others, as manifest rows: audio, speaker, split, text, language, start and end, labels by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import soundfile  # type: ignore[import-untyped]

from flows.manifests import BadRow, ManifestRow, read_manifest
from voxdata.errors import ConfigError

Foreign = Literal["manifest", "kaldi", "lhotse", "huggingface", "audformat"]

Row = Mapping[str, object]
"""A clip: "audio" (its path), and whatever is known of it; "start" and "end" in seconds."""


def read_foreign(path: Path, *, kind: Foreign, scratch: Path) -> tuple[list[ManifestRow], list[BadRow]]:
    """Read somebody's labelled clips.

    Args:
        path: "manifest": a file as for `voxdata ingest --manifest`. "kaldi": a folder with wav.scp, or one with such a folder a split.
            "lhotse": a file of cuts, a Shar folder, or a folder with a Shar folder a split. "huggingface": a folder that
            `datasets.load_from_disk` or `datasets.load_dataset` reads. "audformat": the folder of a database.
        scratch: Empty folder for sound that is no file by itself; keep it until the rows were used.

    Returns:
        Rows, numbered from 1, and bad rows.

    Raises:
        ConfigError: The path cannot be read as what it is said to be, or the library of the format is not there.
    """
    if kind == "manifest":
        return read_manifest(path, repeats=True)
    readers: dict[str, Callable[[Path, Path], Iterator[Row]]] = {
        "kaldi": _kaldi,
        "lhotse": _lhotse,
        "huggingface": _huggingface,
        "audformat": _audformat,
    }
    if kind not in readers:
        raise ConfigError(f"{kind!r} cannot be imported; choose one of {', '.join(get_args(Foreign))}")
    if not path.exists():
        raise ConfigError(f"{path}: is not there; name the folder or file that holds the {kind} dataset")
    good, bad = [], []
    try:
        for number, row in enumerate(readers[kind](path, scratch), start=1):
            known = {
                name: str(value).strip() for name, value in row.items() if name != "audio" and value is not None and str(value).strip()
            }
            if row.get("audio"):
                good.append(ManifestRow(number=number, uri=str(row["audio"]), metadata=known))
            else:
                bad.append(BadRow(number=number, problem=str(row.get("problem") or "names no sound")))
    except ConfigError:
        raise
    except Exception as error:  # four libraries, each with exceptions of its own
        raise ConfigError(f"{path}: cannot be read as {kind} ({type(error).__name__}: {error})") from error
    return good, bad


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"this format needs the package {name}; pip install {name}") from error


def _kaldi(path: Path, scratch: Path) -> Iterator[Row]:
    folders = [path] if (path / "wav.scp").is_file() else sorted(found.parent for found in path.glob("*/wav.scp"))
    if not folders:
        raise ConfigError(f"{path}: has no wav.scp, nor have its folders; name a Kaldi data folder")
    for folder in folders:
        maps = {file.name: _map(file) for file in sorted(folder.glob("utt2*")) if file.is_file()}
        maps["text"] = _map(folder / "text")
        sounds = _map(folder / "wav.scp")
        parts = {key: value.split() for key, value in _map(folder / "segments").items()} or {key: [key] for key in sounds}
        for key, (recording, *times) in parts.items():
            where = sounds.get(recording, "")
            if not where or where.endswith("|"):
                yield {"problem": f"{key}: {'is a command; write its output to a file' if where else 'wav.scp does not have ' + recording}"}
                continue
            names = {"utt2spk": "speaker", "text": "text", "utt2lang": "language"}
            known = {names.get(name, name.removeprefix("utt2")): said.get(key) for name, said in maps.items()}
            start, end = (*times, None, None)[:2]
            yield {"split": folder.name, **known, "kaldi_id": key, "audio": (folder / where).absolute(), "start": start, "end": end}


def _map(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0]: words[1].strip() if len(words) > 1 else "" for words in lines if words}


def _lhotse(path: Path, scratch: Path) -> Iterator[Row]:
    lhotse = _library("lhotse")
    if path.is_file():
        sets = {"": lhotse.CutSet.from_file(path)}
    else:
        folders = [path] if any(path.glob("cuts.*")) else sorted({found.parent for found in path.glob("*/cuts.*")})
        sets = {folder.name: lhotse.CutSet.from_shar(in_dir=folder) for folder in folders}
    if not sets:
        raise ConfigError(f"{path}: has no cuts, nor have its folders; name a file of cuts or a Shar folder")
    for split, cuts in sets.items():
        for number, cut in enumerate(cuts):
            sound = scratch / f"{split}-{number}.wav"
            if not cut.has_recording or len(cut.supervisions) != 1:
                yield {"problem": f"cut {cut.id}: wants sound and exactly one supervision; cuts.trim_to_supervisions() gives such cuts"}
                continue
            samples = cut.load_audio()
            soundfile.write(sound, samples.T, cut.sampling_rate, subtype="FLOAT")
            said = cut.supervisions[0]
            known = {"split": split, **(cut.custom or {}), **(said.custom or {})}
            yield {
                **{name: value for name, value in known.items() if isinstance(value, str | int | float)},
                "audio": sound, "speaker": said.speaker, "text": said.text, "language": said.language, "lhotse_id": cut.id,
            }  # fmt: skip


def _huggingface(path: Path, scratch: Path) -> Iterator[Row]:
    datasets = _library("datasets")
    saved = (path / "state.json").is_file() or (path / "dataset_dict.json").is_file()
    loaded = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path), cache_dir=str(scratch / "cache"))
    for split, table in (loaded if isinstance(loaded, dict) else {str(loaded.split or ""): loaded}).items():
        sounds = [name for name, feature in table.features.items() if isinstance(feature, datasets.Audio)]
        if not sounds:
            raise ConfigError(f"{path}: split {split} has no column of sound; cast one to datasets.Audio")
        classes = {name: feature for name, feature in table.features.items() if isinstance(feature, datasets.ClassLabel)}
        for number, entry in enumerate(table.cast_column(sounds[0], datasets.Audio(decode=False))):
            sound = entry.pop(sounds[0]) or {}
            where = Path(sound["path"]) if sound.get("path") else None
            if sound.get("bytes"):
                where = scratch / f"{split}-{number}{where.suffix if where else ''}"
                where.write_bytes(sound["bytes"])
            known = {
                name: classes[name].int2str(value) if name in classes and value is not None else value for name, value in entry.items()
            }
            yield {"split": split, "speaker": known.get("voice") or known.get("speaker_id"), **known, "audio": where}


def _audformat(path: Path, scratch: Path) -> Iterator[Row]:
    audformat = _library("audformat")
    db = audformat.Database.load(str(path))
    for name in sorted(db.tables):
        table = db.tables[name]
        split = db.splits[table.split_id].type if table.split_id else name.rpartition(".")[2]
        frame = audformat.utils.to_segmented_index(table.df, allow_nat=True).reset_index()
        for entry in frame.to_dict("records"):
            times = {place: entry.pop(place) for place in ("start", "end")}
            file = entry.pop("file")
            known = {key: value for key, value in entry.items() if value == value and value is not None}
            seconds = {place: value.total_seconds() for place, value in times.items() if value == value and value is not None}
            yield {"split": split, **known, "audio": (path / file).absolute(), **seconds}
