"""Locks between processes of one workspace; each ends with the process that holds it."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.workspace import Say, Workspace
from voxdata.errors import ServiceError
from voxdata.progress import Progress

FORGET = "forget"
PUSH = "push"
COPY = "copy"


@contextmanager
def hold_lock(
    path: Path, *, doing: str, say: Say, timeout_s: float = 600.0, shared: bool = False
) -> Iterator[None]:
    """Let one process at a time do something; others wait and say so.

    Args:
        path: The lock file; made, with its folder, when absent.
        doing: What the others do who hold it, such as "pushing clips".
        shared: Others that share it may hold it at the same time.

    Raises:
        ServiceError: Another process holds the lock for longer than `timeout_s`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline, told = time.monotonic() + timeout_s, False
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"another process has been {doing} for {timeout_s:.0f} s ({path}); stop it"
                    ) from None
                if not told:
                    say(Progress(f"another process is {doing}; waiting for it"))
                    told = True
                time.sleep(0.2)
        yield


@contextmanager
def alone(workspace: Workspace, *, say: Say, timeout_s: float = 600.0) -> Iterator[None]:
    """Forget somebody while nobody else forgets, pushes clips, or copies what people said into
    files.

    Args:
        timeout_s: How long to wait for whoever forgets; a whole workspace may be searched
            meanwhile.

    Raises:
        ServiceError: Somebody does for longer than one waits.
    """
    locks = (
        (FORGET, "forgetting somebody"),
        (PUSH, "pushing clips"),
        (COPY, "writing files of what people said"),
    )
    with ExitStack() as held:
        for name, doing in locks:
            patience_s = timeout_s if name == FORGET else 600.0
            lock = workspace.state_dir / f"{name}.lock"
            held.enter_context(hold_lock(lock, doing=doing, say=say, timeout_s=patience_s))
        yield


@contextmanager
def pushing(workspace: Workspace, *, say: Say) -> Iterator[None]:
    """Give out clips, or write answers to them, while nobody else does and nobody is forgotten.

    Raises:
        ServiceError: Somebody else does for longer than one waits.
    """
    with hold_lock(workspace.state_dir / f"{PUSH}.lock", doing="pushing clips", say=say):
        yield


@contextmanager
def copying(workspace: Workspace, *, say: Say) -> Iterator[None]:
    """Read what people said and write it to files, such as an export or a report, while nobody is
    forgotten: what is written is there when somebody is, or it lacks them.

    Raises:
        ServiceError: Somebody is being forgotten for longer than one waits.
    """
    with hold_lock(
        workspace.state_dir / f"{COPY}.lock", doing="forgetting somebody", say=say, shared=True
    ):
        yield
