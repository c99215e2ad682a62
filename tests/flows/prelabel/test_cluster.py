"""Pre-labelling on local Dask and Ray clusters of two workers gives what this machine gives
alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.place import FILE_NAME
from flows.services.start import prefect_spec
from flows.services.supervisor import choose_port, ensure_running, stop_all
from flows.workspace import open_workspace
from tests.flows.conftest import quiet
from tests.flows.prelabel.test_prelabel import SETTINGS, contents, make_workspace

RUN = """
import json, os, sys
from pathlib import Path
from flows.run import run_flow
from flows.workspace import open_workspace
print(json.dumps(run_flow(open_workspace(Path(sys.argv[1])), "prelabel", say=print)))
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("cluster") / "w").root


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_prelabel_gives_equal_tables_on_a_cluster(
    reference: Path, tmp_path: Path, runner: str
) -> None:
    from flows.prelabel.flow import prelabel_pending

    alone = tmp_path / "alone"
    spread = tmp_path / runner
    for folder in (alone, spread):
        shutil.copytree(reference, folder)
    ports = f"\n[services]\nprefect_port = {choose_port(0)}\n"
    (spread / FILE_NAME).write_text(
        SETTINGS.replace("[prelabel]", f'[prelabel]\nrunner = "{runner}"') + ports,
        encoding="utf-8",
    )
    prelabel_pending(open_workspace(alone), say=quiet)
    workspace = open_workspace(spread)
    ensure_running(workspace.state_dir, prefect_spec(workspace), say=quiet)
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(spread)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "PREFECT_LOGGING_LEVEL": "ERROR"},
        )
    finally:
        stop_all(workspace.state_dir, say=quiet)
    assert done.returncode == 0, done.stderr[-4000:]
    content = json.loads(done.stdout.splitlines()[-1])
    assert content["recordings"] == 6
    assert contents(workspace) == contents(open_workspace(alone))
