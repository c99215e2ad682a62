"""What each command costs as a workspace grows: CPU seconds, memory, and how long nobody can write.

    python -m benchmarks.scale [--sizes 10000,100000,1000000] [--only status,release] [--work DIR]

The rows are made up (`benchmarks.scale_rows`). Each command is a process of its own, begun as a
person begins it; `push` alone takes a queue that only counts, since a Label Studio of a million
clips is no part of what is measured. The bounds are those that the project set itself for a million
utterances, and the exit code is 1 when one of them is broken.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SIZES = "10000,100000,1000000"
BOUND_SIZE = 1_000_000
UNSENT = 100
VOXDATA = str(Path(sys.executable).with_name("voxdata"))
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took.

    Attributes:
        peak_mb: The largest resident size of one of its processes.
        held_s: The longest time at a stretch in which it alone could write.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    held_s: float
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command, and its bounds at `BOUND_SIZE` utterances.

    Attributes:
        before: What has to happen first, untimed; it gets the workspace and its size.
    """

    command: Sequence[str]
    cpu_s: float
    peak_mb: float = 0.0
    held_s: float = 0.0
    before: Callable[[Path, int], None] | None = None


def _in_child(root: Path, *words: str) -> list[str]:
    """A command of this benchmark that imports much: what imports it is no larger before it."""
    return [sys.executable, "-m", "benchmarks.scale", "--child", *words, "--work", str(root)]


def _add_unsent(root: Path, size: int) -> None:
    subprocess.run(_in_child(root, "unsent", str(size), str(UNSENT)), check=True)


def _release_before(root: Path, size: int) -> None:
    """The version before, and then more votes about one percent."""
    subprocess.run(
        [VOXDATA, "release", "calls"],
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    num_votes = str(max(size // 100, 1))
    subprocess.run(_in_child(root, "votes", num_votes), check=True)


TASKS: Mapping[str, Task] = {
    "status": Task(command=[VOXDATA, "status", "--json"], cpu_s=2),
    "prelabel --plan": Task(command=[VOXDATA, "prelabel", "--plan"], cpu_s=20),
    "ingest, nothing new": Task(command=[VOXDATA, "ingest"], cpu_s=60),
    "push, 100 clips to send": Task(
        command=[sys.executable, "-m", "benchmarks.scale", "--child", "push"],
        cpu_s=20,
        before=_add_unsent,
    ),
    "release, 1 % new": Task(
        command=[VOXDATA, "release", "calls"],
        cpu_s=60,
        peak_mb=2048,
        held_s=5,
        before=_release_before,
    ),
}


def run_task(task: Task, root: Path) -> Cost:
    """Run a command in a workspace."""
    watch = _Watch(root / "warehouse.duckdb")
    began = time.monotonic()
    with (root / "command.log").open("w") as log:
        process = subprocess.Popen(
            task.command,
            cwd=root,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        with watch:
            _, status, usage = os.wait4(process.pid, 0)
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - began,
        peak_mb=usage.ru_maxrss / 1024,
        held_s=watch.longest_s,
        exit_code=os.waitstatus_to_exitcode(status),
    )


class _Watch:
    """Looks, all the time, whether somebody has the warehouse open for writing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.longest_s = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        since: float | None = None
        while not self._over.wait(LOOK_EVERY_S):
            now = time.monotonic()
            if not _is_write_locked(self._path):
                since = None
            elif since is None:
                since = now
            else:
                self.longest_s = max(self.longest_s, now - since)


def _is_write_locked(path: Path) -> bool:
    """Whether a read lock would be refused; none is taken."""
    wanted = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    with path.open("rb") as file:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, wanted)
    return bool(struct.unpack("hhqqi", answer)[0] != fcntl.F_UNLCK)


def work_as_child(root: Path, task: str, *numbers: int) -> None:
    """What a child of this benchmark does in a workspace."""
    from benchmarks import scale_rows
    from flows.labelling.push import push_pending
    from flows.workspace import open_workspace

    workspace = open_workspace(root)
    if task == "make":
        scale_rows.make_workspace(workspace, *numbers)
        return
    if task == "push":
        push_pending(
            workspace,
            say=print,
            queue=scale_rows.CountingQueue(workspace),
        )
        return
    with workspace.warehouse() as con:
        if task == "votes":
            scale_rows.add_votes(con, workspace, 0, *numbers, round_=1)
        else:
            scale_rows.add_unsent(con, workspace, *numbers)


def main() -> None:
    """Print a row for each command and size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--only", default="", help="parts of names of commands")
    parser.add_argument("--work", type=Path, help="keep the workspaces here, and use them again")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        task, *numbers = options.child
        work_as_child(options.work or Path.cwd(), task, *map(int, numbers))
        return
    chosen = [part for part in options.only.split(",") if part]
    tasks = {
        name: task
        for name, task in TASKS.items()
        if not chosen or any(name.startswith(part) for part in chosen)
    }
    print("| utterances | command | CPU s | bound | peak MB | writer held s | wall s |")
    print("|---|---|---|---|---|---|---|")
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        for size in [int(text) for text in options.sizes.split(",")]:
            root = _workspace(options.work or Path(folder), size)
            for name, task in tasks.items():
                kept &= _measure(name, task, root, size)
    sys.exit(0 if kept else 1)


def _workspace(folder: Path, size: int) -> Path:
    root = folder / f"scale-{size}"
    done = root / "made-up"
    if done.exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [VOXDATA, "init", str(root)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    began = time.monotonic()
    subprocess.run(_in_child(root, "make", str(size)), check=True)
    done.touch()
    made_s = time.monotonic() - began
    print(f"made {root} in {made_s:.0f} s", file=sys.stderr)
    return root


def _measure(name: str, task: Task, root: Path, size: int) -> bool:
    """Print a row. Returns whether the bounds are kept."""
    if task.before is not None:
        task.before(root, size)
    cost = run_task(task, root)
    wall = f"{cost.wall_s:.0f}" if not cost.exit_code else f"failed ({root / 'command.log'})"
    bound = f"{task.cpu_s:g}" if size == BOUND_SIZE else ""
    cells = [f"{size:,}", name, f"{cost.cpu_s:.1f}", bound, f"{cost.peak_mb:.0f}"]
    print("| " + " | ".join([*cells, f"{cost.held_s:.1f}", wall]) + " |", flush=True)
    if size != BOUND_SIZE:
        return cost.exit_code == 0
    within = cost.cpu_s <= task.cpu_s
    within &= not task.peak_mb or cost.peak_mb <= task.peak_mb
    within &= not task.held_s or cost.held_s <= task.held_s
    return within and cost.exit_code == 0


if __name__ == "__main__":
    main()
