"""Pre-labelling over a warehouse: what is planned, what is run, and what survives a worker's
death.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile

import flows.prelabel.flow
from flows.models import build_models, model_specs
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.prelabel.plan import plan_prelabel, plan_rows
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES, ingest, quiet
from voxdata.errors import BackendError, DropReason, LockedError, ShortageError
from voxdata.ports import Diarization, Sound
from voxdata.testing.backends import FakeDiarizer
from warehouse.batches import list_batches
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.rows import read_rows
from warehouse.utterances import list_utterances

SETTINGS = (
    FAKES
    + """
[prelabel]
workers = 2
batch_minutes = 0.1
[privacy]
scanner = ""
mask = false
[training]
schemes = []
"""
)
STAGES = ["diarize", "transcribe", "cut", "measure", "label:intent"]


def write_call(path: Path, number: int) -> None:
    """Bursts of noise; how many and how long is the number's."""
    rng = np.random.default_rng(number)
    burst_size = 8_000 + 1_600 * (number % 5)
    parts = []
    for _ in range(1 + number % 3):
        parts += [rng.normal(0, 0.1, burst_size), np.zeros(16_000)]
    soundfile.write(
        path,
        np.concatenate(parts),
        16_000,
        subtype="PCM_16",
    )


def make_workspace(
    root: Path,
    *,
    calls: int = 6,
    settings: str = SETTINGS,
) -> Workspace:
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(settings, encoding="utf-8")
    for number in range(calls):
        write_call(root / "calls" / f"{number:03d}.wav", number)
    workspace = open_workspace(root)
    ingest(workspace, root / "calls")
    return workspace


def reopen(
    workspace: Workspace,
    old: str = "",
    new: str = "",
) -> Workspace:
    path = workspace.root / FILE_NAME
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return open_workspace(workspace.root)


def planned(workspace: Workspace) -> dict[tuple[str, str], tuple[int, str]]:
    """(stage, standing) -> (recordings, why)."""
    plan = plan_prelabel(workspace, build_models(workspace, model_specs(workspace)))
    rows = plan_rows(plan)
    by_stage = {}
    for row in rows:
        key = str(row["stage"]), str(row["standing"])
        by_stage[key] = int(str(row["recordings"])), str(row["why"])
    return by_stage


CONTENT = {
    "turn": "recording_id, key, position, channel, speaker, start_ms, end_ms",
    "transcript": "recording_id, key, channel, passages, words",
    "utterance": (
        "utterance_id, recording_id, key, channel, speaker, start_ms, end_ms, text, language, "
        "words, marks"
    ),
    "measure": "* exclude (created_at, run_id, seq)",
    "prediction": (
        "prediction_id, utterance_id, scheme, scheme_version, label, distribution, model_key, key"
    ),
    "stage_result": "recording_id, stage, key, model_key, num_rows, audio_ms",
    "speaker_embedding": "* exclude (created_at, run_id, seq)",
    "voice_event": "* exclude (created_at, run_id, seq)",
    "ledger": "stage, subject, reason, detail, recording_id, key",
}


def contents(workspace: Workspace) -> dict[str, list[str]]:
    """Every table without its times and run ids, sorted."""
    with workspace.warehouse() as con:
        content = {}
        for table, columns in CONTENT.items():
            rows = read_rows(con, f"select {columns} from {table}")
            content[table] = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
        return content


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "w")


def test_prelabel_pending_does_everything_once(workspace: Workspace) -> None:
    recordings = {key: number for key, (number, _) in planned(workspace).items()}
    assert recordings == {(stage, "new"): 6 for stage in STAGES}
    first = prelabel_pending(workspace, say=quiet)
    assert first.recordings == 6
    assert first.failed == 0
    assert first.utterances == first.predictions == 6 + 2 * 1 + 2 * 2
    after = contents(workspace)
    lengths = {name: len(rows) for name, rows in after.items()}
    assert lengths["stage_result"] == 6 * len(STAGES)
    assert planned(workspace) == {}
    again = prelabel_pending(open_workspace(workspace.root), say=quiet)
    assert again.recordings == 0
    assert again.utterances == 0
    assert again.reused == 0
    assert contents(workspace) == after


@pytest.mark.slow
def test_plan_prelabel_lists_exactly_what_depends_on_a_changed_threshold(
    workspace: Workspace,
) -> None:
    prelabel_pending(workspace, say=quiet)
    cut = reopen(workspace, "[prelabel]", "[utterance]\npause_ms = 300\n[prelabel]")
    assert planned(cut) == {
        ("cut", "stale"): (6, "its settings or its version changed"),
        ("measure", "stale"): (6, "reads cut, which changes"),
        ("label:intent", "stale"): (6, "reads cut, which changes"),
    }
    heard = reopen(workspace, "pause_ms = 300", "pause_ms = 500")
    assert planned(heard) == {}
    louder = reopen(workspace, 'FakeDiarizer"', 'FakeDiarizer"\nfloor = 0.02')
    assert {stage for stage, _ in planned(louder)} == set(STAGES)


@pytest.mark.slow
def test_plan_prelabel_lists_exactly_what_depends_on_a_changed_model(workspace: Workspace) -> None:
    prelabel_pending(workspace, say=quiet)
    newer = reopen(workspace, 'FakeTranscriber"', 'FakeTranscriber"\nrevision = "2"')
    plan = planned(newer)
    assert plan.pop(("transcribe", "stale")) == (6, "model fake/counter or its parameters changed")
    assert {stage for stage, _ in plan} == {"cut", "measure", "label:intent"}
    prelabel_pending(newer, say=quiet)
    older = reopen(newer, '\nrevision = "2"', "")
    assert {key: n for key, (n, _) in planned(older).items()} == {
        (s, "again"): 6 for s in STAGES[1:]
    }
    with older.warehouse() as con:
        before = len(read_rows(con, "select 1 from utterance"))
    summary = prelabel_pending(older, say=quiet)
    assert summary.recordings == 0
    assert summary.reused == 6 * 4
    with older.warehouse() as con:
        assert len(read_rows(con, "select 1 from utterance")) == before
        assert len(list_utterances(con)) == 12
    assert planned(older) == {}


def test_plan_prelabel_lists_one_changed_file_and_its_orphan(workspace: Workspace) -> None:
    prelabel_pending(workspace, say=quiet)
    changed = workspace.root / "calls" / "001.wav"
    write_call(changed, 77)
    ingest(workspace, workspace.root / "calls")
    plan = planned(workspace)
    assert plan.pop(("all", "orphaned"))[0] == 1
    assert plan == {(stage, "new"): (1, "never done") for stage in STAGES}
    assert prelabel_pending(workspace, say=quiet).recordings == 1
    assert set(planned(workspace)) == {("all", "orphaned")}


@pytest.mark.slow
def test_prelabel_pending_gives_equal_tables_for_any_number_of_workers(tmp_path: Path) -> None:
    tables = []
    for workers in (1, 2, 4):
        workspace = make_workspace(
            tmp_path / str(workers),
            settings=SETTINGS.replace("workers = 2", f"workers = {workers}"),
        )
        prelabel_pending(workspace, say=quiet)
        tables.append(contents(workspace))
    assert tables[0]["utterance"]
    assert tables[0] == tables[1] == tables[2]


class LethalDiarizer(FakeDiarizer):
    """Kills its process on recordings of one length, and fails on those of another."""

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        for sound in sounds:
            if sound.num_samples == 8_000 + 1_600 + 16_000 + 9_600 + 16_000:
                os.kill(os.getpid(), signal.SIGSEGV)
            if sound.num_samples == 3 * (8_000 + 1_600 * 2 + 16_000):
                raise ValueError("no voice of this kind is known")
        return super().diarize(sounds, max_speakers=max_speakers)


@pytest.mark.slow
def test_prelabel_pending_survives_a_recording_that_kills_its_worker(tmp_path: Path) -> None:
    settings = SETTINGS.replace(
        "voxdata.testing.backends:FakeDiarizer", f"{__name__}:LethalDiarizer"
    )
    workspace = make_workspace(tmp_path / "w", settings=settings)
    summary = prelabel_pending(workspace, say=quiet)
    assert summary.recordings == 6
    assert summary.failed == 2
    with workspace.warehouse() as con:
        drops = {Path(d.subject).name: (d.stage, d.reason) for d in list_drops(con)}
        recording_ids = {u.recording_id for u in list_utterances(con)}
        assert len(recording_ids) == 4
    assert drops == {
        "001.wav": ("diarize", DropReason.CRASHED),
        "002.wav": ("diarize", DropReason.CRASHED),
    }
    assert planned(workspace)["diarize", "failed"][0] == 2
    assert prelabel_pending(open_workspace(workspace.root), say=quiet).recordings == 0


class GreedyDiarizer(FakeDiarizer):
    """On recordings of one length it hangs, on those of another it wants all memory."""

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        for sound in sounds:
            if sound.num_samples == 8_000 + 1_600 + 16_000 + 9_600 + 16_000:
                time.sleep(600)
            if sound.num_samples == 3 * (8_000 + 1_600 * 2 + 16_000):
                bytearray(64 << 30)
        return super().diarize(sounds, max_speakers=max_speakers)


@pytest.mark.slow
def test_prelabel_pending_tries_on_three_days_what_hangs_or_swells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "[prelabel]\nstall_seconds = 3\nmemory_gb = 4\n"
    settings = SETTINGS.replace(
        "voxdata.testing.backends:FakeDiarizer", f"{__name__}:GreedyDiarizer"
    )
    settings = settings.replace("[prelabel]\n", limits)
    workspace = make_workspace(tmp_path / "w", settings=settings)
    for number in range(3):
        day = date(2026, 1, 5 + number)
        monkeypatch.setattr("flows.workers.days.today", lambda day=day: day)
        prelabel_pending(open_workspace(workspace.root), say=quiet)
        assert planned(workspace)["diarize", "failed"][0] == 2
        summary = prelabel_pending(open_workspace(workspace.root), say=quiet)
        assert summary.recordings == 0
    monkeypatch.setattr("flows.workers.days.today", lambda: date(2026, 1, 8))
    assert planned(workspace)["diarize", "failed"][0] == 2
    with workspace.warehouse() as con:
        drops = {Path(d.subject).name: (d.reason, d.tries) for d in list_drops(con)}
    assert drops == {
        "001.wav": (DropReason.TIMED_OUT, 3),
        "002.wav": (DropReason.OUT_OF_MEMORY, 3),
    }


class KilledDiarizer(FakeDiarizer):
    """The system ends its process over recordings of one length."""

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        if any(s.num_samples == 8_000 + 1_600 + 16_000 + 9_600 + 16_000 for s in sounds):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().diarize(sounds, max_speakers=max_speakers)


@pytest.mark.slow
def test_prelabel_pending_lets_rest_what_the_system_killed_on_three_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.replace(
        "voxdata.testing.backends:FakeDiarizer", f"{__name__}:KilledDiarizer"
    )
    workspace = make_workspace(tmp_path / "w", settings=settings)
    for number in range(2):
        day = date(2026, 1, 5 + number)
        monkeypatch.setattr("flows.workers.days.today", lambda day=day: day)
        with pytest.raises(ShortageError, match="1 recording was not pre-labelled"):
            prelabel_pending(open_workspace(workspace.root), say=quiet)
        assert planned(workspace)["diarize", "new"][0] == 1
    monkeypatch.setattr("flows.workers.days.today", lambda: date(2026, 1, 7))
    summary = prelabel_pending(open_workspace(workspace.root), say=quiet)
    assert summary.failed == 1
    with workspace.warehouse() as con:
        drops = [(d.reason, d.tries) for d in list_drops(con)]
        assert drops == [(DropReason.KILLED, 3)]
    assert planned(workspace)["diarize", "failed"][0] == 1
    summary = prelabel_pending(open_workspace(workspace.root), say=quiet)
    assert summary.recordings == 0


class AbsentDiarizer(FakeDiarizer):
    """A model that cannot be had: for all recordings, or for those of one length."""

    def __init__(self, *, picky: bool = False, **_options: object) -> None:
        super().__init__()
        self._picky = picky

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        if not self._picky or any(
            sound.num_samples == 3 * (8_000 + 1_600 * 2 + 16_000) for sound in sounds
        ):
            raise BackendError("the model is not here; fetch it")
        return super().diarize(sounds, max_speakers=max_speakers)


def test_prelabel_pending_stops_and_records_nothing_when_no_model_works(tmp_path: Path) -> None:
    settings = SETTINGS.replace(
        "voxdata.testing.backends:FakeDiarizer", f"{__name__}:AbsentDiarizer"
    )
    workspace = make_workspace(tmp_path / "w", settings=settings)
    with pytest.raises(BackendError, match="nothing can be pre-labelled: the model is not here"):
        prelabel_pending(workspace, say=quiet)
    with workspace.warehouse() as con:
        assert list_drops(con) == []
    assert planned(workspace)["diarize", "new"][0] == 6


def test_prelabel_pending_tries_again_what_a_model_refused(tmp_path: Path) -> None:
    settings = SETTINGS.replace(
        '"voxdata.testing.backends:FakeDiarizer"', f'"{__name__}:AbsentDiarizer"\npicky = true'
    )
    workspace = make_workspace(tmp_path / "w", settings=settings)
    with pytest.raises(BackendError, match="the rest was done"):
        prelabel_pending(workspace, say=quiet)
    with workspace.warehouse() as con:
        recording_ids = {u.recording_id for u in list_utterances(con)}
        assert len(recording_ids) == 5
    assert planned(workspace)["diarize", "new"][0] == 1


def test_prelabel_pending_goes_on_without_lost_audio_and_ingest_brings_it_back(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path / "w")
    with workspace.warehouse() as con:
        stored = list_recordings(con)
    gone, empty, cut = (workspace.audio_dir / s.audio_file for s in stored[:3])
    gone.unlink()
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:-400])
    summary = prelabel_pending(workspace, say=quiet)
    assert summary.recordings == 6
    assert summary.failed == 3
    with workspace.warehouse() as con:
        recording_ids = {u.recording_id for u in list_utterances(con)}
        assert len(recording_ids) == 3
    ingest(workspace, workspace.root / "calls")
    assert prelabel_pending(open_workspace(workspace.root), say=quiet).failed == 0
    with workspace.warehouse() as con:
        recording_ids = {u.recording_id for u in list_utterances(con)}
        assert len(recording_ids) == 6
    assert ingest(workspace, workspace.root / "calls").known == 6


def test_prelabel_leaves_a_batch_when_the_warehouse_is_locked_and_the_next_writer_merges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path / "a", calls=3)
    same = make_workspace(tmp_path / "b", calls=3)
    prelabel_pending(same, say=quiet)
    stored = flows.prelabel.flow.store_unit.fn
    locked = Workspace.warehouse

    def store_while_locked(*arguments: object) -> object:
        def refuse(*_: object, **__: object) -> object:
            raise LockedError("locked by process 1")

        with monkeypatch.context() as patch:
            patch.setattr(Workspace, "warehouse", refuse)
            return stored(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(flows.prelabel.flow.store_unit, "fn", store_while_locked)
        summary = prelabel_pending(workspace, say=quiet)
    assert Workspace.warehouse is locked
    assert summary.recordings == 3
    with workspace.warehouse() as one, same.warehouse() as other:
        assert list_batches(workspace.batches_dir) == []
        query = "select utterance_id, text, language from current_utterance order by all"
        assert read_rows(one, query) == read_rows(other, query) != []
        stages = "select stage, count(*) as n from current_result group by all order by all"
        assert read_rows(one, stages) == read_rows(other, stages)
        assert len(read_rows(one, "from merged_batch")) > 0
    assert prelabel_pending(workspace, say=quiet).recordings == 0


def test_plan_prelabel_hears_nothing_again_for_another_script_of_chinese(
    workspace: Workspace,
) -> None:
    prelabel_pending(workspace, say=quiet)
    written = reopen(workspace, 'FakeTranscriber"', 'FakeTranscriber"\nchinese = "simplified"')
    assert planned(written) == {
        ("cut", "stale"): (6, "its settings or its version changed"),
        ("measure", "stale"): (6, "reads cut, which changes"),
        ("label:intent", "stale"): (6, "reads cut, which changes"),
    }
    assert prelabel_pending(written, say=quiet).failed == 0
    assert planned(reopen(written, "simplified", "as heard")).keys() <= {
        ("cut", "again"),
        ("measure", "again"),
        ("label:intent", "again"),
    }
