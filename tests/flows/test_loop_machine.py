"""Random sequences of what people, schedules and accidents do to a workspace, and the laws that hold whatever they do.

Real flows on a real warehouse and real files; models and the annotation queue are fakes, workers are
threads of this process. `VOXDATA_STEPS=10000 pytest tests/flows/test_loop_machine.py` goes on longer.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import flows.forget.erase_steps
import flows.ingest.flow
import flows.labelling.pull
import flows.prelabel.flow
import voxdata.durable
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.forget.flow import forget, require_gone
from flows.ingest.flow import ingest_sources
from flows.labelling.pull import pull_changes
from flows.labelling.push import push_pending
from flows.labelling.queues import open_project
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.release.flow import release_version
from flows.workspace import Workspace, open_workspace
from voxdata.errors import LockedError, VoxdataError
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.batches import list_batches
from warehouse.chain import check_chain
from warehouse.erase import plan_erasure, renew_consent
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings, list_uris
from warehouse.rows import read_rows
from warehouse.utterances import list_utterances
from warehouse.verify import verify_all
from warehouse.versions import list_versions, load_examples

STEPS = int(os.environ.get("VOXDATA_STEPS", "60"))
STEPS_AT_ONCE = 30
CALLS = 6
SILENT, BROKEN = CALLS - 2, CALLS - 1
"""Two of the calls give nothing: one holds no sound, one is no audio."""

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


class Killed(BaseException):
    """A process that ends here; not an Exception, as nothing may catch it."""


def quiet(_line: str) -> None:
    return None


@contextmanager
def refusal(*words: str) -> Iterator[None]:
    """Let a flow refuse, for one of these reasons."""
    try:
        yield
    except VoxdataError as error:
        if not any(word in str(error) for word in words):
            raise


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


def write_call(path: Path, number: int) -> None:
    """Bursts of noise; how many and how long is the number's."""
    if number == BROKEN:
        path.write_bytes(b"this is no audio " * 40)
        return
    rng = np.random.default_rng(number)
    loudness = 0 if number == SILENT else 0.1
    burst = [rng.normal(0, loudness, 8_000 + 1_600 * number), np.zeros(8_000)]
    soundfile.write(path, np.concatenate(burst * (1 + number % 2)), 8_000, subtype="PCM_16")


class LoopMachine(RuleBasedStateMachine):
    """Record, ingest, pre-label, push, answer, pull, release, export, import, forget, renew, die and reopen, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        root = self.folder / "w"
        (root / "inbox").mkdir(parents=True)
        (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
        self.workspace = open_workspace(root)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(flows.ingest.flow, "WorkerPool", PoolHere)
        self.patch.setattr(flows.prelabel.flow, "WorkerPool", PoolHere)
        self.queue: Any = FakeQueue(schemes=self.workspace.schemes, media_dir=self.workspace.media_dir)
        for module in (flows.labelling.pull, flows.forget.erase_steps):
            self.patch.setattr(module, "open_projects", lambda w: [open_project(w, self.queue)])
        self.names: dict[int, str] = {}
        self.forgotten: dict[str, str] = {}
        self.roots: dict[str, str] = {}
        self.exports: list[Path] = []
        self.held_back: list[Path] = []
        self.answers = 0
        self.armed: int | None = None
        self.dies_in: int | None = None
        door, dying = voxdata.durable.writing, self._dying(voxdata.durable.writing)
        for module in [m for m in sys.modules.values() if getattr(m, "writing", None) is door]:
            self.patch.setattr(module, "writing", dying)

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    def _dying(self, writing: Callable[[Path], Any]) -> Callable[[Path], Any]:
        """The door that everything durable goes through, which ends the process at the step that `kill` chose."""

        @contextmanager
        def door(place: Path) -> Iterator[None]:
            if self.dies_in is not None:
                self.dies_in -= 1
                if self.dies_in < 0:
                    self.dies_in = None
                    raise Killed
            with writing(place):
                yield

        return door

    def run(self, step: Callable[[], object]) -> object:
        """Run a flow; when it dies on the way, open the workspace again, as the next process does."""
        self.dies_in, self.armed = self.armed, None
        try:
            return step()
        except Killed:
            self.workspace = open_workspace(self.workspace.root)
            return None
        finally:
            self.dies_in = None

    def present(self) -> dict[str, str]:
        """Recording -> where it came from."""
        with self.workspace.warehouse() as con:
            return {s.recording.recording_id: s.uri for s in list_recordings(con)}

    # What happens

    @initialize()
    def begin(self) -> None:
        """With something to lose: a version, its labels, and clips that people have before them."""
        self.turn("ask")

    @rule(number=st.integers(0, CALLS - 1), twice=st.booleans())
    def record(self, number: int, twice: bool) -> None:
        write_call(self.workspace.root / "inbox" / f"call-{number}{'-again' if twice else ''}.wav", number)

    @rule(steps=st.integers(0, 30))
    def kill(self, steps: int) -> None:
        """The next flow dies after so many durable steps, unless it is done before."""
        self.armed = steps

    @rule()
    def reopen(self) -> None:
        self.workspace = open_workspace(self.workspace.root)

    @precondition(lambda self: any((self.workspace.root / "inbox").iterdir()))
    @rule()
    def ingest(self) -> None:
        self.run(lambda: ingest_sources(self.workspace, [], say=quiet))

    @rule()
    def prelabel(self) -> None:
        self.run(lambda: prelabel_pending(self.workspace, say=quiet))

    @rule()
    def prelabel_beside_a_writer(self) -> None:
        """Results wait as batches, since somebody else holds the warehouse while they are stored."""
        storing = flows.prelabel.flow._store
        locked = [True]

        def store(con: object, workspace: Workspace, *rest: object) -> object:
            if locked[0]:
                locked[0] = False
                raise LockedError("another process holds it")
            locked[0] = True
            return storing(con, workspace, *rest)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flows.prelabel.flow, "_store", store)
            self.run(lambda: prelabel_pending(self.workspace, say=quiet))

    @precondition(lambda self: bool(list_batches(self.workspace.batches_dir)))
    @rule()
    def hold_batches_back(self) -> None:
        """They are on a machine that is away."""
        for path in list_batches(self.workspace.batches_dir):
            self.held_back.append(path.rename(self.folder / f"late-{len(self.held_back)}-{path.name}"))

    @precondition(lambda self: self.held_back)
    @rule()
    def deliver_batches(self) -> None:
        self.workspace.batches_dir.mkdir(parents=True, exist_ok=True)
        for path in self.held_back:
            path.rename(self.workspace.batches_dir / path.name.split("-", 2)[2])
        self.held_back = []
        self.run(self.present)

    @rule()
    def push(self) -> None:
        self.run(lambda: push_pending(self.workspace, queue=self.queue, say=quiet))

    @precondition(lambda self: self.queue.entries)
    @rule(data=st.data(), label=st.sampled_from(["ask", "tell"]), person=st.sampled_from("ab"))
    def answer(self, data: st.DataObject, label: str, person: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.queue.entries)))
        self.answers += 1
        self.queue.answer(key, {"intent": (label,)}, annotator=person, text=f"heard by {person}: {self.answers}")

    @rule(label=st.sampled_from(["ask", "tell"]))
    def turn(self, label: str) -> None:
        """Once round, as the schedules do it in a quiet hour."""
        for number in (0, 1, SILENT):
            self.record(number, twice=False)
        self.ingest()
        self.prelabel()
        self.push()
        for key in sorted(self.queue.entries):
            self.queue.answer(key, {"intent": (label,)}, annotator="a")
        self.pull()
        self.release()

    @rule()
    def pull(self) -> None:
        self.run(lambda: pull_changes(self.workspace, say=quiet))

    @rule()
    def release(self) -> None:
        with refusal("no ", "nothing"):
            self.run(lambda: release_version(self.workspace, "calls", say=quiet, accept_losses=True))
        self._remember()

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.roots)))
        with self.workspace.warehouse() as con:
            version = next(v for v in list_versions(con) if v.ref == ref)
            if not load_examples(con, version.version_id):
                return
        target = self.folder / f"export-{len(self.exports)}"
        self.exports.append(export_bundle(open_bundle(self.workspace, ref), format_name="jsonl", output=target, audio="clips"))

    @precondition(lambda self: self.exports)
    @rule(data=st.data())
    def import_again(self, data: st.DataObject) -> None:
        """An export comes back, perhaps with people who asked to be forgotten since."""
        export = read_export(data.draw(st.sampled_from(self.exports)))
        with refusal("forgotten"):
            self.run(lambda: import_export(self.workspace, export, name="returned", say=quiet))
        self._remember()

    @rule(number=st.integers(0, CALLS - 1))
    def forget(self, number: int) -> None:
        found = [key for key, uri in self.present().items() if f"call-{number}" in uri]
        for key in found:
            self.run(partial(self._forget, key))
            if key not in self.forgotten:
                self._forget(key)

    @precondition(lambda self: self.forgotten)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.forgotten)))
        with self.workspace.warehouse() as con:
            renew_consent(con, self.forgotten.pop(key), reason="came back", run_id=self.workspace.run_id)

    def _forget(self, key: str) -> None:
        done = forget(self.workspace, "recording", key, reason="asked", say=quiet)
        require_gone(done)
        self.forgotten[key] = done.receipt_id

    def _remember(self) -> None:
        with self.workspace.warehouse() as con:
            for version in list_versions(con):
                assert self.roots.setdefault(version.ref, version.root) == version.root

    # What always holds

    @invariant()
    def the_laws_hold(self) -> None:
        with self.workspace.warehouse() as con:
            self._forgotten_stay_forgotten(con)
            self._versions_verify(con)
            self._nothing_is_doubled(con)
            self._every_hour_is_accounted_for(con)
        self._remember()

    def _forgotten_stay_forgotten(self, con: DuckDBPyConnection) -> None:
        for key in self.forgotten:
            assert plan_erasure(con, [key]).counts == {}
        names = [str(path) for path in self.workspace.root.rglob("*")]
        for key in self.forgotten:
            assert not [name for name in names if key in name]
            assert not [entry for entry in self.queue.entries.values() if key in entry.audio_file]

    def _versions_verify(self, con: DuckDBPyConnection) -> None:
        assert [one.problems for one in verify_all(con)] == [()] * len(list_versions(con))
        assert check_chain(con) == []

    def _nothing_is_doubled(self, con: DuckDBPyConnection) -> None:
        for table, key in (("recording", "recording_id"), ("prediction", "prediction_id"), ("utterance", "utterance_id, key")):
            assert read_rows(con, f"select {key} from {table} group by all having count(*) > 1") == []
        assert len({entry.audio_file for entry in self.queue.entries.values()}) == len(self.queue.entries)

    def _every_hour_is_accounted_for(self, con: DuckDBPyConnection) -> None:
        """What came in is a recording, or the ledger says why not; what was heard in one is an utterance or dropped with a reason."""
        recordings = {s.recording.recording_id: s.recording.duration_ms for s in list_recordings(con)}
        drops = list_drops(con)
        refused = read_rows(con, "select distinct placed(uri) as uri from source where recording_id is null")
        assert {str(row["uri"]) for row in refused} <= {drop.subject for drop in drops if drop.stage == "ingest"}
        assert {key for key, uris in list_uris(con).items() if uris} <= set(recordings)
        utterances = list_utterances(con)
        assert {u.recording_id for u in utterances} <= set(recordings)
        heard = {key: sum(u.segment.duration_ms for u in utterances if u.recording_id == key) for key in recordings}
        assert all(heard[key] <= recordings[key] for key in recordings)
        cut = read_rows(con, "select recording_id, sum(end_ms - start_ms) as ms from turn group by all")
        dropped = {drop.recording_id for drop in drops if drop.stage != "ingest"}
        for row in cut:
            key = str(row["recording_id"])
            done = read_rows(con, "select 1 from stage_result where recording_id = ? and stage = 'cut'", [key])
            assert not done or heard[key] or key in dropped


LoopMachine.TestCase.settings = settings(
    max_examples=max(1, STEPS // STEPS_AT_ONCE),
    stateful_step_count=STEPS_AT_ONCE,
    deadline=None,
    derandomize="VOXDATA_STEPS" not in os.environ,  # the same sequences each time, unless one looks for new ones
    suppress_health_check=list(HealthCheck),
)
TestLoop = LoopMachine.TestCase
