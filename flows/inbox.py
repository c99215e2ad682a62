"""A watched inbox: files are named once they have stopped growing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from watchfiles import watch

from flows.ingest import source_patterns
from flows.workspace import Say, Workspace
from voxdata.errors import ConfigError

STILL_S = 2.0
"""A file whose size and time did not change for so long has arrived."""

LOOK_BACK_S = 60.0
"""Files this young when watching begins may have arrived since they were last listed."""


def watch_inbox(workspace: Workspace, patterns: Sequence[str], *, say: Say, poll_ms: int = 500) -> Iterator[list[str]]:
    """Watch folders, and name the files that arrive or change, a batch at a time; ends with Ctrl-C.

    Args:
        patterns: Local folders; without any, the inbox of voxdata.toml.

    Raises:
        ConfigError: A pattern is no folder on this machine.
    """
    folders = [Path(pattern) for pattern in source_patterns(workspace, patterns)]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"{folder}: only folders on this machine can be watched; a store is read by the schedule of `voxdata up`")
    say(f"ingest: watching {', '.join(map(str, folders))}; Ctrl-C ends it")
    arrived = Arrivals(still_s=STILL_S)
    for folder in folders:
        arrived.see([path for path in folder.rglob("*") if _is_young(path)])
    for changes in watch(*folders, watch_filter=None, rust_timeout=poll_ms, yield_on_timeout=True, raise_interrupt=False):
        arrived.see([Path(name) for _, name in changes])
        if settled := arrived.settled():
            yield settled


class Arrivals:
    """Which of the files seen have stopped changing."""

    def __init__(self, *, still_s: float) -> None:
        self._still_s = still_s
        self._waiting: dict[Path, tuple[tuple[int, int], float]] = {}

    def see(self, paths: Sequence[Path]) -> None:
        """Something happened to these files."""
        for path in paths:
            self._waiting[path] = ((-1, -1), time.monotonic())

    def settled(self) -> list[str]:
        """Files that are as they were for `still_s`, by name, each once; those that are gone are forgotten."""
        now, found = time.monotonic(), []
        for path, (before, since) in sorted(self._waiting.items()):
            try:
                info = path.stat()
            except OSError:
                del self._waiting[path]
                continue
            state = (info.st_size, info.st_mtime_ns)
            if state != before:
                self._waiting[path] = (state, now)
            elif now - since >= self._still_s:
                del self._waiting[path]
                if path.is_file():
                    found.append(str(path))
        return found


def _is_young(path: Path) -> bool:
    try:
        return path.is_file() and time.time() - path.stat().st_mtime < LOOK_BACK_S
    except OSError:
        return False
