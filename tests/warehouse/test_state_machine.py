"""Random sequences of what people do to a warehouse, and the laws that hold whatever they do."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.label import Annotation
from voxdata.recording import ChannelLayout, Recording
from voxdata.root import fingerprint
from voxdata.segment import Segment
from warehouse.annotations import add_annotations, current_annotations
from warehouse.chain import check_chain
from warehouse.connection import open_warehouse
from warehouse.erase import begin_erasure, erase_rows, is_forgotten, plan_erasure, renew_consent
from warehouse.recordings import add_recording, list_recordings
from warehouse.rollback import roll_back
from warehouse.rows import insert_rows
from warehouse.tags import add_tag, list_tags
from warehouse.verify import verify_all
from warehouse.versions import create_version, erased_leaves, list_versions, load_examples

NOON = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = ("ask", "tell", "退款")


class WarehouseMachine(RuleBasedStateMachine):
    """Ingest, annotate, release, roll back, tag, forget and renew, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.context = open_warehouse(self.folder / "w.duckdb")
        self.con = self.context.__enter__()
        self.gold: dict[int, str] = {}
        self.roots: dict[str, str] = {}
        self.held: dict[str, dict[str, str]] = {}
        self.tags: dict[str, str] = {}
        self.forgotten: dict[int, str] = {}
        self.places: dict[str, Split] = {}
        self.clock = 0

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    def examples(self) -> list[Example]:
        return [
            Example(
                utterance_id=f"u{n}",
                recording_id=f"r{n}",
                channel=0,
                segment=Segment(start_ms=0, end_ms=1000 + n),
                voice=f"v{n}",
                group=f"g{n}",
                audio_file=f"{n}.flac",
                text=f"text {n}",
                language="zh" if n % 2 else "en",
                split=self.places.setdefault(f"v{n}", list(Split)[n % 3]),
                gold={"intent": GoldLabel(label=label, distribution={label: 1.0}, num_votes=1)},
            )
            for n, label in sorted(self.gold.items())
        ]

    @rule(number=st.integers(0, 7))
    def ingest(self, number: int) -> None:
        recording = Recording(
            recording_id=f"r{number}",
            sample_rate_hz=8000,
            num_samples=8000,
            num_channels=1,
            layout=ChannelLayout.MONO,
            canonical_channels=1,
            codec="pcm",
            container="wav",
        )
        if is_forgotten(self.con, recording.recording_id) is None:
            recording_ids = {s.recording.recording_id for s in list_recordings(self.con)}
            new = add_recording(self.con, recording, audio_file="a", run_id="t")
            assert new is (recording.recording_id not in recording_ids)
            if new:
                heard: dict[str, object] = {
                    "utterance_id": f"u{number}",
                    "recording_id": f"r{number}",
                    "key": "k",
                    "channel": 0,
                    "speaker": "S0",
                    "start_ms": 0,
                    "end_ms": 1000,
                    "text": f"text {number}",
                    "language": "en",
                    "words": "[]",
                    "run_id": "t",
                }
                insert_rows(self.con, "utterance", [heard])

    @rule(
        number=st.integers(0, 7),
        label=st.sampled_from(LABELS),
    )
    def annotate(self, number: int, label: str) -> None:
        if f"r{number}" not in {s.recording.recording_id for s in list_recordings(self.con)}:
            return
        self.clock += 1
        annotation = Annotation(
            annotation_id=number,
            project_id=1,
            utterance_id=f"u{number}",
            annotator="a",
            labels={"intent": (label,)},
            updated_at=NOON + timedelta(minutes=self.clock),
        )
        added = add_annotations(self.con, [annotation], run_id="t")
        assert added == 1
        added = add_annotations(self.con, [annotation], run_id="t")
        assert added == 0
        self.gold[number] = label

    @precondition(lambda self: self.gold)
    @rule()
    def release(self) -> None:
        examples = self.examples()
        version, new = create_calls(self.con, examples)
        again, twice = create_version(
            self.con,
            "calls",
            examples[::-1],
            recipe={"other": 1},
            run_id="t",
        )
        assert (again, twice) == (version, False)
        assert load_examples(self.con, version.version_id) == examples
        if new:
            self.remember(version.ref, version.root)
        else:
            assert self.roots[version.ref] == version.root

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(list_versions(self.con)))
        left = load_examples(self.con, target.version_id)
        if not left:
            return
        version, new = roll_back(self.con, target, run_id="t")
        assert load_examples(self.con, version.version_id) == left
        if not target.num_erased:
            assert version.root == target.root
        if new:
            self.remember(version.ref, version.root)

    @precondition(lambda self: self.roots)
    @rule(
        data=st.data(),
        name=st.sampled_from(["gold", "冻结"]),
    )
    def tag(self, data: st.DataObject, name: str) -> None:
        version = data.draw(st.sampled_from(list_versions(self.con)))
        if name not in self.tags:
            assert add_tag(self.con, name, version, run_id="t")
            self.tags[name] = version.ref

    @rule(number=st.integers(0, 7))
    def forget(self, number: int) -> None:
        name = f"r{number}"
        if name not in {s.recording.recording_id for s in list_recordings(self.con)}:
            return
        plan = plan_erasure(self.con, [name])
        receipt = begin_erasure(
            self.con,
            plan,
            kind="recording",
            subject=name,
            reason="",
            run_id=f"t{self.clock}",
        )
        erase_rows(
            self.con,
            plan,
            receipt_id=receipt,
            kind="recording",
            subject=name,
            reason="",
            run_id="t",
        )
        self.gold.pop(number, None)
        self.forgotten[number] = receipt
        for content in self.held.values():
            content.pop(f"u{number}", None)

    @precondition(lambda self: self.forgotten)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.forgotten)))
        if is_forgotten(self.con, f"r{number}") is not None:
            renewed = renew_consent(
                self.con,
                self.forgotten[number],
                reason="",
                run_id="t",
            )
            assert renewed == 1
        del self.forgotten[number]

    def remember(self, ref: str, root: str) -> None:
        self.roots[ref] = root
        version = next(v for v in list_versions(self.con) if v.ref == ref)
        self.held[ref] = {
            e.utterance_id: e.gold["intent"].label
            for e in load_examples(self.con, version.version_id)
        }

    @invariant()
    def versions_say_one_thing_for_ever(self) -> None:
        versions = list_versions(self.con)
        roots_by_ref = {v.ref: v.root for v in versions}
        assert roots_by_ref == self.roots
        problems = [one.problems for one in verify_all(self.con)]
        assert problems == [()] * len(versions)
        for version in versions:
            left = load_examples(self.con, version.version_id)
            labels_by_utterance_id = {e.utterance_id: e.gold["intent"].label for e in left}
            assert labels_by_utterance_id == self.held[version.ref]
            assert len(left) + version.num_erased == version.num_examples
            assert (
                fingerprint(left, erased=erased_leaves(self.con, version.version_id))
                == version.root
            )
        refs: dict[str, str] = {}
        for ref, tags in list_tags(self.con).items():
            refs |= dict.fromkeys(tags, ref)
        assert refs == self.tags

    @invariant()
    def nothing_of_the_forgotten_is_left(self) -> None:
        assert check_chain(self.con) == []
        for number in self.forgotten:
            if is_forgotten(self.con, f"r{number}") is not None:
                plan = plan_erasure(self.con, [f"r{number}"])
                assert plan.counts == {}
        utterance_ids = {a.utterance_id for a in current_annotations(self.con)}
        assert utterance_ids == {f"u{n}" for n in self.gold}

    @invariant()
    def no_voice_is_in_two_splits(self) -> None:
        sides: dict[str, set[Split]] = {}
        for version in list_versions(self.con):
            for e in load_examples(self.con, version.version_id):
                sides.setdefault(e.voice, set()).add(e.split)
        assert all(len(found) == 1 for found in sides.values())


WarehouseMachine.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestWarehouse = WarehouseMachine.TestCase
