"""Many strings to look for at once, however they are spelled."""

from __future__ import annotations

import csv
import html
import io
import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import quote

from ahocorasick_rs import BytesAhoCorasick

BLOCK = 16 << 20

STEM = 32
"""Bytes of a spelling that go into the machine.

The rest is compared where it matches, so that long texts cost no memory.
"""

ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "gb18030", "cp1252")
"""How audio tags, arrays of numpy and tables for spreadsheets hold text, besides UTF-8."""

MIN_ENCODED = 6
"""Fewer bytes in a code other than UTF-8 occur by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A string in some bytes: from `start` up to `end`."""

    text: str
    start: int
    end: int


@dataclass(slots=True)
class Needles:
    """A machine that finds strings in one pass over the bytes, whichever of their spellings is
    there.

    Attributes:
        longest: Bytes of the longest spelling.
    """

    texts: Iterable[str]
    longest: int = 0
    _machine: BytesAhoCorasick | None = None
    _stems: list[list[tuple[str, bytes]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        by_stem: defaultdict[bytes, list[tuple[str, bytes]]] = defaultdict(list)
        for text in self.texts:
            for spelling in spell(text):
                by_stem[spelling[:STEM]].append((text, spelling))
                self.longest = max(self.longest, len(spelling))
        self._stems = list(by_stem.values())
        self._machine = BytesAhoCorasick(list(by_stem)) if by_stem else None

    def find(self, content: bytes) -> Iterator[Found]:
        """Every place of every string, each as often as it is there."""
        if self._machine is None:
            return
        for which, start, _ in self._machine.find_matches_as_indexes(content, overlapping=True):
            for text, spelling in self._stems[which]:
                end = start + len(spelling)
                if len(spelling) <= STEM or content[start:end] == spelling:
                    yield Found(text=text, start=start, end=end)

    def first_in(self, file: IO[bytes], *, at_least: int = 0) -> dict[str, int]:
        """String -> its first place in a file, which is read block by block from where it stands.

        Args:
            at_least: Bytes of the shortest spelling that counts.

        Raises:
            OSError: It cannot be read.
        """
        offsets: dict[str, int] = {}
        start, tail = 0, b""
        while block := file.read(BLOCK):
            content = tail + block
            for hit in self.find(content):
                if hit.end - hit.start >= at_least:
                    offsets.setdefault(hit.text, start - len(tail) + hit.start)
            start, tail = start + len(block), content[-self.longest :]
        return offsets


def spell(text: str) -> set[bytes]:
    """How a string may stand in a file: in several encodings, and as JSON, CSV, HTML and URLs
    escape it.
    """
    escaped = json.dumps(text)[1:-1]
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    forms = {
        text,
        escaped,
        plain,
        json.dumps(plain, ensure_ascii=False)[1:-1],
        json.dumps(escaped)[1:-1],
        _upper_escapes(escaped),
    }
    forms |= {
        html.escape(text),
        html.escape(text, quote=False),
        text.replace("'", "''"),
        _as_csv(text),
    }
    forms |= {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    spelled = {form.encode("utf-8", "surrogateescape") for form in forms}
    spelled |= {
        quote(text, errors="surrogateescape", safe=safe).encode() for safe in ("", "/", "/:")
    }
    encoded = {_encode(text, encoding) for encoding in ENCODINGS}
    return spelled | {content for content in encoded if len(content) >= MIN_ENCODED}


def _encode(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return b""  # it cannot stand there in this encoding


def _upper_escapes(escaped: str) -> str:
    """JSON as some programs write it: "\\u00E9" instead of "\\u00e9"."""
    parts = escaped.split("\\u")
    return "\\u".join([parts[0], *(part[:4].upper() + part[4:] for part in parts[1:])])


def _as_csv(text: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()
