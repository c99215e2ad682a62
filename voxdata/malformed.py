"""Which field of a stored row is at fault, in words: asked only after reading it has failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Readers = Mapping[str, tuple[Callable[[Any], object], str]]
"""Field -> how it is read, and what it should be, such as "a whole number"."""

FAULTS = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)
"""What reading JSON that somebody changed can raise."""

MAX_SHOWN = 60


def name_fault(row: object, readers: Readers, error: Exception) -> str:
    """Say what keeps a row of JSON values from being read.

    >>> name_fault({"channel": "left"}, {"channel": (int, "a whole number")}, ValueError())
    "field 'channel' is 'left' and should be a whole number"
    >>> name_fault({}, {"channel": (int, "a whole number")}, KeyError("channel"))
    "field 'channel' is missing"

    Args:
        readers: The readers of every field that it needs.
        error: What reading it has raised; its words are used when every field is well by itself.
    """
    if not isinstance(row, Mapping):
        return f"it is {_shown(row)} and should be a JSON object"
    for name, (read, wanted) in readers.items():
        if name not in row:
            return f"field {name!r} is missing"
        try:
            read(row[name])
        except FAULTS:
            return f"field {name!r} is {_shown(row[name])} and should be {wanted}"
    return in_words(error)


def parse_json(text: str) -> Any:
    """What a line of JSON holds.

    Raises:
        ValueError: It is none; says so in words, with the place.

    >>> parse_json('{"a": 1')
    Traceback (most recent call last):
    ValueError: it is no JSON: Expecting ',' delimiter at character 8
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("it is no JSON of ours: it is nested too deeply") from error


def in_words(error: Exception) -> str:
    """An exception of reading stored values without Python's names.

    >>> in_words(KeyError("root"))
    "field 'root' is missing"
    """
    if isinstance(error, KeyError) and error.args:
        return f"field {error.args[0]!r} is missing"
    return str(error) or "it is of another form"


def as_mapping(value: object) -> Mapping[str, object]:
    """A JSON object; ValueError on anything else."""
    if not isinstance(value, Mapping):
        raise ValueError("it is no object")
    return value


def as_list(value: object) -> list[object]:
    """A JSON list; ValueError on anything else."""
    if not isinstance(value, list):
        raise ValueError("it is no list")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
