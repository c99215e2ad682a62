"""Locks between processes of one workspace; each ends with the process that holds it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.workspace import Say
from voxdata.errors import ServiceError


@contextmanager
def hold_lock(path: Path, *, doing: str, say: Say, timeout_s: float = 600.0) -> Iterator[None]:
    """Let one process at a time do something; others wait and say so.

    Args:
        path: The lock file; made, with its folder, when absent.
        doing: What it is for, such as "pushing clips".

    Raises:
        ServiceError: Another process holds the lock for longer than `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline, told = time.monotonic() + timeout_s, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServiceError(f"another process has been {doing} for {timeout_s:.0f} s ({path}); stop it") from None
                if not told:
                    say(f"another process is {doing}; waiting for it")
                    told = True
                time.sleep(0.2)
        yield
