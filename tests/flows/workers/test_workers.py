"""Child processes that hang, die, swell, or only have to wait."""

import os
import signal
import time
from pathlib import Path

import pytest

from flows.workers.limits import Limits
from flows.workers.pool import WorkerPool, result_of
from voxdata.durable import write_file
from voxdata.errors import DropReason, MachineError, ShortageError, WorkerError


def double(value: int) -> int:
    return 2 * value


def hang(_value: int) -> int:
    time.sleep(60)
    return 0


def poll_for_ever(_value: int) -> int:
    while True:
        time.sleep(0.05)


def spin(seconds: float) -> float:
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass
    return seconds


def trickle(path: str) -> int:
    """Work that takes three seconds in all, and moves a byte now and then."""
    with Path(path).open("wb", buffering=0) as file:
        for _ in range(10):
            time.sleep(0.3)
            file.write(b"x")
    return 10


def die(_value: int) -> int:
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def be_killed(_value: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def swell(value: int) -> int:
    return len(bytearray(value))


def write_much(path: str, num_bytes: int) -> int:
    write_file(Path(path), bytes(num_bytes))
    return num_bytes


def threads(_value: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


def refuse(value: int) -> int:
    raise ValueError(f"no {value}")


def test_worker_pool_survives_children_that_hang_or_die() -> None:
    with WorkerPool(workers=2) as pool:
        bad = [
            (pool.submit(hang, 1, idle_s=1), DropReason.TIMED_OUT),
            (pool.submit(die, 1), DropReason.CRASHED),
        ]
        good = [pool.submit(double, n) for n in range(4)]
        for future, reason in bad:
            with pytest.raises(WorkerError) as caught:
                pool.result_of(future)
            assert caught.value.reason is reason
        assert [result_of(future) for future in good] == [0, 2, 4, 6]


def test_worker_pool_ends_a_child_that_only_polls() -> None:
    with WorkerPool(workers=1) as pool:
        with pytest.raises(WorkerError, match="nothing moved for 2 s"):
            pool.result_of(pool.submit(poll_for_ever, 1, idle_s=2))
        result = pool.result_of(pool.submit(double, 3, idle_s=2))
        assert result == 6


def test_worker_pool_lets_a_child_take_its_time_while_something_moves(tmp_path: Path) -> None:
    with WorkerPool(workers=1) as pool:
        slow = pool.submit(
            trickle,
            str(tmp_path / "x"),
            idle_s=1,
        )
        assert pool.result_of(slow) == 10


def test_worker_pool_lets_a_child_compute_for_longer_than_it_may_be_idle() -> None:
    with WorkerPool(workers=1) as pool:
        result = pool.result_of(pool.submit(spin, 2.5, idle_s=0.5, cpu_s=60))
        assert result == 2.5


@pytest.mark.slow
def test_worker_pool_limits_cpu_time_of_each_piece_of_work_and_not_of_the_child() -> None:
    with WorkerPool(workers=1) as pool:
        assert [pool.result_of(pool.submit(spin, 0.8, cpu_s=2)) for _ in range(4)] == [0.8] * 4
        with pytest.raises(WorkerError, match="more CPU time") as caught:
            pool.result_of(pool.submit(spin, 60, cpu_s=1))
        assert caught.value.reason is DropReason.TIMED_OUT


def test_worker_pool_limits_memory_and_hands_errors_on() -> None:
    with WorkerPool(
        workers=1,
        limits=Limits(memory_bytes=1 << 30),
    ) as pool:
        assert result_of(pool.submit(threads, 0)) == "1"
        with pytest.raises(ValueError, match="no 3"):
            result_of(pool.submit(refuse, 3))
        with pytest.raises(WorkerError) as caught:
            result_of(pool.submit(swell, 2 << 30))
        assert caught.value.reason is DropReason.OUT_OF_MEMORY
        assert result_of(pool.submit(double, 3)) == 6


def test_worker_pool_limits_the_size_of_files(tmp_path: Path) -> None:
    with WorkerPool(workers=1, limits=Limits(file_bytes=10_000)) as pool:
        result = result_of(pool.submit(write_much, str(tmp_path / "fits"), 10_000))
        assert result == 10_000
        with pytest.raises(WorkerError, match="a file of more than 10,000 bytes") as caught:
            result_of(pool.submit(write_much, str(tmp_path / "does not"), 10_001))
        assert caught.value.reason is DropReason.TOO_LONG
        names = [path.name for path in tmp_path.iterdir()]
        assert names == ["fits"]
    with WorkerPool(workers=1) as pool, pytest.raises(MachineError, match="No such file"):
        result_of(pool.submit(write_much, "/proc/none/x", 1))


def test_result_of_says_that_a_child_was_killed_from_outside() -> None:
    with WorkerPool(workers=1) as pool, pytest.raises(ShortageError) as caught:
        pool.result_of(pool.submit(be_killed, 1))
    assert caught.value.reason is DropReason.KILLED
