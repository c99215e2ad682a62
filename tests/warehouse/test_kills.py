"""The benchmarks of kills and of many writers, short: nothing acknowledged is lost or doubled, and
nobody sees a lock error.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.warehouse_kills import run


@pytest.mark.slow
def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, kills=8, seed=1) == 0


@pytest.mark.slow
def test_many_writers_and_readers_see_no_lock_error() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.warehouse_writers",
            "--seconds",
            "4",
            "--producers",
            "4",
            "--readers",
            "2",
            "--rows",
            "50",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert "missing 0, doubled 0, errors seen 0" in done.stdout
