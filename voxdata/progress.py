"""How far a long piece of work is."""

from __future__ import annotations

import re
from typing import Self

_COUNT = re.compile(r"\b(\d+)/(\d+)\b")


class Progress(str):
    """A line about work that goes on, and no result of it.

    It is text, so whoever takes lines takes it, too; what shows it to people may draw a bar
    instead, or leave it out.

    Attributes:
        done: How much is done.
        total: How much there is, in the same unit; 0 when nobody knows.
    """

    done: float
    total: float

    def __new__(cls, line: str, *, done: float = 0.0, total: float = 0.0) -> Self:
        """See the class."""
        progress = super().__new__(cls, line)
        progress.done, progress.total = done, total
        return progress


def read_progress(line: str) -> str:
    """A line of another process, as `Progress` when it counts.

    >>> progress = read_progress("train: features: 32/180 clips")
    >>> progress.done, progress.total
    (32.0, 180.0)
    """
    count = _COUNT.search(line)
    if count is None:
        return line
    return Progress(line, done=float(count[1]), total=float(count[2]))
