"""Which key chooses which label: no key twice, none that Label Studio uses itself, and every label has one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from voxdata.errors import AnnotationError

PLAY_KEY = "space"

TAKEN = frozenset({"u", "enter", "backspace", "delete", "escape"})
"""Single keys of Label Studio's own keymap (1.23.2) that act on a page with a player: u lets go of a region, the others edit it."""

ROWS = ("1234567890", "qwertyiop", "asdfghjkl", "zxcvbnm")
"""The keyboard's rows, without the keys that are taken."""


def with_shift(key: str) -> str:
    """The same key with Shift held, in Label Studio's spelling."""
    return f"shift+{key}"


def assign_hotkeys(
    rows: Mapping[str, int], extras: Mapping[str, int], *, doubled: Collection[str] = ()
) -> dict[str, tuple[str, ...]]:
    """Keys for each row of the screen.

    A row gets the first row of the keyboard that is whole and long enough. A row that finds none, and the extras, get keys
    that are left over, the lowest row first; when those run out, keys with Shift.

    Args:
        rows: Name of a row of the screen -> how many keys it needs, from the top.
        extras: As `rows`, for what needs no row of its own.
        doubled: Names of rows whose keys mean something else with Shift (the second choice), so nobody else gets those.

    Returns:
        Name -> keys, in Label Studio's spelling.

    Raises:
        AnnotationError: More keys are needed than the keyboard has.
    """
    free = [list(row) for row in ROWS]
    found: dict[str, tuple[str, ...]] = {}
    for name, count in rows.items():
        for keys, row in zip(free, ROWS, strict=True):
            if len(keys) == len(row) >= count:
                found[name] = tuple(keys[:count])
                del keys[:count]
                break
    plain = [key for keys in reversed(free) for key in keys]
    wanted = {name: count for name, count in {**rows, **extras}.items() if name not in found}
    # Those whose keys count twice choose first: they cannot have keys with Shift.
    for name in sorted(wanted, key=lambda name: name not in doubled):
        found[name], plain = tuple(plain[: wanted[name]]), plain[wanted[name] :]
    second = {key for name in doubled for key in found[name]}
    shifted = [with_shift(key) for row in reversed(ROWS) for key in row if key not in second]
    for name, count in wanted.items():
        missing = count - len(found[name])
        if missing > (0 if name in doubled else len(shifted)):
            raise AnnotationError(
                f"the keyboard has no keys left for {name!r}, which needs {count}; make the schemes smaller"
            )
        found[name], shifted = (*found[name], *shifted[:missing]), shifted[missing:]
    return found
