"""Which key chooses which label.

No key is given twice, none that Label Studio uses itself, and every label has one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain

from voxdata.errors import AnnotationError

PLAY_KEY = "space"

TAKEN = frozenset({"u", "enter", "backspace", "delete", "escape"})
"""Single keys of Label Studio's own keymap (1.23.2) that act on a page with a player.

u lets go of a region, the others edit it."""

Keys = tuple[str, ...]
"""In Label Studio's spelling."""

ROWS = ("1234567890", "qwertyiop", "asdfghjkl", "zxcvbnm")
"""The keyboard's rows, without the keys that are taken."""


def with_shift(key: str) -> str:
    """The same key with Shift held, in Label Studio's spelling."""
    return f"shift+{key}"


def assign_hotkeys(
    rows: Mapping[str, int],
    extras: Mapping[str, int],
    *,
    doubled: Collection[str] = (),
) -> dict[str, Keys]:
    """Keys for each row of the screen.

    A row gets the first row of the keyboard that is whole and long enough. A row that gets none,
    and the extras, get keys that are left over, the lowest row first; when those run out, keys with
    Shift.

    Args:
        rows: Name of a row of the screen -> how many keys it needs, from the top.
        extras: As `rows`, for what needs no row of its own.
        doubled: Names of rows whose keys mean something else with Shift (the second choice), so
            nobody else gets those.

    Returns:
        Name -> keys, in Label Studio's spelling.

    Raises:
        AnnotationError: More keys are needed than the keyboard has.
    """
    unused = [list(row) for row in ROWS]
    assigned = _assign_whole_rows(rows, unused)
    spare = list(chain.from_iterable(reversed(unused)))

    counts = {**rows, **extras}
    unplaced = {name: count for name, count in counts.items() if name not in assigned}
    # Those whose keys count twice choose first: they cannot have keys with Shift.
    for name in sorted(unplaced, key=lambda name: name not in doubled):
        count = unplaced[name]
        assigned[name] = tuple(spare[:count])
        del spare[:count]

    shifted = _free_with_shift(assigned, doubled)
    for name, count in unplaced.items():
        missing = count - len(assigned[name])
        available = 0 if name in doubled else len(shifted)
        if missing > available:
            raise AnnotationError(
                f"the keyboard has no keys left for {name!r}, which needs {count}; "
                "make the schemes smaller"
            )
        assigned[name] += tuple(shifted[:missing])
        del shifted[:missing]
    return assigned


def _assign_whole_rows(
    rows: Mapping[str, int],
    unused: list[list[str]],
) -> dict[str, Keys]:
    """Keys for rows of the screen that fit on an untouched row of the keyboard.

    The keys are taken out of `unused`, which has the keys that are left of each row.
    """
    assigned: dict[str, Keys] = {}
    for name, count in rows.items():
        for keys, row in zip(unused, ROWS, strict=True):
            is_whole = len(keys) == len(row)
            if is_whole and count <= len(row):
                assigned[name] = tuple(keys[:count])
                del keys[:count]
                break
    return assigned


def _free_with_shift(
    assigned: Mapping[str, Keys],
    doubled: Collection[str],
) -> list[str]:
    """Keys with Shift that no doubled row uses, the lowest row of the keyboard first."""
    used: set[str] = set()
    for name in doubled:
        used.update(assigned[name])
    every = chain.from_iterable(reversed(ROWS))
    return [with_shift(key) for key in every if key not in used]
