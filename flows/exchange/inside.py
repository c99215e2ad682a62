"""Datasets of others that name files or commands elsewhere: refused before anything in them is
opened.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from voxdata.confine import why_outside
from voxdata.errors import ConfigError, VoxdataError
from voxdata.tables.read import Format

CHECKED: tuple[Format, ...] = ("lhotse", "huggingface", "audformat")
"""Kinds that a library reads; manifests and Kaldi folders are read by us, and their paths are
checked there.
"""

_CARDS = ("README.md", ".huggingface.yaml")


def refuse_what_leads_out(
    path: Path, *, kind: Format, roots: Sequence[Path], anywhere: bool = False
) -> None:
    """Make sure that reading a dataset opens files in its folder only, and runs nothing.

    Args:
        roots: Folders in which everything has to lie.
        anywhere: Whether the user allows files elsewhere; commands are never run.

    Raises:
        ConfigError: A link or a path leads elsewhere, or a file could run code when it is read.
    """
    if kind not in CHECKED or not path.exists():
        return
    inside = [Path("/")] if anywhere else [root.resolve() for root in roots]
    _refuse_links(path, inside)
    if kind == "lhotse":
        _refuse_sources(path, inside)
    elif kind == "huggingface":
        _refuse_patterns(path)
    else:
        _refuse_code(path)


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    target = path.resolve()
    folders = (_folder_of(root) for root in roots)
    return any(target.is_relative_to(folder) for folder in folders)


def _folder_of(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _refuse_links(path: Path, roots: Sequence[Path]) -> None:
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            entry = Path(folder) / name
            if entry.is_symlink() and not _is_inside(entry, roots):
                raise ConfigError(
                    f"{entry}: is a link to {entry.resolve()}, outside the dataset; "
                    "copy the file, or allow its folder with --audio-root"
                )


def _refuse_sources(path: Path, roots: Sequence[Path]) -> None:
    """Lhotse runs the sources that are commands, and fetches those that are URLs."""
    for cut in _lhotse_cuts(path):
        for source in _sources(cut):
            where = str(source.source)
            if source.type in ("memory", "shar"):
                continue
            if source.type != "file" or "://" in where or where.startswith("pipe:"):
                raise ConfigError(
                    f"{path}: the sound of cut {cut.id} is a {source.type} ({where!r:.80}); "
                    "commands are not run and URLs not fetched: "
                    "save the recordings as files first"
                )
            if not _is_inside(Path(where), roots):
                raise ConfigError(
                    f"{path}: the sound of cut {cut.id} is {where}, outside the dataset; "
                    "allow its folder with --audio-root FOLDER"
                )


def _lhotse_cuts(path: Path) -> Iterator[Any]:
    try:
        lhotse: Any = importlib.import_module("lhotse")
    except ImportError:
        return  # the reader says what is missing
    try:
        if path.is_file():
            yield from lhotse.CutSet.from_file(path)
            return
        folders = (
            [path]
            if any(path.glob("cuts.*"))
            else sorted({manifest.parent for manifest in path.glob("*/cuts.*")})
        )
        for folder in folders:
            yield from lhotse.CutSet.from_shar(in_dir=folder)
    except VoxdataError:
        raise
    except Exception as error:  # a library's own words for a damaged file, of many kinds
        raise ConfigError(
            f"{path}: Lhotse cannot read it ({type(error).__name__}: {error})"
        ) from error


def _sources(cut: Any) -> Iterator[Any]:
    for track in getattr(cut, "tracks", ()):
        yield from _sources(track.cut)
    recording = getattr(cut, "recording", None)
    yield from getattr(recording, "sources", ())


def _refuse_patterns(path: Path) -> None:
    """The card of a dataset says where its data lie, and a saved one lists its folders and files:
    patterns, paths or URLs.
    """
    if path.is_file():
        return
    for name in _CARDS:
        for pattern in _strings(_front_matter(path / name)):
            _require_plain(pattern, path / name)
    for state in (
        *path.glob("dataset_dict.json"),
        *path.glob("state.json"),
        *path.glob("*/state.json"),
    ):
        try:
            listed = json.loads(state.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(f"{state}: cannot be read ({error})") from error
        if isinstance(listed, dict):
            for pattern in (*_strings(listed.get("splits")), *_strings(listed.get("_data_files"))):
                _require_plain(pattern, state)


def _require_plain(pattern: str, origin: Path) -> None:
    why = (
        "is a URL"
        if "://" in pattern or "::" in pattern
        else why_outside(pattern)
        if pattern
        else ""
    )
    if why:
        raise ConfigError(
            f"{origin}: names {pattern!r}, which {why}; keep the data in the dataset's folder"
        )


def _front_matter(path: Path) -> object:
    """What a card says of its configurations, as YAML values."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".md":
        text = text.split("---", 2)[1] if text.lstrip("\ufeff").startswith("---") else ""
    try:
        card = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: is no YAML ({error})") from error
    return card.get("configs") if isinstance(card, dict) else None


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _refuse_code(path: Path) -> None:
    """audformat loads a table's pickle, and a header in which YAML may name any function of
    Python.
    """
    for pickled in sorted(path.rglob("*.pkl")):
        raise ConfigError(
            f"{pickled}: is a pickle, and reading one may run anything; "
            "save the table as CSV or Parquet and remove it"
        )
    for header in sorted(path.glob("*.yaml")):
        try:
            tags = {
                str(getattr(event, "tag", ""))
                for event in yaml.parse(header.read_text(encoding="utf-8"))
            }
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{header}: is no YAML ({error})") from error
        if any("python" in tag for tag in tags):
            raise ConfigError(
                f"{header}: names objects of Python, and reading them may run anything; "
                "do not import it"
            )
