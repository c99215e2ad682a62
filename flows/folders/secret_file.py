"""Secrets of a workspace: files that their owner alone can read, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from voxdata.durable import create_file, sync, writing

PRIVATE = 0o600


def read_or_make_secret(path: Path, make: Callable[[], str]) -> str:
    """The text of a secret file; it is made when it is not there.

    The file appears whole or not at all, so that of two who make it at once both read the same.

    Args:
        path: The path of the file.
        make: Gives the text of a new one.

    Raises:
        MachineError: It cannot be written.
    """
    if path.exists():
        return path.read_text(encoding="utf-8")
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Where somebody else was faster, theirs counts.
    create_file(path, make().encode(), mode=PRIVATE)
    sync(path.parent)
    return path.read_text(encoding="utf-8")
