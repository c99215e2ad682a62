"""Searching the raw bytes of files for strings, however they are spelled there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ahocorasick_rs import BytesAhoCorasick

BLOCK = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A string in a file."""

    path: Path
    text: str
    offset: int


def search_folder(folder: Path, texts: Sequence[str], *, skip: Collection[Path] = ()) -> tuple[Hit, ...]:
    """Look for strings in every file of a folder: as UTF-8, as UTF-16, and as JSON spells them.

    Args:
        skip: Files that are left out.

    Returns:
        The first place of each string in each file that holds it, sorted by path.
    """
    needles = [(text, needle) for text in texts for needle in sorted(_spellings(text))]
    if not needles:
        return ()
    machine = BytesAhoCorasick([needle for _, needle in needles])
    overlap = max(len(needle) for _, needle in needles)
    hits: list[Hit] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink() and p not in skip):
        found: dict[str, int] = {}
        for start, block in _blocks(path, overlap):
            for which, at, _ in machine.find_matches_as_indexes(block, overlapping=True):
                found.setdefault(needles[which][0], start + at)
        hits += [Hit(path=path, text=text, offset=at) for text, at in sorted(found.items())]
    return tuple(hits)


def _blocks(path: Path, overlap: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of a file, each block with the end of the one before it."""
    start, tail = 0, b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield start - len(tail), tail + block
            start, tail = start + len(block), (tail + block)[-overlap:]


def _spellings(text: str) -> set[bytes]:
    escaped = json.dumps(text)[1:-1]
    unicode = json.dumps(text, ensure_ascii=False)[1:-1]
    return {text.encode(), text.encode("utf-16-le"), escaped.encode(), unicode.encode()}
