"""Forgetting with a real Label Studio, killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.annotation_workspace import make_workspace, running_server
from flows.cli.main import app
from flows.forget.search import search_folder
from flows.labelling.push import push_pending
from flows.labelling.queues import build_queue
from warehouse.erase import list_receipts

pytestmark = pytest.mark.slow

CLIPS = 8

KILLED = """
import os, signal, sys
from pathlib import Path
import flows.forget.flow as flow
from flows.workspace import open_workspace
real, calls = flow.write_done, []
def write_done(work, done):
    calls.append(done)
    if done.steps[-1:] == ("clips",):
        os.kill(os.getpid(), signal.SIGKILL)
    real(work, done)
flow.write_done = write_done
flow.forget(open_workspace(Path(sys.argv[1])), "recording", sys.argv[2], reason="asked", say=print)
"""


def test_forget_is_finished_and_proven_with_a_real_label_studio_after_a_kill(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, clips=CLIPS, name="calls")
    with running_server(workspace):
        assert push_pending(workspace, say=lambda line: None).pushed == CLIPS
        with workspace.warehouse() as con:
            recording, *keys = [
                str(name)
                for (name,) in con.execute(
                    "select recording_id from recording union all select utterance_id from "
                    "utterance"
                ).fetchall()
            ]
        clip_ids = build_queue(workspace).find_clips(keys)
        assert len(clip_ids) == CLIPS
        died = subprocess.run(
            [sys.executable, "-c", KILLED, str(workspace.root), recording],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
            env={**os.environ},
        )
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert build_queue(workspace).find_clips(keys) == {}
        status = CliRunner().invoke(app, ["--dir", str(workspace.root), "status"])
        assert status.exit_code == 1
        assert "forget --finish" in status.output
        done = CliRunner().invoke(
            app,
            ["--dir", str(workspace.root), "forget", "--finish", "--json"],
        )
        assert done.exit_code == 0, (done.output, done.exception)
        hits = search_folder(workspace.root, ["clip 3 of 0", recording, *keys])
        assert hits == ()
    with workspace.warehouse() as con:
        assert [receipt.proven_at is not None for receipt in list_receipts(con)] == [True]
