"""How the work goes: a bar on a terminal, lines in a log, nothing with --quiet."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from flows.say import tell
from flows.workspace import Workspace
from tests.flows.conftest import UNTRAINED, run, workspace_with
from voxdata.progress import Progress, read_progress
from voxdata.testing import speech_like

NUM_FILES = 20
BAR = "━"
TELLING = """
from flows.say import end_progress, tell
from voxdata.progress import Progress
tell(Progress("work: 1/4 \\x1b[2J", done=1, total=4))
tell("a warning")
tell(Progress("work: 2/4", done=2, total=4))
end_progress()
tell("the end")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a process whose stderr is a terminal wrote."""

    screen: str
    stdout: str
    exit_code: int

    @property
    def lines(self) -> list[str]:
        """What stays on the screen, line by line."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.screen)
        return [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").splitlines()]


def watch(words: Sequence[str], **variables: str) -> Watched:
    """Run Python with a terminal as stderr."""
    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    env |= {"TERM": "xterm-256color", "COLUMNS": "120", **variables}
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=theirs, env=env, text=True
    ) as child:
        os.close(theirs)
        parts: list[bytes] = []
        while part := _read(ours):
            parts.append(part)
        assert child.stdout is not None
        stdout = child.stdout.read()
    os.close(ours)
    return Watched(screen=b"".join(parts).decode(), stdout=stdout, exit_code=child.wait(timeout=60))


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # Linux says so at the end
        return b""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = workspace_with(tmp_path, '[sources]\ninbox = ["calls"]\nworkers = 1\n' + UNTRAINED)
    (tmp_path / "calls").mkdir()
    for number in range(NUM_FILES):
        speech = speech_like(1_000, seed=number)
        soundfile.write(tmp_path / "calls" / f"{number}.wav", speech, 16_000)
    return workspace


def ingest_words(workspace: Workspace, *before: str) -> list[str]:
    return ["-m", "flows.cli", *before, "--dir", str(workspace.root), "ingest", "--json"]


def test_ingest_draws_a_bar_on_a_terminal(workspace: Workspace) -> None:
    done = watch(ingest_words(workspace))
    assert done.exit_code == 0, done.screen
    assert BAR in done.screen
    assert "80%" in done.screen  # 16 of 20
    told = [line[:13] for line in done.lines if line.startswith("ingest:")]
    assert told == ["ingest: Prefe", "ingest: 20/20"]
    assert "\x1b[?25l" not in done.screen  # a killed process could not show the cursor again
    assert json.loads(done.stdout)["recordings"] == NUM_FILES


def test_ingest_writes_lines_where_nobody_watches(workspace: Workspace) -> None:
    done = watch(ingest_words(workspace), CI="true")
    assert "ingest: 16/20 files" in done.screen
    assert "ingest: 20/20 files" in done.screen
    assert BAR not in done.screen


def test_ingest_writes_lines_into_a_log(workspace: Workspace) -> None:
    done = run(workspace, "ingest")
    assert "ingest: 16/20 files" in done.stderr
    assert "ingest: 20/20 files" in done.stderr
    assert BAR not in done.stderr


def test_quiet_leaves_results_warnings_and_errors(workspace: Workspace) -> None:
    (workspace.root / "calls" / "none.wav").write_bytes(b"nothing")
    done = watch(ingest_words(workspace, "-q"))
    assert done.exit_code == 0
    assert "ingest:" not in done.screen
    assert BAR not in done.screen
    assert json.loads(done.stdout)["dropped"] == 1
    failed = watch(["-m", "flows.cli", "-q", "--dir", str(workspace.root), "show", "nothing"])
    assert failed.exit_code == 1
    assert "voxdata: " in failed.screen


def test_verbose_shows_where_an_error_comes_from(workspace: Workspace) -> None:
    words = ["--dir", str(workspace.root), "show", "nothing"]
    assert "Traceback" not in watch(["-m", "flows.cli", *words]).screen
    assert "Traceback" in watch(["-m", "flows.cli", "-v", *words]).screen


def test_quiet_and_verbose_contradict_each_other(workspace: Workspace) -> None:
    done = watch(["-m", "flows.cli", "-q", "-v", "--dir", str(workspace.root), "status"])
    assert done.exit_code == 2
    assert "contradict" in done.screen


def test_tell_keeps_lines_above_the_bar_and_shows_names_as_escapes() -> None:
    done = watch(["-c", TELLING])
    assert done.exit_code == 0, done.screen
    assert "\x1b[2J" not in done.screen
    assert "work: 1/4 \\x1b[2J" in done.screen
    assert BAR in done.screen
    kept = [line for line in done.lines if line.strip() and BAR not in line]
    assert kept[0] == "a warning"
    assert kept[-2:] == ["work: 2/4", "the end"]


def test_tell_writes_progress_as_a_line_into_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Progress("work: 1/4", done=1, total=4))
    assert capsys.readouterr().err == "work: 1/4\n"


def test_read_progress_leaves_a_line_that_counts_nothing_as_it_is() -> None:
    line = read_progress("decision: promoted")
    assert line == "decision: promoted"
    assert not isinstance(line, Progress)
