"""JSON lines: one object a line, whatever the file is called; also a JSON list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from voxdata.lines import split_lines
from voxdata.tables.table import RawRow


class _TwiceError(ValueError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    why: str


def looks_like_json(text: str) -> bool:
    """Whether a text begins with a JSON object, or is a list of them.

    >>> looks_like_json('{"path": "a.wav"}'), looks_like_json("path,label")
    (True, False)
    """
    begin = text.lstrip()[:1]
    if begin == "[":
        return _whole_list(text) is not None
    if begin != "{":
        return False
    first = next(line for line in split_lines(text) if line.strip())
    return isinstance(_parse(first), dict)


def read_json(text: str) -> list[RawRow]:
    """Rows, numbered by line (in a list by place); what is no object is a bad row."""
    begin = text.lstrip()[:1]
    if begin == "[" and "{" in text:
        entries = _whole_list(text)
        if entries is not None:
            return list(_entry_rows(entries))
    return list(_line_rows(text))


def _entry_rows(entries: Sequence[object]) -> Iterator[RawRow]:
    for number, value in enumerate(entries, start=1):
        yield _row(number, value, place=f"entry {number}")


def _line_rows(text: str) -> Iterator[RawRow]:
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip():
            yield _row(number, _parse(line), place=f"line {number}")


def _row(number: int, value: object, *, place: str) -> RawRow:
    if isinstance(value, _Broken):
        return RawRow(number=number, problem=f"{value.why} ({place})")
    if not isinstance(value, dict):
        return RawRow(
            number=number, problem=f"is no JSON object ({place}); write one object a line"
        )
    return RawRow(number=number, values=value)


def _parse(line: str) -> Any:
    """The value of a line; `_Broken` when it has none."""
    try:
        # A number that is none stands for no value.
        return json.loads(line, object_pairs_hook=_once, parse_constant=lambda name: None)
    except _TwiceError as error:
        return _Broken(why=str(error))
    except json.JSONDecodeError as error:
        return _Broken(why=f"is not JSON: {error.msg} at character {error.colno}")
    except (ValueError, RecursionError) as error:
        return _Broken(why=f"is not JSON: {error}")


def _whole_list(text: str) -> list[Any] | None:
    """The entries of a list with at least one object; None for any other text."""
    entries = _parse(text)
    if not isinstance(entries, list):
        return None
    if not any(isinstance(entry, dict) for entry in entries):
        return None
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, in which no name stands twice."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise _TwiceError(f"names {name!r} twice; keep one")
        values[name] = value
    return values
