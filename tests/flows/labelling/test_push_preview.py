"""`voxdata push --plan`: what would go out and what not, through the command and with no server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli.main import run_command
from flows.labelling.push import push_pending
from flows.labelling.push_preview import preview_push
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES
from voxdata.canonical import write_canonical
from voxdata.recording import Recording
from voxdata.testing import make_recording, make_utterance
from voxdata.testing.annotation_queue import FakeQueue
from voxdata.utterance import Utterance
from warehouse.metadata import store_metadata
from warehouse.privacy import store_private_spans
from warehouse.pushes import record_missing
from warehouse.recordings import add_recording, add_source
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances

SETTINGS = FAKES + "[training]\nschemes = []\n"
GOOD, REFUSED, LOST, UNSCANNED = [make_recording(number) for number in range(4)]

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a person does; its exit code, what it printed and what it said."""

    def run(root: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["voxdata", "--dir", str(root), *arguments])
        code = run_command()
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def clips_of(
    recording: Recording,
    count: int,
    *,
    length_ms: int = 900,
) -> list[Utterance]:
    name = recording.recording_id
    starts = [1_000 * place for place in range(count)]
    return [make_utterance(start, start + length_ms, recording_id=name) for start in starts]


def add_call(
    workspace: Workspace,
    recording: Recording,
    said: list[Utterance],
) -> None:
    """A recording that was cut; without audio, a file that is gone."""
    name = recording.recording_id
    with workspace.warehouse() as con:
        add_recording(con, recording, audio_file=f"{name}.flac", run_id="t")
        add_source(
            con,
            uri=f"/calls/{name[:4]}.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id=name,
            run_id="t",
        )
        store_utterances(con, said, key="c", run_id="t")
        _record(con, recording, "cut", len(said))


def scan(workspace: Workspace, recording: Recording) -> None:
    with workspace.warehouse() as con:
        store_private_spans(con, recording.recording_id, {}, key="s", run_id="t")
        _record(con, recording, "scan", 0)


def _record(con: Any, recording: Recording, stage: str, rows: int) -> None:
    record_stage(
        con,
        recording_id=recording.recording_id,
        stage=stage,
        key=stage[0],
        model_key=None,
        num_rows=rows,
        audio_ms=1,
        seconds=1.0,
        run_id="t",
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three clips that may go out, and one for each reason to stay."""
    (tmp_path / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    workspace = open_workspace(tmp_path)
    brief = make_utterance(8_000, 8_100, recording_id=GOOD.recording_id)
    for recording, said in (
        (GOOD, [*clips_of(GOOD, 3), brief]),
        (REFUSED, clips_of(REFUSED, 1)),
        (LOST, clips_of(LOST, 1)),
        (UNSCANNED, clips_of(UNSCANNED, 1)),
    ):
        add_call(workspace, recording, said)
        if recording is not LOST:
            path = workspace.audio_dir / f"{recording.recording_id}.flac"
            samples = np.full((160_000, 1), 0.5, np.float32)
            write_canonical(path, samples)
        if recording is not UNSCANNED:
            scan(workspace, recording)
    with workspace.warehouse() as con:
        store_metadata(
            con,
            REFUSED.recording_id,
            {"consent": "no"},
            manifest="m",
            run_id="t",
        )
    return workspace


def contents(root: Path) -> dict[str, bytes]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_push_plan_says_what_goes_out_and_why_the_rest_does_not_and_writes_nothing(
    workspace: Workspace, command: Command
) -> None:
    before = contents(workspace.root)
    code, printed, told = command(
        workspace.root,
        "push",
        "--plan",
        "--json",
    )
    assert code == 0, told
    plan = json.loads(printed)
    utterance_ids = {row["utterance_id"] for row in plan["outgoing"]}
    assert utterance_ids == {clip.utterance_id for clip in clips_of(GOOD, 3)}
    places = [row["place"] for row in plan["outgoing"]]
    assert places == [1, 2, 3]
    held = {row["reason"]: row for row in plan["held_back"]}
    clips = {reason: row["clips"] for reason, row in held.items()}
    assert clips == {
        "too short": 1,
        "a release would refuse it": 1,
        "bad audio": 1,
        "not scanned for personal data": 1,
    }
    assert held["a release would refuse it"]["why"] == "consent was refused"
    assert "gone" in held["bad audio"]["why"]
    assert held["bad audio"]["utterance_ids"] == [clips_of(LOST, 1)[0].utterance_id]
    (new,) = plan["counts"]
    assert new["standing"] == "new"
    assert new["clips"] == 3
    assert new["audio_minutes"] == pytest.approx(0.04, abs=0.005)
    assert new["work_minutes"] > new["audio_minutes"]
    assert contents(workspace.root) == before


def test_push_plan_shows_tables_to_people(workspace: Workspace, command: Command) -> None:
    code, printed, told = command(workspace.root, "push", "--plan")
    assert code == 0, told
    assert [title in printed for title in ("goes out", "stays", "minutes")] == [True] * 3
    assert "consent was refused" in printed


def test_push_plan_keeps_to_the_budget(workspace: Workspace, command: Command) -> None:
    code, printed, told = command(
        workspace.root,
        "push",
        "--plan",
        "--json",
        "--budget",
        "16s",
    )
    assert code == 0, told
    plan = json.loads(printed)
    held = {row["why"]: row["clips"] for row in plan["held_back"]}
    assert held["no room in the budget"] == 4 - len(plan["outgoing"])
    assert 0 < len(plan["outgoing"]) < 3


def test_push_plan_is_what_the_push_then_does(workspace: Workspace) -> None:
    lines: list[str] = []
    preview = preview_push(workspace, say=lines.append)
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    summary = push_pending(workspace, queue=queue, say=lines.append)
    order = [clip.utterance_id for clip in preview.ordered]
    assert sorted(queue.entries, key=lambda name: queue.entries[name].priority) == order
    held = preview.plan.held_back
    kept_back = summary.too_short + summary.no_consent + summary.not_scanned + summary.bad_audio
    assert summary.pushed == len(order)
    assert kept_back == len(held)
    after = preview_push(workspace, say=lines.append)
    assert after.plan.outgoing == ()
    standings = [row["standing"] for row in after.count_rows()]
    assert standings == ["there as it is"]


def test_push_plan_learns_from_a_push_what_was_deleted_on_the_server(
    workspace: Workspace,
) -> None:
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    push_pending(workspace, queue=queue, say=lambda line: None)
    name = clips_of(GOOD, 1)[0].utterance_id
    queue.remove_clip(name)
    assert preview_push(workspace, say=lambda line: None).plan.outgoing == ()
    with workspace.warehouse() as con:
        record_missing(con, [name], project_id=1, run_id="t")
    preview = preview_push(workspace, say=lambda line: None)
    utterance_ids = [clip.utterance_id for clip in preview.plan.outgoing]
    assert utterance_ids == [name]
    assert [preview.standing(clip) for clip in preview.ordered] == ["again"]


@pytest.mark.parametrize("strategy", ["hybrid", "coverage"])
def test_push_plan_says_when_the_encoder_has_not_listened(
    workspace: Workspace, command: Command, strategy: str
) -> None:
    more = f'[annotation]\nembeddings = true\nstrategy = "{strategy}"\n'
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS + more, encoding="utf-8")
    code, printed, told = command(
        workspace.root,
        "push",
        "--plan",
        "--json",
    )
    assert code == 0, told
    assert "has not heard every clip" in told
    assert len(json.loads(printed)["outgoing"]) == 3
