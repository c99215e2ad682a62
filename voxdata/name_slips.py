"""A new name that is probably a known one, mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from voxdata.name_key import name_key

LONG = 8
"""From so many letters on, two of them may be wrong."""


def find_meant_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody may have meant, the nearest first.

    A slip is one letter (two in a long name) that is wrong, missing, too much or has changed places
    with its neighbour; case, spaces, "-" and "_" count for nothing. Names that differ in their
    numbers alone are numbered on purpose.

    Returns:
        None when the name is a known one, or is like none.

    >>> find_meant_name("cals", ["calls", "demo"])
    'calls'
    >>> find_meant_name("calls-2", ["calls-1"]) is None
    True
    >>> find_meant_name("calls", ["calls"]) is None
    True
    """
    known_names = list(known)
    if name in known_names:
        return None

    key = _key(name)
    near: list[tuple[int, str]] = []
    for known_name in known_names:
        slips = _slips(key, _key(known_name))
        if slips is not None:
            near.append((slips, known_name))
    return min(near)[1] if near else None


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name_key(name).casefold())


def _slips(left: str, right: str) -> int | None:
    """How many slips make one key of the other; None when there are too many."""
    if left != right and _without_numbers(left) == _without_numbers(right):
        return None
    longest = max(len(left), len(right))
    allowed = 2 if longest >= LONG else 1
    if abs(len(left) - len(right)) > allowed:
        return None
    distance = _distance(left, right)
    return distance if distance <= allowed else None


def _without_numbers(key: str) -> str:
    return re.sub(r"\d+", "0", key)


def _distance(left: str, right: str) -> int:
    """Edits between two keys, an exchange of neighbours being one (optimal string alignment)."""
    rows = [list(range(len(right) + 1))]
    for i, left_letter in enumerate(left, start=1):
        above = rows[-1]
        row = [i]
        for j, right_letter in enumerate(right, start=1):
            replaced = above[j - 1] + (left_letter != right_letter)
            cost = min(above[j] + 1, row[-1] + 1, replaced)
            if i > 1 and j > 1 and left_letter == right[j - 2] and left[i - 2] == right_letter:
                exchanged = rows[-2][j - 2] + 1
                cost = min(cost, exchanged)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
