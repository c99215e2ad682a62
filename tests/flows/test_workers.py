"""Child processes that hang, die or swell."""

import os
import signal
import time

import pytest

from flows.workers import WorkerPool, result_of
from voxdata.errors import DropReason, WorkerError


def double(value: int) -> int:
    return 2 * value


def hang(_value: int) -> int:
    time.sleep(60)
    return 0


def die(_value: int) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def swell(value: int) -> int:
    return len(bytearray(value))


def threads(_value: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def refuse(value: int) -> int:
    raise ValueError(f"no {value}")


def test_worker_pool_survives_children_that_hang_or_die() -> None:
    with WorkerPool(workers=2) as pool:
        bad = [(pool.submit(hang, 1, timeout_s=1), DropReason.TIMED_OUT), (pool.submit(die, 1), DropReason.CRASHED)]
        good = [pool.submit(double, n) for n in range(4)]
        assert [result_of(future) for future in good] == [0, 2, 4, 6]
        for future, reason in bad:
            with pytest.raises(WorkerError) as caught:
                result_of(future)
            assert caught.value.reason is reason


def test_worker_pool_limits_memory_and_hands_errors_on() -> None:
    with WorkerPool(workers=1, memory_bytes=1 << 30) as pool:
        assert result_of(pool.submit(threads, 0)) == "1"
        with pytest.raises(ValueError, match="no 3"):
            result_of(pool.submit(refuse, 3))
        with pytest.raises(WorkerError) as caught:
            result_of(pool.submit(swell, 2 << 30))
        assert caught.value.reason is DropReason.OUT_OF_MEMORY
        assert result_of(pool.submit(double, 3)) == 6
