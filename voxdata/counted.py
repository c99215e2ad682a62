"""Numbers with what they count, as a sentence says it."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its noun, in the singular for one.

    Args:
        one: The noun, and what must agree with it, such as "clip is".
        many: The same of several; `one` with an "s" when empty.

    >>> counted(1, "clip"), counted(0, "clip"), counted(2, "entry keeps", "entries keep")
    ('1 clip', '0 clips', '2 entries keep')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
