"""Random sequences of what people, schedules and accidents do, and the laws that always hold.

Real flows on a real warehouse and real files; models and the annotation queue are fakes, workers
are functions of this process. With VOXDATA_STEPS=10000 and another VOXDATA_SEED,
`pytest -s tests/flows/test_loop_machine.py` goes on longer, and says how far it is.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import psutil
import pytest
import soundfile
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flows.ingest.flow import ingest_sources
from flows.labelling.pull import pull_changes
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.workspace import open_workspace
from tests.flows.loop_ground import (
    BROKEN,
    CALLS,
    SETTINGS,
    SILENT,
    Door,
    KeptOpen,
    Killed,
    Step,
    export_version,
    forget_recording,
    import_copy,
    open_once,
    prelabel_beside_a_writer,
    push_clips,
    quiet,
    release_calls,
    run_elsewhere,
    set_up_fakes,
    take_copy,
    write_call,
)
from tests.flows.loop_laws import (
    Files,
    answers_in,
    balance_clips,
    balance_files,
    balance_speech,
    clips_of,
    example_ms,
    labelled_ms,
    no_table_names,
    nothing_hangs_in_the_air,
    nothing_is_doubled,
    number_of,
)
from voxdata.errors import VoxdataError
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.batches import list_batches
from warehouse.chain import check_chain
from warehouse.erase import plan_erasure, renew_consent
from warehouse.recordings import list_recordings
from warehouse.verify import verify_all
from warehouse.versions import list_versions

STEPS = int(os.environ.get("VOXDATA_STEPS", "60"))
STEPS_AT_ONCE = 30
SEED = int(os.environ.get("VOXDATA_SEED", "4"))
TELL_EVERY = 250
PHASES = tuple(Phase) if "VOXDATA_STEPS" not in os.environ else (Phase.generate,)
"""A long run tells what it found at once; to shrink it takes as long again."""

DONE: Counter[str] = Counter()
"""Rule -> how often it was run; deaths are counted among them."""

ENDS = ("killed", "killed for real")
REQUIRED = frozenset({"begin", "killed for real", "forget", "come_late", "export", "turn"})
"""What even the shortest run does; it goes on until it has."""

MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Somebody who was forgotten.

    Attributes:
        number: The call's.
        words: What must not be read anywhere: ids, and what people wrote about them.
    """

    receipt_id: str
    number: int
    words: frozenset[str]


def counted(function: Callable[..., None]) -> Callable[..., None]:
    """Count a rule, but not what it is made of."""

    @wraps(function)
    def run(self: LoopMachine, *args: Any, **options: Any) -> None:
        if self.inside:
            function(self, *args, **options)
            return
        DONE[function.__name__] += 1
        self.inside = True
        try:
            function(self, *args, **options)
        finally:
            self.inside = False

    return run


def steps_done() -> int:
    """How many rules were run."""
    return sum(count for name, count in DONE.items() if name not in ENDS)


@contextmanager
def refusal(*words: str) -> Iterator[None]:
    """Let a flow refuse, for one of these reasons."""
    try:
        yield
    except VoxdataError as error:
        if not any(word in str(error) for word in words):
            raise


class LoopMachine(RuleBasedStateMachine):
    """What happens to a workspace, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.folder = Path(tempfile.mkdtemp())
        root = self.folder / "w"
        for folder in (
            root / "inbox",
            self.folder / "exports",
            self.folder / "copies",
            self.folder / "away",
        ):
            folder.mkdir(parents=True)
        (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
        self.workspace = open_workspace(root)
        self.queue = FakeQueue(
            schemes=self.workspace.schemes,
            media_dir=self.workspace.media_dir,
        )
        self.patch = pytest.MonkeyPatch()
        set_up_fakes(self.patch, self.queue)
        self.door, self.kept, self.files = Door(self._die), KeptOpen(), Files()
        self.door.set_up(self.patch)
        self.kept.set_up(self.patch)
        self.forgotten: dict[str, Gone] = {}
        self.written: dict[str, list[str]] = {}
        self.roots: dict[str, str] = {}
        self.copies: list[Path] = []
        self.exports = 0
        self.answers = 0
        self.armed: int | None = None
        self.for_real = False
        self.judged: tuple[object, ...] | None = None

    def teardown(self) -> None:
        self.kept.let_go()
        self.patch.undo()
        shutil.rmtree(self.folder)

    def _die(self) -> None:
        raise Killed

    def run(self, step: Step) -> Any:
        """Run a flow; when it dies on the way, open the workspace again, as the next process does.

        Returns:
            What it gives, or None when it died.
        """
        steps, self.armed = self.armed, None
        for_real, self.for_real = self.for_real, False
        try:
            if for_real and steps is not None:
                self.kept.let_go()
                return run_elsewhere(
                    self.workspace.root,
                    step,
                    queue=self.queue,
                    dies_in=steps,
                )
            self.door.dies_in = steps
            return step(self.workspace)
        except Killed:
            DONE["killed for real" if for_real else "killed"] += 1
            self._begin_anew()
            return None
        finally:
            self.door.dies_in = None

    def _begin_anew(self) -> None:
        self.kept.let_go()
        self.workspace = open_workspace(self.workspace.root)
        open_once(self.workspace)  # which sweeps what a killed process left half-written

    def present(self) -> dict[str, str]:
        """Recording -> where it came from."""
        with self.workspace.warehouse() as con:
            return {s.recording.recording_id: s.uri for s in list_recordings(con)}

    # What happens

    @initialize()
    @counted
    def begin(self) -> None:
        """With something to lose: a version, its labels, and clips that people have before them."""
        self.turn("ask")

    @rule(
        number=st.integers(0, BROKEN),
        twice=st.booleans(),
    )
    @counted
    def record(self, number: int, twice: bool) -> None:
        write_call(
            self.workspace.root / "inbox" / f"call-{number}{'-again' if twice else ''}.wav",
            number,
        )

    @rule(steps=st.integers(0, 30))
    @counted
    def kill(self, steps: int) -> None:
        """The next flow dies after so many durable steps, unless it is done before."""
        self.armed = steps

    @rule(steps=st.integers(0, 30))
    @counted
    def kill_for_real(self, steps: int) -> None:
        """The next flow is a process of its own, which gets SIGKILL after so many durable steps."""
        self.armed, self.for_real = steps, True

    @rule()
    @counted
    def reopen(self) -> None:
        self._begin_anew()

    @precondition(lambda self: any((self.workspace.root / "inbox").iterdir()))
    @rule()
    @counted
    def ingest(self) -> None:
        if self.run(partial(ingest_sources, patterns=[], say=quiet)) is not None:
            self._all_came_in()

    @rule()
    @counted
    def prelabel(self) -> None:
        if self.run(partial(prelabel_pending, say=quiet)) is not None:
            with self.workspace.warehouse() as con:
                assert balance_speech(con)["waits"] == 0

    @rule(away=st.booleans())
    @counted
    def prelabel_beside_a_writer(self, away: bool) -> None:
        """Results wait as batches, perhaps on a machine that has to be reached first."""
        self.run(partial(prelabel_beside_a_writer, away=self.folder / "away" if away else None))

    @precondition(lambda self: list_batches(self.folder / "away"))
    @rule()
    @counted
    def deliver_batches(self) -> None:
        """Batches come late, perhaps about somebody who was forgotten since."""
        self.workspace.batches_dir.mkdir(parents=True, exist_ok=True)
        for path in list_batches(self.folder / "away"):
            path.rename(self.workspace.batches_dir / path.name)
        self.run(open_once)

    @rule(number=st.integers(0, BROKEN - 1))
    @counted
    def come_late(self, number: int) -> None:
        """What was worked out about somebody arrives when they have been forgotten."""
        self.record(number, twice=False)
        self.ingest()
        self.prelabel_beside_a_writer(away=True)
        self.forget(number)
        if list_batches(self.folder / "away"):
            self.deliver_batches()

    @rule()
    @counted
    def push(self) -> None:
        if self.run(push_clips) is not None:
            with self.workspace.warehouse() as con:
                assert balance_clips(con)["waits"] == 0

    @precondition(lambda self: self.queue.entries)
    @rule(
        data=st.data(),
        label=st.sampled_from(["ask", "tell"]),
        person=st.sampled_from("ab"),
    )
    @counted
    def answer(self, data: st.DataObject, label: str, person: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.queue.entries)))
        self._answer(key, label, person)

    def _answer(self, key: str, label: str, person: str) -> None:
        self.answers += 1
        text = f"heard by {person} as number {self.answers:04}"
        self.written.setdefault(key, []).append(text)
        self.queue.answer(
            key,
            {"intent": (label,)},
            annotator=person,
            text=text,
        )

    @rule(label=st.sampled_from(["ask", "tell"]))
    @counted
    def turn(self, label: str) -> None:
        """Once round, as the schedules do it in a quiet hour."""
        for number in (0, 1, SILENT):
            self.record(number, twice=False)
        self.ingest()
        self.prelabel()
        self.push()
        for key in sorted(self.queue.entries):
            self._answer(key, label, "a")
        self.pull()
        self.release()

    @rule()
    @counted
    def pull(self) -> None:
        if self.run(partial(pull_changes, say=quiet)) is not None:
            with self.workspace.warehouse() as con:
                wanted = set()
                for key, (copy,) in self.queue.list_copies().items():
                    wanted |= {(number, key) for number in copy}
                assert answers_in(con) == wanted

    @rule()
    @counted
    def release(self) -> None:
        done = None
        with refusal("nothing to release"):
            done = self.run(release_calls)
        with self.workspace.warehouse() as con:
            if done is not None:
                labelled = labelled_ms(con)
                examples = example_ms(con, "calls")
                assert examples == labelled
                assert not done.left_out
        self._remember()

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    @counted
    def export(self, data: st.DataObject) -> None:
        """Somebody takes a copy along, too."""
        ref = data.draw(st.sampled_from(sorted(self.roots)))
        with self.workspace.warehouse() as con:
            wanted = example_ms(con, *ref.split("@"))
        if not wanted:
            return
        self.exports += 1
        target = self.folder / "exports" / f"{self.exports}"
        if self.run(partial(export_version, ref=ref, target=target)) is not None:
            clips = {key: soundfile.info(path) for key, path in clips_of(target).items()}
            rounded = {
                key: round(clip.frames * 1_000 / clip.samplerate) for key, clip in clips.items()
            }
            assert rounded == wanted
            self.copies.append(Path(shutil.copytree(target, self.folder / "copies" / target.name)))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    @counted
    def import_again(self, data: st.DataObject) -> None:
        """An export comes back; who asked to be forgotten since stays out."""
        folder = data.draw(st.sampled_from(self.copies))
        done = None
        with refusal("forgotten"):
            done = self.run(partial(import_copy, folder=folder))
        if done is not None:
            with self.workspace.warehouse() as con:
                wanted = clips_of(folder).keys() - self._words_of_the_forgotten()
                assert example_ms(con, "returned").keys() == wanted
        self._remember()

    @rule()
    @counted
    def snapshot(self) -> None:
        self.run(take_copy)

    @rule(number=st.integers(0, BROKEN - 1))
    @counted
    def forget(self, number: int) -> None:
        found = [key for key, uri in self.present().items() if f"call-{number}" in uri]
        for key in found:
            words = self._words(key, number)
            receipt_id = self.run(partial(forget_recording, key=key))
            if receipt_id is None:
                receipt_id = forget_recording(self.workspace, key=key)
            self.forgotten[key] = Gone(
                receipt_id=receipt_id,
                number=number,
                words=words,
            )

    def _words(self, key: str, number: int) -> frozenset[str]:
        utterances = CALLS[number].utterances(key)
        return frozenset(
            (
                key,
                *utterances,
                *itertools.chain.from_iterable(self.written.get(one, []) for one in utterances),
            )
        )

    @precondition(lambda self: self.forgotten)
    @rule(data=st.data())
    @counted
    def renew(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.forgotten)))
        with self.workspace.warehouse() as con:
            renew_consent(
                con,
                self.forgotten.pop(key).receipt_id,
                reason="came back",
                run_id=self.workspace.run_id,
            )

    def _remember(self) -> None:
        with self.workspace.warehouse() as con:
            self._versions_stay(con)

    def _versions_stay(self, con: DuckDBPyConnection) -> None:
        for version in list_versions(con):
            assert self.roots.setdefault(version.ref, version.root) == version.root

    # What always holds

    @invariant()
    def the_laws_hold(self) -> None:
        if self.judged != (seen := self._what_there_is()):
            self._judge()
            self.judged = seen if seen == self._what_there_is() else None
        if words := self._words_of_the_forgotten():
            assert not words & self.queue.entries.keys()
            self.files.none_names((self.workspace.root, self.folder / "exports"), words)
        tell_progress()

    def _what_there_is(self) -> tuple[object, ...]:
        """Changes with the warehouse's files; what has not changed need not be judged again."""
        path = self.workspace.warehouse_path
        files = (path, path.with_name(path.name + ".wal"))
        found = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists()]
        waiting = list_batches(self.workspace.batches_dir)
        return tuple(found), tuple(waiting), self._words_of_the_forgotten()

    def _words_of_the_forgotten(self) -> frozenset[str]:
        return frozenset[str]().union(*(gone.words for gone in self.forgotten.values()))

    def _judge(self) -> None:
        with self.workspace.warehouse() as con:
            balance_files(con)
            balance_speech(con)
            balance_clips(con)
            nothing_is_doubled(con, self.queue)
            nothing_hangs_in_the_air(con)
            self._forgotten_stay_forgotten(con)
            self._versions_verify(con)
            self._versions_stay(con)

    def _all_came_in(self) -> None:
        """Every file in the inbox is known, or of somebody who was forgotten."""
        with self.workspace.warehouse() as con:
            known = {
                str(uri) for (uri,) in con.execute("select placed(uri) from source").fetchall()
            }
        gone = {one.number for one in self.forgotten.values()}
        waiting = [
            str(path)
            for path in (self.workspace.root / "inbox").iterdir()
            if number_of(str(path)) not in gone
        ]
        assert set(waiting) <= known

    def _forgotten_stay_forgotten(self, con: DuckDBPyConnection) -> None:
        if not self.forgotten:
            return
        plan = plan_erasure(con, list(self.forgotten))
        assert plan.counts == {}
        no_table_names(con, self._words_of_the_forgotten())

    def _versions_verify(self, con: DuckDBPyConnection) -> None:
        assert list(itertools.chain.from_iterable(one.problems for one in verify_all(con))) == []
        assert check_chain(con) == []


def tell_progress() -> None:
    """Say on a long run how far it is."""
    done = steps_done()
    if STEPS > TELL_EVERY and done and done % TELL_EVERY == 0:
        print(
            f"{done} of {STEPS} steps, {cpu_s():.0f} CPU-s, {DONE['killed for real']} "
            "killed for real",
            flush=True,
        )


def cpu_s() -> float:
    """What this process and those that it started have taken."""
    processes = [psutil.Process(), *psutil.Process().children()]
    return sum(sum(process.cpu_times()[:4]) for process in processes)


def test_the_laws_hold_whatever_happens(record_property: Callable[[str, object], None]) -> None:
    rounds = 0
    while steps_done() < STEPS or (rounds < MOST_ROUNDS and not DONE.keys() >= REQUIRED):
        # The first example of a round is the simplest there is, and some end early.
        examples = 2 + max(0, STEPS - steps_done()) // STEPS_AT_ONCE
        run_state_machine_as_test(
            seed(SEED + rounds)(LoopMachine),
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS_AT_ONCE,
                deadline=None,
                database=None,
                phases=PHASES,
                suppress_health_check=list(HealthCheck),
            ),
        )
        rounds += 1
    rules = ", ".join(f"{name} {count}" for name, count in DONE.most_common())
    record_property("measured", f"seed {SEED}, {steps_done()} steps, {cpu_s():.0f} CPU-s: {rules}")
    assert DONE.keys() >= (REQUIRED if "VOXDATA_STEPS" not in os.environ else {"begin"})
