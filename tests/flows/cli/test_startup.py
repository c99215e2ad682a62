"""A command imports what it needs and no more: imports are most of what a quick command costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app

HEAVY = ("duckdb", "httpx", "numpy", "polars", "prefect", "rich", "torch")
SCRIPT = f"""
import sys
from flows.cli.main import main
try:
    main()
except SystemExit:
    pass
print("imported:", *sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("imported:")]
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words",
    [("--help",), ("release", "--help"), ("--version",), ("annotation", "--help")],
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    assert imported(*words) == set()


def test_commands_that_only_read_import_no_frames_and_no_clients(tmp_path: Path) -> None:
    imported("init", str(tmp_path))
    for command in ("status", "versions"):
        assert imported("--dir", str(tmp_path), command) <= {"duckdb", "numpy", "rich"}


UNNEEDED = ("fastapi", "matplotlib", "pandas", "scipy", "sklearn", "torch", "transformers")


def imported_by(code: str) -> set[str]:
    """Which of `UNNEEDED` a piece of code imports."""
    script = f"import sys\n{code}\nprint(*sorted(set({UNNEEDED}) & set(sys.modules)))"
    words = [sys.executable, "-c", script]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "flow",
    ["flows.ingest.flow", "flows.labelling.push", "flows.labelling.pull", "flows.release.flow"],
)
def test_flows_import_what_they_may_not_need_where_they_need_it(flow: str) -> None:
    assert imported_by(f"import {flow}") == set()


def test_read_frame_imports_no_pandas_when_there_are_no_rows() -> None:
    read = "read_frame(duckdb.connect(), 'select 1 as a where false')"
    code = f"import duckdb\nfrom warehouse.plain import read_frame\nassert {read}.is_empty()"
    assert imported_by(code) == set()


def test_help_lists_the_commands_in_groups() -> None:
    lines = CliRunner().invoke(app, ["--help"]).stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Start:", "Collect:", "Label:", "Dataset:", "Train:", "Care:"]
    ingest = next(at for at, line in enumerate(lines) if line.split()[:1] == ["ingest"])
    assert lines.index("Collect:") < ingest < lines.index("Label:")


def test_version_is_shown() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout.split()[0] == "voxdata"
    assert done.stdout.split()[1][0].isdigit()
