"""Which errors speak of the machine, and what is to be done about each.

A machine's fault is never a file's fault.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import resource
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from voxdata.errors import MachineError, ShortageError

_LESS_WORK = "let fewer processes work at once ([sources] workers, [prelabel] workers)"
_CONNECT = "see that its disk is there and sound, then"
_ANOTHER_PLACE = "name another place under [storage] in voxdata.toml"
_NAME_A_FOLDER = f"a part of that path is no folder or cannot be made: {_ANOTHER_PLACE}"

REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "the quota is used up: make room there, or raise it",
    errno.EROFS: f"have it mounted for writing, or {_ANOTHER_PLACE}",
    errno.EFBIG: "raise the limit of file sizes (`ulimit -f`)",
    errno.EMFILE: f"raise the limit of open files (`ulimit -n`), or {_LESS_WORK}",
    errno.ENFILE: f"raise the machine's limit of open files, or {_LESS_WORK}",
    errno.ENOMEM: f"free memory, or {_LESS_WORK}",
    errno.EAGAIN: f"raise the limit of processes (`ulimit -u`), or {_LESS_WORK}",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
    errno.ENOTDIR: _NAME_A_FOLDER,
    errno.EEXIST: _NAME_A_FOLDER,
    errno.EISDIR: _NAME_A_FOLDER,
    errno.ENAMETOOLONG: _NAME_A_FOLDER,
}
"""What helps when something of ours cannot be written or read.

For any other error the disk is to be looked at.
"""

EVERYWHERE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EFBIG,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)
"""These speak of the machine, whatever was being read or written."""

EXIT_CODE = 75
"""Of a process of ours that could not go on through the machine's fault (EX_TEMPFAIL).

Its last line says why.
"""

OWN_ENDS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGABRT,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
        signal.SIGXCPU,
    }
)
"""A process dies like this by a fault in what it runs; every other signal comes from outside."""

ENOUGH_BYTES = 1 << 30
"""A machine that refuses so much is short of memory, in a process without a limit of its own."""

_OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "OutOfMemoryException",
    "std::bad_alloc",
    "CUDA out of memory",
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")

AGAIN = "run the command again; nothing was recorded about what it did not get to"


def machine_error(place: Path | str, error: BaseException) -> MachineError:
    """What the system said about a place of ours, with the remedy."""
    number = getattr(error, "errno", None) or named_errno(str(error), among=REMEDIES) or 0
    words = getattr(error, "strerror", None)
    if not words:
        lines = str(error).splitlines() or [type(error).__name__]
        words = lines[0].strip()
        if number and os.strerror(number) not in words:
            words = f"{words} {os.strerror(number)}"
    remedy = f"{REMEDIES[number]}, then" if number in REMEDIES else _CONNECT
    return MachineError(f"{place}: {words}; {remedy} {AGAIN}", number=number)


def find_fault(error: BaseException, *, place: Path | str = "") -> MachineError | None:
    """The machine's part in an error, in it or in what caused it; None when there is none.

    Libraries that hide the number of a system's error mostly repeat its words, so these count too.

    Args:
        place: What was being worked on, where the error does not name it.
    """
    for cause in _chain(error):
        if isinstance(cause, MachineError):
            return cause
        if isinstance(cause, OSError) and cause.errno:
            number: int | None = cause.errno
        else:
            number = named_errno(str(cause))
        if number == errno.ENOMEM or _is_out_of_memory(cause):
            remedy = REMEDIES[errno.ENOMEM]
            return ShortageError(
                f"{place or 'this process'}: memory ran out; {remedy}, then {AGAIN}"
            )
        if number in EVERYWHERE:
            named_place = getattr(cause, "filename", None)
            return machine_error(named_place or place or "this machine", cause)
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    return any(name in repr(error) for name in _OUT_OF_MEMORY)


def named_errno(text: str, *, among: Collection[int] = EVERYWHERE) -> int | None:
    """Which error of the system a message repeats in the system's words.

    >>> named_errno("IO Error: Could not write file: No space left on device") == errno.ENOSPC
    True
    """
    unnamed = _QUOTED.sub("", text)  # a file may be called anything
    for number in sorted(among):
        if os.strerror(number) in unnamed:
            return number
    return None


def memory_is_short() -> bool:
    """Whether the machine refuses memory that this process may have by its own limit, RLIMIT_DATA.

    Asked after an allocation failed. When only what was being worked on wanted too much, the answer
    is no.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    left = ENOUGH_BYTES
    if limit != resource.RLIM_INFINITY:
        left = (limit - _data_bytes()) * 9 // 10
    if left < mmap.PAGESIZE:
        return False
    try:
        mmap.mmap(-1, left, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return True
    return False


def ended_from_outside(code: int) -> bool:
    """Whether a process was ended by the system or by somebody.

    Args:
        code: Its exit code, negative for a signal.
    """
    return code < 0 and -code not in OWN_ENDS


def out_of_cpu(code: int) -> bool:
    """Whether a process with this exit code had used up the CPU time that it was granted."""
    return code == -signal.SIGXCPU


def memory_bytes() -> int:
    """Memory that this process may come to have.

    It is the machine's, or less where the process's control group may have less.
    """
    machine_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = _group_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return min([machine_bytes, *limits])


def _group_limits(membership: Path, root: Path) -> list[int]:
    """What control groups allow, this process's own and all above it.

    Empty where there are none.
    """
    try:
        lines = membership.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    limits: list[int] = []
    for line in lines:
        _, kinds, name = line.split(":", 2)
        if not kinds:
            tree = root
            file = "memory.max"
        elif "memory" in kinds.split(","):
            tree = root / "memory"
            file = "memory.limit_in_bytes"
        else:
            continue
        own = Path(name.lstrip("/"))
        for group in (own, *own.parents):
            with suppress(OSError, ValueError):  # "max" is no number
                limit = (tree / group / file).read_text(encoding="ascii")
                limits.append(int(limit))
    return limits


def _data_bytes() -> int:
    """What counts against RLIMIT_DATA; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        if line.startswith("VmData:"):
            kilobytes = line.split()[1]
            return int(kilobytes) * 1024
    return 0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what caused it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        context = None if cause.__suppress_context__ else cause.__context__
        cause = cause.__cause__ or context
