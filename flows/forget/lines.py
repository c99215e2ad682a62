"""Taking lines, or names, out of a text file."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from voxdata.durable import write_file
from warehouse.erase import ERASED


def keep_lines(path: Path, keep: Callable[[str], bool], *, in_place: bool = False) -> None:
    """Take lines out of a text file; in place, when a server appends to it."""
    if not path.exists():
        return
    text = path.read_bytes().decode("utf-8", "replace")
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []
    kept = [line for line in lines if keep(line)]
    if len(kept) == len(lines):
        return
    if in_place:
        with path.open("r+", encoding="utf-8") as file:
            file.writelines(kept)
            file.truncate()
        return
    write_file(path, "".join(kept).encode())


def take_out(path: Path, names: Collection[str]) -> None:
    """Write a text file again with `ERASED` where one of some names stood, if one does.

    The rest stays as it is.
    """
    if not path.is_file():
        return
    before = path.read_bytes()
    after = before
    for name in sorted(names, key=len, reverse=True):
        after = after.replace(name.encode(errors="surrogateescape"), ERASED.encode())
    if after != before:
        write_file(path, after)
