"""Somebody is forgotten while another flow is at work with what it knew before: nothing of them
comes back, whoever comes last.

Each flow is stopped at the seam behind its reading and before its writing, by replacing what stands
there; nobody sleeps.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import soundfile  # type: ignore[import-untyped]
from typer.testing import CliRunner

import flows.exchange.ours
import flows.exchange.theirs
import flows.forget.erase_steps
import flows.ingest.duplicates
import flows.ingest.flow
import flows.labelling.pull
import flows.labelling.push
import flows.labelling.rebuild
import flows.prelabel.flow
import flows.release.flow
import flows.retrain.finetune
from flows.cli.main import app
from flows.exchange.ours import import_export
from flows.exchange.theirs import import_manifest
from flows.forget.flow import Forgotten, forget
from flows.forget.search import search_folder
from flows.ingest.flow import ingest_manifest
from flows.labelling.pull import pull_changes
from flows.labelling.push import push_pending
from flows.labelling.queues import Project
from flows.labelling.rebuild import rebuild_project
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.prelabel.worker import Outcome, Unit, run_unit
from flows.release.flow import release_version
from flows.retrain.finetune import train_version
from flows.retrain.late import MEANWHILE
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES, ingest, quiet
from training.feature_files import (
    SHARD_SUFFIX,
    encode_names,
    feature_file,
    feature_name,
    find_shards,
    read_names,
)
from voxdata.errors import DropReason, TrainingError
from voxdata.ports import PullResult, Refusal, TrainingJob
from voxdata.recording import canonical_file
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.annotations import current_annotations
from warehouse.batches import MERGED, list_batches, staged_rows
from warehouse.chain import check_chain
from warehouse.exchange.read import read_export
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.rows import read_rows
from warehouse.runs import list_training_runs
from warehouse.verify import verify_all
from warehouse.versions import load_examples

SETTINGS = (
    FAKES
    + """
[privacy]
scanner = ""
mask = false
[annotation]
min_clip_ms = 1
[release]
min_votes = 1
[training]
schemes = ["intent"]
"""
)
SECRETS = ("Customer Gone Smith", "corrected words of Gone", "gone-caller")


@dataclass
class Stage:
    """A busy workspace, the one who asks to be forgotten, and an annotation queue in memory."""

    workspace: Workspace
    queue: FakeQueue
    recording_id: str = ""
    utterance_ids: list[str] = field(default_factory=list)
    found: Forgotten | None = None

    def forget(self) -> None:
        """Forget the one, once."""
        if self.found is None:
            self.found = forget(
                self.workspace,
                "recording",
                self.recording_id,
                reason="asked",
                say=quiet,
                delete_sources=True,
            )

    def assert_gone(self) -> None:
        """No row, no task, no byte, and everybody else is as before."""
        assert self.found is not None
        assert self.found.hits == ()
        probes = [self.recording_id, *self.utterance_ids, *SECRETS]
        with self.workspace.warehouse() as con:
            for row in read_rows(
                con,
                """
                select table_name, column_name from duckdb_columns()
                where database_name = current_database()
                  and table_name in (
                    select table_name from duckdb_tables() where not internal and not temporary)
                """,
            ):
                for probe in probes:
                    sql = (
                        f'select * from "{row["table_name"]}" where '
                        f'contains("{row["column_name"]}"::varchar, ?)'
                    )
                    assert read_rows(con, sql, [probe]) == [], (row, probe)
            assert check_chain(con) == []
            assert all(one.ok for one in verify_all(con))
        assert [key for key in self.queue.entries if key in self.utterance_ids] == []
        assert search_folder(self.workspace.root, probes) == ()
        names = [str(path) for path in self.workspace.root.rglob("*")]
        assert [(name, probe) for name, probe in product(names, probes) if probe in name] == []
        assert cached(self.workspace, self.utterance_ids) == []


def cached(workspace: Workspace, utterance_ids: list[str]) -> list[Path]:
    names = set(map(feature_name, utterance_ids))
    single = [path for path in workspace.models_dir.rglob("*.npz") if path.stem in names]
    shards = find_shards(workspace.models_dir)
    return single + [shard for shard in shards if names & set(read_names(shard))]


def write_features(folder: Path, utterance_ids: list[str]) -> None:
    """A shard, and the files that earlier releases wrote."""
    folder.mkdir(parents=True)
    for key in utterance_ids:
        (folder / feature_file(key)).write_bytes(b"PK")
    rows = {
        "features": np.zeros((len(utterance_ids), 1, 2), np.float16),
        "names": encode_names(map(feature_name, utterance_ids)),
    }
    (folder / f"one{SHARD_SUFFIX}").write_bytes(safetensors.numpy.save(rows))


def run_here(_workspace: Workspace, units: Iterator[Unit]) -> Iterator[tuple[Unit, list[Outcome]]]:
    """Units in this process."""
    for unit in units:
        yield unit, run_unit(unit)


def write_call(path: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    path.parent.mkdir(exist_ok=True)
    soundfile.write(
        path,
        np.concatenate(
            [
                rng.normal(0, 0.1, 24_000),
                np.zeros(16_000),
                rng.normal(0, 0.1, 16_000),
            ]
        ),
        16_000,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two calls: ingested, with what a manifest says of the callers, and pre-labelled."""
    root = tmp_path_factory.mktemp("made") / "w"
    root.mkdir()
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    for number, name in enumerate(("gone-caller", "other-caller")):
        write_call(root / "inbox" / f"{name}.wav", number)
    lines = [
        "audio,customer",
        "inbox/gone-caller.wav,Customer Gone Smith",
        "inbox/other-caller.wav,Customer Other Smith",
    ]
    manifest_file = root / "manifest.csv"
    manifest_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    workspace = open_workspace(root)
    ingest_manifest(workspace, root / "manifest.csv", say=quiet)
    (root / "manifest.csv").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.prelabel.flow, "run_units", run_here)
        prelabel_pending(workspace, say=quiet)
    return root


@pytest.fixture
def stage(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    shutil.copytree(made, tmp_path / "w")
    workspace = open_workspace(tmp_path / "w")
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    monkeypatch.setattr(flows.prelabel.flow, "run_units", run_here)
    project = Project(
        workspace=workspace,
        queue=queue,
        project_id=1,
    )
    for flow in (flows.forget.erase_steps, flows.labelling.pull):
        monkeypatch.setattr(flow, "open_projects", lambda _workspace: [project])
    with workspace.warehouse() as con:
        (row,) = read_rows(
            con, "select recording_id from source where contains(uri, 'gone-caller')"
        )
        name = str(row["recording_id"])
        said = [
            str(row["utterance_id"])
            for row in read_rows(
                con, "select utterance_id from utterance where recording_id = ?", [name]
            )
        ]
    assert len(said) == 2
    return Stage(workspace, queue, name, said)


def label(stage: Stage) -> None:
    """Push everything, and have somebody answer and correct."""
    push_pending(stage.workspace, queue=stage.queue, say=quiet)
    for number, key in enumerate(sorted(stage.queue.entries)):
        text = (
            "corrected words of Gone"
            if key in stage.utterance_ids
            else "corrected words of somebody else"
        )
        stage.queue.answer(
            key,
            {"intent": (("ask", "tell")[number % 2],)},
            annotator="a",
            text=text,
        )
    pull_changes(stage.workspace, say=quiet)


def at(
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    do: Callable[[], None],
    *,
    after: bool = False,
) -> None:
    """Do something whenever a function is called, before or after it does its own."""
    real = getattr(where, name)

    def replaced(*arguments: Any, **options: Any) -> Any:
        if not after:
            do()
        answer = real(*arguments, **options)
        if after:
            do()
        return answer

    monkeypatch.setattr(where, name, replaced)


def in_turn(begin: Callable[[Callable[[str], None]], object], *, until: str) -> threading.Thread:
    """Begin something in a thread, and come back once it waits for us, as it says itself."""
    waits = threading.Event()
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)
        if until in line:
            waits.set()

    thread = threading.Thread(
        target=begin,
        args=(say,),
        daemon=True,
    )
    thread.start()
    assert waits.wait(60), told
    return thread


def test_forget_during_ingest(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "elsewhere" / "again.wav"
    write_call(copy, 0)
    manifest = copy.with_name("m.csv")
    manifest.write_text("audio,customer\nagain.wav,Customer Gone Smith\n", encoding="utf-8")
    canonical = stage.workspace.audio_dir / canonical_file(stage.recording_id)
    decoded = canonical.read_bytes()

    def forget_before_the_worker_is_done() -> None:
        stage.forget()
        canonical.parent.mkdir(exist_ok=True)
        canonical.write_bytes(decoded)

    at(monkeypatch, flows.ingest.flow, "_settle", forget_before_the_worker_is_done)
    summary = ingest_manifest(stage.workspace, manifest, say=quiet)
    assert summary.recordings == 0
    assert summary.duplicates == 0
    assert summary.dropped == 1
    assert not canonical.exists()
    stage.assert_gone()


def test_forget_while_near_duplicates_are_searched(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage.workspace.warehouse() as con:
        con.execute("delete from fingerprint")
    at(
        monkeypatch,
        flows.ingest.duplicates,
        "open_canonical",
        stage.forget,
        after=True,
    )
    ingest(stage.workspace, stage.workspace.root / "inbox" / "other-caller.wav")
    stage.assert_gone()


def test_forget_during_prelabel(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # All is cut anew, so that nobody knew the utterances when they were forgotten.
    path = stage.workspace.root / FILE_NAME
    path.write_text(
        path.read_text(encoding="utf-8") + "[utterance]\nmax_ms = 1000\n",
        encoding="utf-8",
    )
    stage.workspace = open_workspace(stage.workspace.root)
    late: list[str] = []

    def run_and_forget(
        workspace: Workspace, units: Iterator[Unit]
    ) -> Iterator[tuple[Unit, list[Outcome]]]:
        for unit, outcomes in list(run_here(workspace, units)):
            for outcome in outcomes:
                if outcome.work.recording_id == stage.recording_id:
                    late.extend(u.utterance_id for u in outcome.work.utterances)
            stage.forget()
            yield unit, outcomes

    monkeypatch.setattr(flows.prelabel.flow, "run_units", run_and_forget)
    summary = prelabel_pending(stage.workspace, say=quiet)
    assert set(late) - set(stage.utterance_ids)
    assert summary.recordings == 1
    assert summary.utterances == len(late)
    stage.utterance_ids += late
    stage.assert_gone()
    with stage.workspace.warehouse() as con:
        (drop,) = {row.subject for row in list_drops(con) if row.reason is DropReason.FORGOTTEN}
        assert stage.found is not None
        assert drop == f"receipt {stage.found.receipt_id}"


def test_forget_before_a_batch_is_merged(stage: Stage) -> None:
    with stage.workspace.warehouse() as con:
        rows = {
            table: con.sql(f"from {table} where recording_id = '{stage.recording_id}'").pl()
            for table in ("turn", "utterance")
        }
        rows["prediction"] = con.sql("from prediction").pl()
    stage.forget()
    with staged_rows(stage.workspace.batches_dir, run_id="late") as con:
        for table, frame in rows.items():
            con.register("late_rows", frame)
            con.execute(f"insert into {table} by name from late_rows")
            assert len(frame)
    assert len(list_batches(stage.workspace.batches_dir)) == 1
    stage.assert_gone()
    assert list_batches(stage.workspace.batches_dir) == []
    assert len(list((stage.workspace.batches_dir / MERGED).iterdir())) == 1


def test_forget_waits_for_a_push_and_takes_its_clips(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def forget_meanwhile() -> None:
        def begin(say: Callable[[str], None]) -> None:
            stage.found = forget(
                stage.workspace,
                "recording",
                stage.recording_id,
                reason="asked",
                say=say,
                delete_sources=True,
            )

        threads.append(in_turn(begin, until="another process is pushing clips"))

    at(monkeypatch, stage.queue, "push", forget_meanwhile)
    summary = push_pending(stage.workspace, queue=stage.queue, say=quiet)
    assert summary.pushed == 4
    threads[0].join(120)
    assert len(stage.queue.entries) == 2
    stage.assert_gone()


def test_forget_waits_for_a_rebuild_and_takes_what_it_wrote(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(stage)
    with stage.workspace.warehouse() as con:
        for annotation in current_annotations(con):
            stage.queue.remove(annotation.annotation_id)
    assert pull_changes(stage.workspace, say=quiet).vanished == 4
    server = SimpleNamespace(ensure_annotator=lambda *_: None)
    stage.queue.server = server  # type: ignore[attr-defined]
    threads: list[threading.Thread] = []

    def forget_meanwhile() -> None:
        def begin(say: Callable[[str], None]) -> None:
            stage.found = forget(
                stage.workspace,
                "recording",
                stage.recording_id,
                reason="asked",
                say=say,
                delete_sources=True,
            )

        threads.append(in_turn(begin, until="another process is pushing clips"))

    at(monkeypatch, stage.queue, "restore", forget_meanwhile)
    assert (
        rebuild_project(stage.workspace, vanished=True, queue=stage.queue, say=quiet).annotations
        == 4
    )
    threads[0].join(120)
    assert stage.queue.counts().annotations == 2
    stage.assert_gone()


def test_forget_asks_for_clips_that_nobody_noted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        # The push dies after the server took the clips and before that is noted.
        patch.setattr(
            flows.labelling.push,
            "record_pushes",
            lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            push_pending(stage.workspace, queue=stage.queue, say=quiet)
    assert len(stage.queue.entries) == 4
    with stage.workspace.warehouse() as con:
        assert read_rows(con, "from push") == []
    lineage = stage.workspace.root / stage.workspace.settings.lineage.file
    lineage.write_text(
        json.dumps({"inputs": [stage.utterance_ids[0], "another"]}) + "\n",
        encoding="utf-8",
    )
    stage.forget()
    assert lineage.read_text(encoding="utf-8") == '{"inputs": ["[erased]", "another"]}\n'
    assert len(stage.queue.entries) == 2
    stage.assert_gone()


def test_forget_during_pull(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    push_pending(stage.workspace, queue=stage.queue, say=quiet)
    for key in stage.queue.entries:
        stage.queue.answer(
            key,
            {"intent": ("ask",)},
            annotator="a",
            text="corrected words of Gone" if key in stage.utterance_ids else "x",
        )
    real = stage.queue.pull

    def pull_and_forget(**options: Any) -> PullResult:
        pulled = real(**options)
        stage.forget()
        refusal = Refusal(
            annotation_id=77,
            utterance_id=stage.utterance_ids[0],
            why="corrected words of Gone cannot be read",
        )
        return PullResult(
            annotations=pulled.annotations,
            clips=pulled.clips,
            marks=pulled.marks,
            read_at=pulled.read_at,
            refused=(refusal,),
        )

    monkeypatch.setattr(stage.queue, "pull", pull_and_forget)
    summary = pull_changes(stage.workspace, say=quiet)
    assert summary.seen == 4
    assert summary.new_revisions == 2
    stage.assert_gone()


def test_forget_during_release(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    label(stage)
    threads: list[threading.Thread] = []

    def forget_meanwhile() -> None:
        threads.append(threading.Thread(target=stage.forget, daemon=True))
        threads[0].start()

    # A release is drafted from a copy, and drafted again when somebody was forgotten meanwhile.
    at(monkeypatch, flows.release.flow, "draft_version", forget_meanwhile, after=True)
    summary = release_version(stage.workspace, "calls", say=quiet)
    threads[0].join(120)
    assert summary.version.num_examples in (2, 4)
    stage.assert_gone()
    with stage.workspace.warehouse() as con:
        assert len(load_examples(con, summary.version.version_id)) == 2


def test_forget_during_training(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    label(stage)
    version = release_version(stage.workspace, "calls", say=quiet).version

    class Launcher:
        """Trains for long, on what it read at the start."""

        def __init__(self, **_: Any) -> None:
            return

        def launch(self, job: TrainingJob) -> dict[str, object]:
            examples = job.manifest.read_text(encoding="utf-8")
            assert all(key in examples for key in stage.utterance_ids)
            stage.forget()
            features = stage.workspace.models_dir / "features" / "e"
            write_features(features, stage.utterance_ids)
            assert len(cached(stage.workspace, stage.utterance_ids)) > len(stage.utterance_ids)
            manifest_file = job.output / "manifest.jsonl"
            manifest_file.write_text(examples, encoding="utf-8")
            rows = [
                json.dumps({"utterance_id": key, "label": "ask"}) for key in stage.utterance_ids
            ]
            predictions_file = job.output / "predictions.jsonl"
            predictions_file.write_text("\n".join(rows), encoding="utf-8")
            return {
                "model": {"key": "k", "name": "n"},
                "decision": {"promote": True, "reason": "better"},
            }

    monkeypatch.setattr(flows.retrain.finetune, "LocalLauncher", Launcher)
    monkeypatch.setattr(flows.retrain.finetune, "find_shortage", lambda *_, **__: "")
    with pytest.raises(TrainingError, match="was forgotten while it ran"):
        train_version(stage.workspace, ["intent"], version.ref, say=quiet)
    with stage.workspace.warehouse() as con:
        (run,) = list_training_runs(con)
    assert run.state == "failed"
    assert run.promoted is False
    assert run.reason == MEANWHILE
    stage.assert_gone()


def test_forget_while_a_training_fails_for_want_of_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(stage)
    version = release_version(stage.workspace, "calls", say=quiet).version
    monkeypatch.setattr(flows.retrain.finetune, "find_shortage", lambda *_, **__: "")
    at(monkeypatch, flows.retrain.finetune, "write_config", stage.forget)

    class Launcher:
        def __init__(self, **_: Any) -> None:
            return

        def launch(self, job: TrainingJob) -> dict[str, object]:
            raise TrainingError(
                f"example {stage.utterance_ids[0]}: there is no {stage.recording_id}.flac"
            )

    monkeypatch.setattr(flows.retrain.finetune, "LocalLauncher", Launcher)
    with pytest.raises(TrainingError, match="was forgotten while it ran"):
        train_version(stage.workspace, ["intent"], version.ref, say=quiet)
    stage.assert_gone()


def test_forget_waits_for_an_export_and_takes_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warehouse.exchange.write

    label(stage)
    release_version(stage.workspace, "calls", say=quiet)
    threads: list[threading.Thread] = []

    def forget_meanwhile() -> None:
        def begin(say: Callable[[str], None]) -> None:
            stage.found = forget(
                stage.workspace,
                "recording",
                stage.recording_id,
                reason="asked",
                say=say,
                delete_sources=True,
            )

        threads.append(in_turn(begin, until="another process is writing files of what people said"))

    at(monkeypatch, warehouse.exchange.write, "_fill", forget_meanwhile)
    done = CliRunner().invoke(
        app,
        ["--dir", str(stage.workspace.root), "export", "calls", "--format", "webdataset"],
    )
    assert done.exit_code == 0, done.output
    threads[0].join(120)
    stage.assert_gone()


def exported(stage: Stage, folder: Path) -> Path:
    """An export of everybody, outside the workspace."""
    label(stage)
    release_version(stage.workspace, "calls", say=quiet)
    done = CliRunner().invoke(
        app,
        [
            "--dir",
            str(stage.workspace.root),
            "export",
            "calls",
            "--format",
            "jsonl",
            "--audio",
            "clips",
            "--output",
            str(folder),
        ],
    )
    assert done.exit_code == 0, done.output
    # A copy that somebody made, as voxdata takes back what it wrote itself.
    shutil.copytree(folder, folder.with_name("copied"))
    return folder.with_name("copied")


def test_forget_during_import(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = read_export(exported(stage, tmp_path / "elsewhere"))
    (stage.workspace.audio_dir / canonical_file(stage.recording_id)).unlink()
    lines: list[str] = []
    at(
        monkeypatch,
        flows.exchange.ours,
        "find_clips",
        stage.forget,
        after=True,
    )
    version, new = import_export(
        stage.workspace,
        export,
        name="copy",
        say=lines.append,
    )
    assert new is True
    assert version.num_examples == 2
    assert "import: left out 2 examples of people who were forgotten here" in lines
    stage.assert_gone()


def test_forget_during_import_of_labelled_clips(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["audio,label,split,speaker,text"]
    for number, split in enumerate(("train", "test")):
        write_call(tmp_path / "theirs" / f"{number}.wav", number)
        rows.append(f"{number}.wav,ask,{split},p{number},{SECRETS[0] if number == 0 else 'x'}")
    table_file = tmp_path / "theirs" / "m.csv"
    table_file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    at(monkeypatch, flows.exchange.theirs, "_once", stage.forget)
    version, _, imported = import_manifest(
        stage.workspace,
        tmp_path / "theirs" / "m.csv",
        name="theirs",
        scheme="intent",
        say=quiet,
    )
    assert version.num_examples == 1
    assert [number for number, _ in imported.dropped] == [2]
    stage.assert_gone()


def test_what_came_by_import_is_forgotten_entirely(stage: Stage, tmp_path: Path) -> None:
    folder = exported(stage, tmp_path / "elsewhere")
    target = tmp_path / "there"
    target.mkdir()
    (target / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    other = open_workspace(target)
    version, _ = import_export(
        other,
        read_export(folder),
        name="copy",
        say=quiet,
    )
    with other.warehouse() as con:
        assert list_recordings(con) == []
        assert version.num_examples == 4
    stage.workspace = other
    stage.queue.entries.clear()
    stage.forget()
    assert stage.found is not None
    assert stage.found.plan.recording_ids == (stage.recording_id,)
    assert sorted(stage.found.plan.utterance_ids) == sorted(stage.utterance_ids)
    stage.assert_gone()
    again, new = import_export(
        other,
        read_export(folder),
        name="again",
        say=quiet,
    )
    assert new is True
    assert again.num_examples == 2
    stage.assert_gone()


def test_two_who_forget_wait_for_each_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    with stage.workspace.warehouse() as con:
        (other,) = [
            r.recording.recording_id
            for r in list_recordings(con)
            if r.recording.recording_id != stage.recording_id
        ]

    def forget_the_other() -> None:
        if not threads:
            workspace = open_workspace(stage.workspace.root)
            threads.append(
                in_turn(
                    lambda say: forget(
                        workspace, "recording", other, reason="too", say=say, delete_sources=True
                    ),
                    until="another process is forgetting somebody",
                )
            )

    at(monkeypatch, flows.forget.erase_steps, "delete_files", forget_the_other)
    stage.forget()
    threads[0].join(120)
    stage.assert_gone()
    with stage.workspace.warehouse() as con:
        assert list_recordings(con) == []
        assert read_rows(con, "select count(distinct receipt_id) as n from erasure") == [{"n": 2}]


def test_tampered_bans_are_noticed_by_verify(stage: Stage) -> None:
    stage.forget()
    verify = ["--dir", str(stage.workspace.root), "verify"]
    assert CliRunner().invoke(app, verify).exit_code == 0
    with stage.workspace.warehouse() as con:
        con.execute("drop trigger forgotten_no_update on forgotten")
        con.execute("update forgotten set subject = 'somebody else' where kind = 'recording'")
    with stage.workspace.warehouse():
        pass  # puts the trigger back
    done = CliRunner().invoke(app, verify)
    assert done.exit_code == 1
    assert "who is to stay out under receipt" in done.output
