"""Where `test_loop_machine` runs: its calls, its fakes, and processes that are killed for real."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from duckdb import DuckDBPyConnection

import flows.forget.erase_steps
import flows.forget.tables
import flows.ingest.flow
import flows.labelling.pull
import flows.prelabel.flow
import voxdata.durable
import warehouse.compact
import warehouse.connection
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.forget.flow import forget, require_gone
from flows.labelling.push import PushSummary, push_pending
from flows.labelling.queues import open_project
from flows.release.flow import ReleaseSummary, release_version
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import quiet
from voxdata.errors import LockedError, VoxdataError, WarehouseError
from voxdata.identity import digest
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.batches import staged_rows
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle
from warehouse.snapshot import take_snapshot

RATE_HZ = 8_000
EDGE = RATE_HZ // 50
PAD_MS = 100
"""Around the words of an utterance: the default of [utterance]."""

MIN_CLIP_MS = 300
"""Shorter utterances are not given out: the default of [annotation] min_clip_ms."""

SETTINGS = """
[sources]
inbox = ["inbox"]
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[prelabel]
batch_minutes = 0.1
[privacy]
scanner = ""
mask = false
[quality]
mos = ""
[annotation]
check_share = 0.0
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{ name = "ask" }, { name = "tell" }]
[training]
schemes = []
"""

PEOPLE: dict[str, Any] = {}
"""The queue in which people label, as this process reaches it."""

Step = Callable[[Workspace], Any]
"""What a process does; it can be pickled."""


class Killed(BaseException):
    """A process that ends here; not an Exception, as nothing may catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that comes in, and what is to be heard in it.

    Attributes:
        bursts: (channel, start, end) of what is said, in ms.
        loudness: Of the bursts: 0.001 is sound in which the diarizer hears nobody.
    """

    length_ms: int
    bursts: tuple[tuple[int, int, int], ...]
    channels: int = 1
    loudness: float = 0.1

    @property
    def sound_ms(self) -> int:
        """Of all its channels."""
        return self.length_ms * self.channels

    @property
    def heard(self) -> list[tuple[int, int, int]]:
        """(channel, start, end) of its utterances, in ms: words with some room around them."""
        if self.loudness < 0.01:
            return []
        return [
            (channel, max(start - PAD_MS, 0), start + _words_ms(end - start) + PAD_MS)
            for channel, start, end in self.bursts
        ]

    def utterances(self, recording_id: str) -> dict[str, int]:
        """Utterance -> its length in ms, whether anybody has cut it yet or not."""
        return {
            digest(recording_id, channel, start, end): end - start
            for channel, start, end in self.heard
        }


def _words_ms(spoken_ms: int) -> int:
    """Where the last word ends of those that the fake transcriber hears, one in half a second."""
    return min((spoken_ms - 1) // 500 * 500 + 400, spoken_ms)


CALLS = (
    Call(length_ms=2_000, bursts=((0, 0, 1_000),)),
    Call(
        length_ms=5_600,
        bursts=(
            (0, 0, 100),
            (0, 1_100, 2_300),
            (0, 3_300, 4_500),
        ),
    ),
    Call(length_ms=2_400, bursts=((0, 0, 1_400),)),
    Call(
        length_ms=5_000,
        channels=2,
        bursts=(
            (1, 0, 100),
            (0, 1_000, 2_600),
            (1, 3_000, 3_800),
        ),
    ),
    Call(
        length_ms=2_000,
        bursts=((0, 0, 1_000),),
        loudness=0.001,
    ),
    Call(
        length_ms=2_000,
        bursts=((0, 0, 1_000),),
        loudness=0,
    ),
)
SILENT = 5
BROKEN = len(CALLS)
"""One more file that comes in is no audio; how long it would have been nobody knows."""


def write_call(path: Path, number: int) -> None:
    """Bursts of noise; how many and how long is the number's."""
    if number == BROKEN:
        path.write_bytes(b"this is no audio " * 40)
        return
    call = CALLS[number]
    rng = np.random.default_rng(number)
    sound = np.zeros((call.length_ms * RATE_HZ // 1_000, call.channels))
    for channel, *bounds in call.bursts:
        start, end = (at_ms * RATE_HZ // 1_000 for at_ms in bounds)
        sound[start:end, channel] = rng.normal(
            0,
            call.loudness,
            end - start,
        )
        # Resampling spreads what begins or ends at once into the next frame.
        sound[start : start + EDGE, channel] = sound[end - EDGE : end, channel] = 0
    soundfile.write(path, sound, RATE_HZ, subtype="PCM_16")


# What processes do


def forget_recording(workspace: Workspace, *, key: str) -> str:
    """Forget somebody, and give the receipt."""
    done = forget(workspace, "recording", key, reason="asked", say=quiet)
    require_gone(done)
    return done.receipt_id


def push_clips(workspace: Workspace) -> PushSummary:
    """Give out what is pending."""
    return push_pending(workspace, queue=PEOPLE["queue"], say=quiet)


def release_calls(workspace: Workspace) -> ReleaseSummary:
    """Cut the next version of everything that is labelled."""
    return release_version(workspace, "calls", say=quiet, accept_losses=True)


def export_version(workspace: Workspace, *, ref: str, target: Path) -> Path:
    """Write a version with its clips."""
    return export_bundle(
        open_bundle(workspace, ref),
        format_name="jsonl",
        output=target,
        audio="clips",
    )


def import_copy(workspace: Workspace, *, folder: Path) -> object:
    """Read an export back, under another name."""
    return import_export(workspace, read_export(folder), name="returned", say=quiet)


def open_once(workspace: Workspace) -> bool:
    """Merge what waits."""
    with workspace.warehouse():
        return True


def take_copy(workspace: Workspace) -> Path:
    """Take a snapshot."""
    batches = workspace.batches_dir
    now = datetime.now(UTC)
    return take_snapshot(
        workspace.warehouse_path,
        workspace.snapshots_dir,
        batches=batches,
        now=now,
    )


def prelabel_beside_a_writer(workspace: Workspace, *, away: Path | None) -> object:
    """Results are left as batches, since somebody else holds the warehouse while they are stored.

    Args:
        away: They are left there, on a machine of its own; None: where the next writer finds them.
    """
    storing = flows.prelabel.flow._store
    locked = [True]

    def store(con: object, *rest: object) -> object:
        if locked[0]:
            locked[0] = False
            raise LockedError("another process holds it")
        locked[0] = True
        return storing(con, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.prelabel.flow, "_store", store)
        if away is not None:
            patch.setattr(
                flows.prelabel.flow,
                "staged_rows",
                lambda _folder, **options: staged_rows(away, **options),
            )
        return flows.prelabel.flow.prelabel_pending(workspace, say=quiet)


# What stands in for what


class PoolHere:
    """Stands in for `WorkerPool`: the work is done at once, in this process."""

    def __init__(self, **_options: object) -> None:
        self.workers = 1

    def __enter__(self) -> PoolHere:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def submit(self, function: Callable[..., Any], /, *args: Any, **_options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def result_of(self, future: Future[Any]) -> Any:
        return future.result()

    def wait_for_some(self, futures: Collection[Future[Any]]) -> list[Future[Any]]:
        return list(futures)


class Door:
    """What everything durable goes through; it ends the process at the step that somebody chose."""

    def __init__(self, die: Callable[[], None]) -> None:
        self.dies_in: int | None = None
        self._die, self._writing = die, voxdata.durable.writing

    @contextmanager
    def writing(self, place: Path) -> Iterator[None]:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.dies_in = None
                self._die()
        with self._writing(place):
            yield

    def set_up(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the door that modules have imported."""
        for module in [
            m for m in sys.modules.values() if getattr(m, "writing", None) is self._writing
        ]:
            patch.setattr(module, "writing", self.writing)


def set_up_fakes(patch: pytest.MonkeyPatch, queue: Any) -> None:
    """Have flows work with a queue in memory, and without worker processes."""
    patch.setattr(flows.ingest.flow, "WorkerPool", PoolHere)
    patch.setattr(flows.prelabel.flow, "WorkerPool", PoolHere)
    patch.setitem(PEOPLE, "queue", queue)
    for module in (flows.labelling.pull, flows.forget.erase_steps):
        patch.setattr(module, "open_projects", lambda workspace: [open_project(workspace, queue)])


class KeptOpen:
    """Keeps a database loaded between openings of its file, which saves most of what one costs.

    What each opening checks it checks as ever. Where a process would have ended, `let_go` closes
    it.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, DuckDBPyConnection] = {}
        self._connect = warehouse.connection.connect

    def set_up(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of what opens the file, of what searches it, and of what makes it anew."""
        patch.setattr(warehouse.connection, "connect", self._open)
        patch.setattr(flows.forget.tables, "connect", self._look)
        patch.setattr(warehouse.compact, "_run", self._compact)

    def let_go(self) -> None:
        """Close the file."""
        for con in self._kept.values():
            con.close()
        self._kept = {}

    def _open(self, path: Path, **options: Any) -> DuckDBPyConnection:
        if options.get("read_only"):
            self.let_go()
        con = self._connect(path, **options)
        if path not in self._kept and not options.get("read_only"):
            self._kept[path] = self._connect(path, **options)
        return con

    def _look(self, path: Path, **options: Any) -> DuckDBPyConnection:
        self.let_go()
        return self._connect(path, **options)

    def _compact(self, path: Path, output: Path) -> None:
        """As `warehouse.compact` does it: in a process that never saw what was deleted."""
        self.let_go()
        child = PROCESSES.Process(
            target=warehouse.compact._copy,
            args=(path, output),
        )
        child.start()
        child.join()
        if child.exitcode:
            raise WarehouseError(f"{path}: could not be written anew: exit code {child.exitcode}")


# Processes

PROCESSES = multiprocessing.get_context("forkserver")
"""Each is forked from one that has only imported what it needs, so that it costs little."""

PROCESSES.set_forkserver_preload([__name__])


class QueueElsewhere:
    """The queue as another process sees it, as a server outlives whoever talks to it."""

    def __init__(
        self,
        pipe: Connection,
        known: dict[str, object],
    ) -> None:
        self._pipe = pipe
        vars(self).update(known)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._ask, name)

    def _ask(
        self, name: str, *args: Any, done: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        self._pipe.send(("asks", (name, args, options)))
        answer = self._pipe.recv()
        if done is not None:
            done(answer)
        return answer


def run_elsewhere(root: Path, step: Step, *, queue: FakeQueue, dies_in: int) -> Any:
    """Have another process do something, and end it by SIGKILL at a durable step.

    Args:
        dies_in: After so many durable steps, unless it is done before.

    Raises:
        Killed: It was.
        VoxdataError: It refused.
    """
    ours, theirs = PROCESSES.Pipe()
    attributes = {name: getattr(queue, name) for name in ("project_id", "made_at", "title")}
    child = PROCESSES.Process(
        target=_live,
        args=(theirs, root, step, attributes, dies_in),
    )
    child.start()
    theirs.close()
    said: tuple[str, Any] = ("nothing", None)
    with ours:
        while True:
            try:
                kind, what = ours.recv()
            except EOFError:
                break
            if kind == "asks":
                name, args, options = what
                ours.send(getattr(queue, name)(*args, **options))
            else:
                said = kind, what
    child.join()
    if child.exitcode == -signal.SIGKILL:
        raise Killed
    if said[0] == "refuses":
        raise VoxdataError(said[1])
    assert child.exitcode == 0, said[1]
    assert said[0] == "done", said[1]
    return said[1]


def _live(
    pipe: Connection,
    root: Path,
    step: Step,
    known: dict[str, object],
    dies_in: int,
) -> None:
    """What the other process does."""
    patch = pytest.MonkeyPatch()  # never undone: the process ends
    set_up_fakes(patch, QueueElsewhere(pipe, known))
    door = Door(lambda: os.kill(os.getpid(), signal.SIGKILL))
    door.set_up(patch)
    workspace = open_workspace(root)
    door.dies_in = dies_in
    try:
        pipe.send(("done", step(workspace)))
    except VoxdataError as error:
        pipe.send(("refuses", str(error)))
    except Exception:
        pipe.send(("raised", traceback.format_exc()))
