"""Whether a child process still gets on: its bytes move, or it works or waits for a processor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(slots=True, kw_only=True)
class _Seen:
    """A process when it was looked at last, and how long it has slept since its bytes moved."""

    at: float
    moved_bytes: int
    cpu_s: float
    idle_s: float = 0.0


class IdleWatch:
    """Adds up how long processes do nothing.

    Time counts while a process sleeps without using a processor, since its bytes moved last. So one
    that a busy machine lets wait its turn is never idle, nor one that computes: CPU time has a
    limit of its own.

    Args:
        longest_look_s: More than this never counts at once: whoever looks may have been asleep.
    """

    def __init__(self, *, longest_look_s: float = 2.0) -> None:
        self._longest_s = longest_look_s
        self._seen: dict[object, _Seen] = {}

    def look(self, key: object, pid: int) -> float:
        """Look at a process, and say for how many seconds it has been idle.

        Args:
            key: Names the work it does; other work of the same process begins again.
        """
        now = time.monotonic()
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times, moved_bytes = process.cpu_times(), _moved_bytes(process)
                waits = process.status() == psutil.STATUS_RUNNING
        except psutil.Error:
            return 0.0  # it has just ended, and whoever waits for it will hear so
        cpu_s = times.user + times.system
        last = self._seen.get(key)
        if last is None or moved_bytes != last.moved_bytes:
            self._seen[key] = _Seen(at=now, moved_bytes=moved_bytes, cpu_s=cpu_s)
            return 0.0
        if not waits and cpu_s == last.cpu_s:
            last.idle_s += min(now - last.at, self._longest_s)
        last.at, last.cpu_s = now, cpu_s
        return last.idle_s

    def forget(self, key: object) -> None:
        """The work is done."""
        self._seen.pop(key, None)


def _moved_bytes(process: psutil.Process) -> int:
    """Bytes it has read and written, cached ones too; 0 where the system does not tell."""
    try:
        counters: Any = process.io_counters()
    except (AttributeError, psutil.AccessDenied):
        return 0
    return int(getattr(counters, "read_chars", 0)) + int(getattr(counters, "write_chars", 0))
