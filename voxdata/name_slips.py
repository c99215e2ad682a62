"""A new name that is probably a known one, mistyped."""

from __future__ import annotations

import re
from collections.abc import Iterable

from voxdata.name_key import name_key

LONG = 8
"""From so many letters on, two of them may be wrong."""


def find_meant_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that somebody may have meant, the nearest first.

    None when the name is known, or like none.

    A slip is one letter (two in a long name) that is wrong, missing, too much or has changed places
    with its neighbour; case, spaces, "-" and "_" count for nothing. Names that differ in their
    numbers alone are numbered on purpose.

    >>> find_meant_name("cals", ["calls", "demo"]), find_meant_name("calls-2", ["calls-1"]), find_meant_name("calls", ["calls"])
    ('calls', None, None)
    """
    there = list(known)
    if name in there:
        return None
    wanted = _key(name)
    near = [
        (distance, other)
        for other in there
        if (distance := _slips(wanted, _key(other))) is not None
    ]
    return min(near)[1] if near else None


def _key(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name_key(name).casefold())


def _slips(one: str, other: str) -> int | None:
    """How many slips make one key of another; None when there are too many."""
    if one != other and re.sub(r"\d+", "0", one) == re.sub(r"\d+", "0", other):
        return None
    allowed = 2 if max(len(one), len(other)) >= LONG else 1
    if abs(len(one) - len(other)) > allowed:
        return None
    distance = _distance(one, other)
    return distance if distance <= allowed else None


def _distance(one: str, other: str) -> int:
    """Edits between two keys, an exchange of neighbours being one (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, left in enumerate(one, start=1):
        row = [i]
        for j, right in enumerate(other, start=1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (left != right))
            if i > 1 and j > 1 and left == other[j - 2] and one[i - 2] == right:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]
