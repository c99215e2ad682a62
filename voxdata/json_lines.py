"""Files of JSON lines that begin with a header: read line by line, however long they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from voxdata.errors import ManifestError
from voxdata.malformed import FAULTS, Readers, in_words, name_fault, parse_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a file.

    Attributes:
        number: From 1.
        text: Without its line feed.
    """

    number: int
    text: str


def read_lines(path: Path, *, remedy: str) -> Iterator[Line]:
    """The lines of a file, one after the other; an empty file has one empty line.

    Args:
        remedy: What to do about a file that cannot be read.

    Raises:
        ManifestError: It cannot be read, or is not UTF-8.
    """
    number = 0
    try:
        # Only a line feed ends a line: a transcript may hold U+2028 and its like.
        with path.open(encoding="utf-8", newline="\n") as file:
            for text in file:
                number += 1
                yield Line(number=number, text=text.removesuffix("\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: cannot be read ({error}); {remedy}") from error
    if number == 0:
        yield Line(number=1, text="")


def decode_line(
    path: Path, line: Line, decode: Callable[[Any], T], readers: Readers, *, remedy: str
) -> T:
    """What a line says.

    Args:
        decode: Makes a value of the JSON of the line.
        readers: The fields that it needs, to name the one at fault.
        remedy: What to do about a malformed line.

    Raises:
        ManifestError: It is malformed; names the file and the line.
    """
    row: Any = None
    try:
        row = parse_json(line.text)
        return decode(row)
    except FAULTS as error:
        why = in_words(error) if row is None else name_fault(row, readers, error)
        raise ManifestError(f"{path}: line {line.number} is malformed: {why}; {remedy}") from error
