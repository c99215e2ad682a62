"""What a child process may take: CPU time, memory and the size of its files, all counted by the
kernel.

Wall time is no limit, since it says how busy the machine is and not how hard a file: see
`flows.workers.idle`.
"""

from __future__ import annotations

import errno
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from voxdata.errors import MachineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What each child of a pool may take; None is no limit.

    Attributes:
        memory_bytes: Heap. Mapped files and reserved address space, which some libraries take in
            gigabytes and never touch, cost nothing.
        file_bytes: The longest file that it may write.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None


def limit_process(limits: Limits) -> None:
    """Hold this process to some limits. A limit that it has already stays, if it is lower."""
    _lower(resource.RLIMIT_DATA, limits.memory_bytes)
    _lower(resource.RLIMIT_FSIZE, limits.file_bytes)
    # A core would be a copy of whatever was being worked on.
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, wanted: int | None) -> None:
    _, hard = resource.getrlimit(kind)
    if wanted is not None and (hard == resource.RLIM_INFINITY or wanted < hard):
        resource.setrlimit(kind, (wanted, hard))


@contextmanager
def granted_cpu(seconds: float | None) -> Iterator[None]:
    """Let this process use so much CPU time inside, all threads together.

    It ends by SIGXCPU when it takes more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        until = math.ceil(used.ru_utime + used.ru_stime + seconds)
        unlimited = hard == resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_CPU, (until if unlimited else min(until, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def is_too_large(error: MachineError, limits: Limits) -> bool:
    """Whether a file became longer than these limits allow, and not than the machine's own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return (
        error.number == errno.EFBIG and limits.file_bytes is not None and soft == limits.file_bytes
    )
