"""Taking lines out of a text file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from voxdata.durable import write_file


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
