"""Child processes that may hang or die without taking the run along.

Source: pebble, whose pool replaces a worker that was killed and stops one that takes too long; the
standard library's breaks as a whole.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from flows.workers.idle import IdleWatch
from flows.workers.limits import Limits, granted_cpu, is_too_large, limit_process
from voxdata.errors import DropReason, MachineError, ShortageError, WorkerError
from voxdata.machine import (
    AGAIN,
    ended_from_outside,
    find_fault,
    machine_error,
    memory_is_short,
    out_of_cpu,
)

R = TypeVar("R")

NO_LIMITS = Limits()

_PR_SET_PDEATHSIG = 1
POLL_S = 0.5
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerPool:
    """A few child processes, one thread each; use it as a context manager.

    Args:
        workers: How many.
        limits: What each may take.

    A function and its arguments are pickled; the child imports the function's module, once.
    """

    def __init__(self, *, workers: int, limits: Limits = NO_LIMITS) -> None:
        self.workers = workers
        self._limits = limits
        self._idle_s: dict[Future[Any], float] = {}
        self._watch = IdleWatch()
        # Spawned, never forked: DuckDB, torch and Prefect hold threads in the parent.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(
            max_workers=workers, initializer=_prepare_child, initargs=(limits,), context=context
        )
        starter = self._pool._pool_manager.worker_manager
        starter.create_workers = _breaking(starter.create_workers)  # type: ignore[method-assign]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._pool.close()  # type: ignore[no-untyped-call]
        else:
            self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def submit(
        self,
        function: Callable[..., R],
        /,
        *args: Any,
        cpu_s: float | None = None,
        idle_s: float | None = None,
    ) -> Future[R]:
        """Have a child call `function(*args)`.

        Args:
            cpu_s: The system ends the child when it takes more CPU time than this.
            idle_s: The child is ended when it does nothing for so long; waiting in the queue, or
                for a processor, does not count.
        """
        try:
            future: Future[R] = self._pool.schedule(
                _call, args=[function, args, self._limits, cpu_s]
            )
        except (OSError, BrokenProcessPool, RuntimeError) as error:
            raise _not_started(error) from error
        if idle_s is not None:
            self._idle_s[future] = idle_s
        return future

    def result_of(self, future: Future[R]) -> R:
        """Wait for a child's answer.

        Raises:
            WorkerError: The child hung, crashed, or took more than it may.
            ShortageError: The child was ended from outside, as the system does when memory runs
                out, or got none.
            MachineError: No child can be started, or the machine lacks something else.
            Exception: Whatever the function raised.
        """
        while not wait([future], timeout=POLL_S).done:
            self._look()
        return result_of(future)

    def wait_for_some(self, futures: Collection[Future[R]]) -> list[Future[R]]:
        """Wait until children have answered, and say which of their answers are there.

        Raises:
            MachineError: No child can be started.
        """
        while not (done := wait(futures, timeout=POLL_S, return_when=FIRST_COMPLETED).done):
            self._look()
        return list(done)

    def _look(self) -> None:
        """See that the pool works, and end children that hang.

        Raises:
            MachineError: No child can be started.
        """
        if not self._pool.active:
            raise _not_started(None)
        self._idle_s = {
            future: idle_s for future, idle_s in self._idle_s.items() if not future.done()
        }
        for task in list(self._pool._pool_manager.task_manager.tasks.values()):
            allowed_s = self._idle_s.get(task.future)
            if allowed_s is None or not task.started or not task.worker_id:
                continue
            if self._watch.look(task.id, task.worker_id) > allowed_s:
                # It has been at work for longer than that, so the pool stops it.
                task.timeout = allowed_s
                self._watch.forget(task.id)


def result_of(future: Future[R]) -> R:
    """A child's answer, once it is there; see `WorkerPool.result_of`."""
    try:
        return future.result()
    except ProcessExpired as error:
        code = int(getattr(error, "exitcode", 0) or 0)
        if out_of_cpu(code):
            why = "it took more CPU time than it is granted"
            raise WorkerError(why, reason=DropReason.TIMED_OUT) from error
        if not ended_from_outside(code):
            raise WorkerError(
                f"the process working on it died ({_how(error)})", reason=DropReason.CRASHED
            ) from error
        why = (
            f"the process working on it was ended from outside ({_how(error)}), "
            "as the system does when memory runs out"
        )
        remedy = "free memory or let fewer processes work at once"
        raise ShortageError(f"{why}; {remedy}, then {AGAIN}", reason=DropReason.KILLED) from error
    except BrokenProcessPool as error:
        raise _not_started(error) from error
    except TimeoutError as error:
        seconds = error.args[1] if len(error.args) > 1 else None
        says = f" for {seconds:g} s" if isinstance(seconds, int | float) else ""
        why = f"nothing moved{says}, and the process working on it was stopped"
        raise WorkerError(why, reason=DropReason.TIMED_OUT) from error
    except MemoryError as error:
        raise WorkerError(
            "it needs more memory than a worker is allowed", reason=DropReason.OUT_OF_MEMORY
        ) from error


def _call(
    function: Callable[..., R], arguments: Sequence[Any], limits: Limits, cpu_s: float | None
) -> R:
    """In the child: do the work, and tell what the machine lacks from what the work may not
    have.
    """
    try:
        with granted_cpu(cpu_s):
            return function(*arguments)
    except MachineError as error:
        if is_too_large(error, limits):
            why = f"it needs a file of more than {limits.file_bytes or 0:,} bytes"
            raise WorkerError(why, reason=DropReason.TOO_LONG) from None
        raise
    except MemoryError as error:
        fault = find_fault(error)
        if fault is not None and memory_is_short():
            raise fault from None
        raise


def _breaking(create_workers: Callable[[], None]) -> Callable[[], None]:
    """Have a pool that can start no process break, so that its work fails.

    Its own thread would die, and the work wait forever.
    """

    def create() -> None:
        try:
            create_workers()
        except OSError as error:
            raise BrokenProcessPool(str(error)) from error

    return create


def _not_started(error: BaseException | None) -> MachineError:
    place = "processes that work on files cannot be started"
    cause = error.__cause__ if isinstance(error, BrokenProcessPool) else error
    if isinstance(cause, OSError):
        return machine_error(place, cause)
    return MachineError(
        f"{place} or die at once ({error or 'no message'}); "
        f"`voxdata doctor` names what is missing. Then {AGAIN}"
    )


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


def _prepare_child(limits: Limits) -> None:
    """Run in each child before anything else is imported there."""
    for name in _ONE_THREAD:
        os.environ[name] = "1"
    if sys.platform == "linux":
        # A killed parent takes its children along, so that nothing works on unseen.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer.
    limit_process(limits)
