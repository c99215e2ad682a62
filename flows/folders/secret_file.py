"""Secrets of a workspace: files that their owner alone can read, made once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

PRIVATE = 0o600


def read_or_make_secret(path: Path, make: Callable[[], str]) -> str:
    """The text of a secret file; it is made when it is not there.

    The file appears whole or not at all, so that of two who make it at once both read the same.

    Args:
        path: The path of the file.
        make: Gives the text of a new one.
    """
    if path.exists():
        return path.read_text(encoding="utf-8")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{token_hex(4)}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # Somebody else was faster, and theirs counts.
    finally:
        draft.unlink()
    return path.read_text(encoding="utf-8")
