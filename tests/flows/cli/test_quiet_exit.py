"""What a process writes after everything is done: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.deploy import build_deployments
from flows.place import FILE_NAME
from flows.quiet_exit import CHILD
from flows.settings import template
from flows.workspace import open_workspace

HELD = """
import sys, threading, time
import duckdb
from flows.quiet_exit import quiet_child

def hold(con):
    threading.Event().wait()

threading.Thread(target=hold, args=(duckdb.connect(),), daemon=True).start()
time.sleep(0.1)
quiet_child()
print("said before", file=sys.stderr)
sys.exit(3)
"""
"""A process that ends while a thread, as Prefect has some, holds on to DuckDB."""


def end(**variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path.cwd()), **variables}
    return subprocess.run(
        [sys.executable, "-c", HELD],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_quiet_child_leaves_nothing_but_what_was_said_in_the_log() -> None:
    done = end(**{CHILD: "a-run"})
    assert done.returncode == 3
    assert done.stderr == "said before\n"


def test_duckdb_fills_the_log_without_it() -> None:
    assert "nanobind: leaked" in end().stderr


def test_every_deployed_flow_ends_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE_NAME).write_text(template())
    import flows.deploy

    served = {
        d.entrypoint.rpartition(".")[2]
        for d in build_deployments(open_workspace(tmp_path))
        if d.entrypoint
    }
    assert served == {"ingest", "prelabel", "push", "pull", "release", "finetune"}

    class QuietError(Exception):
        pass

    def reached() -> None:
        raise QuietError

    for name in sorted(served):
        flow = getattr(flows.deploy, name)
        # Prefect writes two lines into the log about every hook.
        assert flow.on_running_hooks == []
        monkeypatch.setitem(flow.fn.__globals__, "quiet_child", reached)
        with pytest.raises(QuietError):
            flow.fn("nowhere", *["x"] * (name in ("release", "finetune")))
