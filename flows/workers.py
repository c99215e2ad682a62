"""Child processes that may hang or die without taking the run along.

Source: pebble, whose pool replaces a worker that was killed and stops one that takes too long; the standard library's breaks as a whole.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from voxdata.errors import DropReason, WorkerError

R = TypeVar("R")

_PR_SET_PDEATHSIG = 1
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerPool:
    """A few child processes, one thread each; use it as a context manager.

    Args:
        workers: How many.
        memory_bytes: Heap each may have; None sets no limit.

    A function and its arguments are pickled; the child imports the function's module, once.
    """

    def __init__(self, *, workers: int, memory_bytes: int | None = None) -> None:
        self.workers = workers
        # Spawned, never forked: DuckDB, torch and Prefect hold threads in the parent.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=workers, initializer=_prepare_child, initargs=(memory_bytes,), context=context)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def submit(self, function: Callable[..., R], /, *args: Any, timeout_s: float | None = None) -> Future[R]:
        """Have a child call `function(*args)`.

        Args:
            timeout_s: The child is killed when it works longer than this; waiting in the queue does not count.
        """
        future: Future[R] = self._pool.schedule(function, args=list(args), timeout=timeout_s)
        return future


def result_of(future: Future[R]) -> R:
    """Wait for a child's answer.

    Raises:
        WorkerError: The child hung, died or ran out of memory.
        Exception: Whatever the function raised.
    """
    try:
        return future.result()
    except ProcessExpired as error:
        raise WorkerError(f"the process working on it died ({_how(error)})", reason=DropReason.CRASHED) from error
    except TimeoutError as error:
        seconds = error.args[1] if len(error.args) > 1 else None
        says = f" after {seconds:g} s" if isinstance(seconds, int | float) else ""
        raise WorkerError(f"the process working on it hung and was stopped{says}", reason=DropReason.TIMED_OUT) from error
    except MemoryError as error:
        raise WorkerError("it needs more memory than a worker is allowed", reason=DropReason.OUT_OF_MEMORY) from error


def count_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _how(error: Any) -> str:
    code = int(getattr(error, "exitcode", 0) or 0)
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _prepare_child(memory_bytes: int | None) -> None:
    """Run in each child before anything else is imported there."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    if sys.platform == "linux":
        # A killed parent takes its children along, so that nothing works on unseen.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer.
    if memory_bytes is not None:
        # Heap only: mapped files and reserved address space cost nothing.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
