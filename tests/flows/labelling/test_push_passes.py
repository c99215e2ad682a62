"""A push that passes over what an earlier one dealt with plans what a push that looks at everything
plans."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from flows.labelling.plan import PushPlan, Reason, plan_push
from flows.labelling.push_state import PushState, push_context, read_push_state
from flows.models import build_labelers
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from voxdata.testing import make_recording, make_utterance
from voxdata.utterance import Utterance
from warehouse.annotations import add_annotations
from warehouse.labels import add_predictions
from warehouse.metadata import store_metadata
from warehouse.privacy import store_private_spans
from warehouse.push_passes import PushPass, find_pass, last_seq, record_pass
from warehouse.pushes import note_project, record_missing, record_pushes
from warehouse.recordings import add_recording
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

SETTINGS = FAKES + (
    "[privacy]\nmask = true\n[annotation]\nmin_clip_ms = 600\nblind_share = 0.3\n[training]\n"
    "schemes = []\n"
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STEPS = 90


@dataclass
class Ground:
    """A warehouse to which things happen at random, and the pushes of its clips."""

    workspace: Workspace
    models: dict[str, ModelRef]
    rng: random.Random
    recordings: list[str] = field(default_factory=list)
    utterances: dict[str, Utterance] = field(default_factory=dict)
    keys: int = 0

    def store(self, con: DuckDBPyConnection, recording_id: str, stage: str) -> str:
        """Note that a stage was computed once more; returns its key."""
        self.keys += 1
        key = f"{stage}-{self.keys}"
        record_stage(
            con,
            recording_id=recording_id,
            stage=stage,
            key=key,
            model_key=None,
            num_rows=1,
            audio_ms=1,
            seconds=1.0,
            run_id="t",
        )
        return key

    def add_recording(self, con: DuckDBPyConnection) -> None:
        name = f"{len(self.recordings):032x}"
        recording = make_recording(recording_id=name)
        add_recording(con, recording, audio_file=f"{name}.flac", run_id="t")
        self.recordings.append(name)
        self.cut(con, name)

    def cut(self, con: DuckDBPyConnection, name: str) -> None:
        """Cut a recording, perhaps once more; its scan is over then."""
        utterances = [
            make_utterance(start, start + length, recording_id=name, text=f"words at {start}")
            for start, length in ((500, 400), (1_500, 900), (3_000, 2_000))
            if self.rng.random() < 0.8
        ]
        key = self.store(con, name, "cut")
        store_utterances(con, utterances, key=key, run_id="t")
        self.utterances |= {u.utterance_id: u for u in utterances}

    def scan(self, con: DuckDBPyConnection, name: str) -> None:
        key = self.store(con, name, "scan")
        own = [u for u in self.utterances.values() if u.recording_id == name]
        span = PrivateSpan(
            kind="name",
            start=0,
            end=5,
            segment=Segment(start_ms=1_500, end_ms=1_900),
            score=0.9,
        )
        private = {u.utterance_id: [span] for u in own if self.rng.random() < 0.4}
        store_private_spans(con, name, private, key=key, run_id="t")

    def propose(self, con: DuckDBPyConnection, name: str) -> None:
        own = [u for u in self.utterances.values() if u.recording_id == name]
        sure = self.rng.choice([0.5, 0.95])
        predictions = [
            Prediction(
                utterance_id=u.utterance_id,
                scheme="intent",
                distribution={"ask": sure, "tell": 1 - sure},
                model=self.models["intent"],
            )
            for u in own
        ]
        key = self.store(con, name, "label:intent")
        add_predictions(
            con,
            predictions,
            scheme_versions={"intent": 1},
            run_id="t",
            key=key,
        )

    def consent(self, con: DuckDBPyConnection, name: str) -> None:
        answer = self.rng.choice(["yes", "no"])
        store_metadata(
            con,
            name,
            {"consent": answer},
            manifest="m",
            run_id="t",
        )

    def vote(self, con: DuckDBPyConnection, _name: str) -> None:
        self.keys += 1
        said = Annotation(
            annotation_id=self.keys,
            project_id=1,
            utterance_id=self.rng.choice(sorted(self.utterances)) if self.utterances else "none",
            annotator="a",
            labels={"intent": ("ask",)},
            updated_at=NOON + timedelta(minutes=self.keys),
        )
        add_annotations(con, [said], run_id="t")

    def lose(self, con: DuckDBPyConnection, _name: str) -> None:
        """A clip vanishes from the server."""
        shown = sorted(self.read(con, since=None).pushed)
        if shown:
            record_missing(
                con,
                [self.rng.choice(shown)],
                project_id=1,
                run_id="t",
            )

    def read(self, con: DuckDBPyConnection, since: PushPass | None) -> PushState:
        return read_push_state(
            con,
            self.workspace,
            project_id=1,
            models=self.models,
            returning={},
            costs=False,
            since=since,
        )

    def push(self, con: DuckDBPyConnection) -> tuple[int, int]:
        """Push as if everything arrived. Returns clips sent, and clips that were looked at."""
        context = push_context(self.workspace, self.models)
        passing = PushPass(context=context, through_seq=last_seq(con))
        since = find_pass(con, project_id=1, context=context)
        whole, part = self.read(con, since=None), self.read(con, since=since)
        plan = plan_push(part)
        assert tell(part, plan) == tell(whole, plan_push(whole))
        record_pushes(
            con,
            [clip.pushed for clip in plan.outgoing],
            project_id=1,
            run_id="t",
        )
        record_pass(con, passing, project_id=1, run_id="t")
        return len(plan.outgoing), len(part.utterances)


def tell(state: PushState, plan: PushPlan) -> dict[str, object]:
    """What a push does and says."""
    passed = state.passed
    whys = [held.why for held in plan.list_held_back(Reason.NO_CONSENT)]
    barred = [state.barred[u.recording_id] for u in plan.barred]
    return {
        "outgoing": [(clip.entry, clip.muted, clip.arm) for clip in plan.outgoing],
        "unchanged": len(plan.unchanged) + passed.unchanged,
        "too short": plan.count(Reason.TOO_SHORT) + passed.too_short,
        "not scanned": plan.count(Reason.NOT_SCANNED) + passed.not_scanned,
        "no consent": len(whys) + sum(passed.no_consent.values()),
        "barred": len(barred) + sum(passed.barred.values()),
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_push_that_passes_over_what_is_done_plans_what_a_whole_push_plans(
    tmp_path: Path, seed: int
) -> None:
    (tmp_path / FILE_NAME).write_text(SETTINGS)
    workspace = open_workspace(tmp_path)
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    ground = Ground(
        workspace=workspace,
        models=models,
        rng=random.Random(seed),
    )
    votes = [ground.vote] * 6  # what people labelled is what a push may pass over
    happenings = [ground.cut, ground.scan, ground.propose, ground.consent, ground.lose, *votes]
    with workspace.warehouse() as con:
        note_project(
            con,
            server_id=1,
            made_at="m",
            purpose="label",
            title="t",
            run_id="t",
        )
        sent = 0
        for _ in range(STEPS):
            if ground.rng.random() < 0.3 or not ground.recordings:
                ground.add_recording(con)
            ground.rng.choice(happenings)(con, ground.rng.choice(ground.recordings))
            if ground.rng.random() < 0.4:
                sent += ground.push(con)[0]
        assert sent > 0


def test_a_second_push_looks_at_nothing_that_was_done(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(SETTINGS)
    workspace = open_workspace(tmp_path)
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    ground = Ground(
        workspace=workspace,
        models=models,
        rng=random.Random(0),
    )
    with workspace.warehouse() as con:
        note_project(
            con,
            server_id=1,
            made_at="m",
            purpose="label",
            title="t",
            run_id="t",
        )
        for _ in range(5):
            ground.add_recording(con)
        for name in ground.recordings:
            ground.scan(con, name)
        sent, _ = ground.push(con)
        assert sent > 5
        for key in sorted(ground.utterances):
            said = Annotation(
                annotation_id=ground.keys,
                project_id=1,
                utterance_id=key,
                annotator="a",
                labels={"intent": ("ask",)},
                updated_at=NOON,
            )
            ground.keys += 1
            add_annotations(con, [said], run_id="t")
        assert ground.push(con) == (0, 0)
        ground.scan(con, ground.recordings[0])
        _, looked_at = ground.push(con)
        own = [u for u in ground.utterances.values() if u.recording_id == ground.recordings[0]]
        assert looked_at == len(own)
