"""Forgetting is killed at every seam, and the next command finishes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.forget.erase_steps import STEPS
from flows.forget.flow import finish_forgetting, forget
from flows.forget.search import search_folder
from flows.forget.work import FOLDER
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import quiet, release_calls
from voxdata.register import write_page
from warehouse.erase import list_receipts
from warehouse.recordings import list_recordings
from warehouse.snapshot import list_snapshots, take_snapshot
from warehouse.verify import verify_all

SAID = (
    "my secret is number 0 秘密在这里0",
    "Customer Number 0 Smith",
    "corrected words of caller 0",
)
RUN = "intent-0123456789ab"
TICKED = ("bar", *STEPS, "search")
SEAMS = (
    "work: before",
    "work: after",
    *(f"{step}: {when} its tick" for step in TICKED for when in ("before", "after")),
    "plan: inside",
    "files: inside",
    "rows: inside",
    "compact: inside",
    "copies: inside",
    "wipe: inside",
    "wipe: after",
    "proof: after",
    "end: inside",
)

KILLED = r'''
import os, signal, sys
from pathlib import Path
import flows.forget.flow as flow, flows.forget.erase_steps as steps, flows.forget.work as work
import flows.forget.copies as copies
import voxdata.durable as durable
import warehouse.erase as erase
from flows.workspace import open_workspace

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(module, name, count=1):
    """Die instead of the count-th call."""
    real, calls = getattr(module, name), []
    def called(*args, **kwargs):
        calls.append(name)
        return die() if len(calls) == count else real(*args, **kwargs)
    setattr(module, name, called)

def after(module, name, count=1):
    real, calls = getattr(module, name), []
    def called(*args, **kwargs):
        given = real(*args, **kwargs)
        calls.append(name)
        return die() if len(calls) == count else given
    setattr(module, name, called)

def inside(module, name, *trap):
    """Set a trap for when something is called."""
    real = getattr(module, name)
    def called(*args, **kwargs):
        before(*trap)
        return real(*args, **kwargs)
    setattr(module, name, called)

def arm(seam, ticked):
    step, _, when = seam.partition(": ")
    if when.endswith("its tick"):
        (before if when.startswith("before") else after)(flow, "write_done", ticked.index(step) + 1)
        return
    {
        "work: before": lambda: inside(flow, "begin_work", work, "write_file"),
        "work: after": lambda: after(flow, "begin_work"),
        "plan: inside": lambda: inside(steps, "write_plan", work, "write_file"),
        "files: inside": lambda: inside(steps, "clear_files", Path, "unlink", 2),
        "rows: inside": lambda: inside(steps, "erase_rows", erase, "insert_rows"),
        "compact: inside": lambda: before(steps, "compact_warehouse"),
        "copies: inside": lambda: after(copies, "take_snapshot"),
        "wipe: inside": lambda: inside(flow, "wipe_work", work, "write_file"),
        "wipe: after": lambda: after(flow, "wipe_work"),
        "proof: after": lambda: after(flow, "note_proof"),
        "end: inside": lambda: inside(flow, "end_work", durable.shutil, "rmtree"),
    }[seam]()

def main():
    root, recording = sys.argv[1:3]
    ticked, seams = sys.argv[3].split(","), sys.argv[4].split(",")
    for number, seam in enumerate(seams):
        # Nothing but imports happened in this process, so that it can be copied for each seam.
        child = os.fork()
        if child == 0:
            arm(seam, ticked)
            try:
                flow.forget(open_workspace(Path(root) / str(number)), "recording", recording,
                            reason="asked", say=lambda line: None, delete_sources=True)
            finally:
                os._exit(7)
        status = os.waitpid(child, 0)[1]
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
        print(number, ended, flush=True)

main()
'''


@pytest.fixture(scope="module")
def template_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two recordings with an utterance each, released; with clips, a report, an export, a model
    folder, logs, snapshots and batches.
    """
    root = tmp_path_factory.mktemp("template")
    (root / FILE_NAME).write_text(template())
    made = open_workspace(root)
    release_calls(made, "xy")
    key, utterance = first(made)
    for path in (
        made.media_dir / "clips" / key / f"{utterance}.wav",
        made.models_dir / RUN / "predictions.jsonl",
    ):
        path.parent.mkdir(parents=True)
    (made.media_dir / "clips" / key / f"{utterance}.wav").write_bytes(b"RIFF")
    (made.models_dir / RUN / "predictions.jsonl").write_text(
        json.dumps({"utterance_id": utterance}) + "\n"
    )
    write_page(
        made.reports_dir / "report.html",
        SAID[0],
        register=made.written,
    )
    (made.state_dir / "logs").mkdir()
    log_file = made.state_dir / "logs" / "label-studio.log"
    log_file.write_text(f"GET /media/{key}/{utterance}.wav\n")
    (made.state_dir / "logs" / "label-studio.log.1").write_text(
        f"GET /media/{key}/{utterance}.wav\n"
    )
    (made.batches_dir / "merged" / "b").mkdir(parents=True)
    utterance_file = made.batches_dir / "merged" / "b" / "utterance.parquet"
    utterance_file.write_text(SAID[0])
    (made.state_dir / "scratch" / "0123456789abcdef.partial").write_bytes(SAID[0].encode())
    return made


def first(workspace: Workspace) -> tuple[str, str]:
    with workspace.warehouse() as con:
        stored = min(list_recordings(con), key=lambda s: s.uri)
        (row,) = con.execute(
            "select utterance_id from utterance where recording_id = ?",
            [stored.recording.recording_id],
        ).fetchall()
    return stored.recording.recording_id, str(row[0])


@pytest.fixture(scope="module")
def killed(
    template_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Seam -> a workspace in which forgetting was killed there, by the kernel."""
    root = tmp_path_factory.mktemp("killed")
    recording, _ = first(template_workspace)
    take_snapshot(
        template_workspace.warehouse_path,
        template_workspace.snapshots_dir,
        batches=root / "none",
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )
    for number in range(len(SEAMS)):
        shutil.copytree(template_workspace.root, root / str(number))
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED,
            str(root),
            recording,
            ",".join(TICKED),
            ",".join(SEAMS),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    ends = dict(line.split() for line in done.stdout.splitlines())
    assert ends == {str(number): "9" for number in range(len(SEAMS))}, done.stderr
    return {seam: root / str(number) for number, seam in enumerate(SEAMS)}


@pytest.mark.parametrize("seam", SEAMS)
def test_forget_is_finished_and_proven_by_the_next_command(
    killed: dict[str, Path],
    template_workspace: Workspace,
    seam: str,
) -> None:
    workspace = open_workspace(killed[seam])
    recording_id, utterance_id = first(template_workspace)
    assert list_snapshots(workspace.snapshots_dir) != []
    if seam == "end: inside":
        assert finish_forgetting(workspace, say=quiet) == []
    else:
        forgotten = forget(
            workspace,
            "recording",
            recording_id,
            reason="asked",
            say=quiet,
            delete_sources=True,
        )
        assert forgotten.proven is True
        assert forgotten.left_sources == ()
    with workspace.warehouse() as con:
        assert all(receipt.proven_at is not None for receipt in list_receipts(con))
        assert len(list_receipts(con)) == 1
        assert [(one.ok, one.num_intact, one.num_erased) for one in verify_all(con)] == [
            (True, 1, 1)
        ]
    hits = search_folder(workspace.root, [*SAID, recording_id, utterance_id, "caller-x-private"])
    assert hits == ()
    assert len(list_snapshots(workspace.snapshots_dir)) == 1
    assert list((workspace.state_dir / FOLDER).glob("*")) == []
