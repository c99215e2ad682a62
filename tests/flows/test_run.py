"""Commands beside a real Prefect server that is up, hangs, or dies on the way."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile

from flows.run import connect_prefect
from flows.services.prefect_api import prefect_answers
from flows.services.start import prefect_access, prefect_spec
from flows.services.supervisor import (
    Service,
    choose_port,
    ensure_running,
    service_status,
    stop_all,
)
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import quiet
from voxdata.testing import speech_like
from warehouse.recordings import list_recordings

FILES = 40

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    text = template().replace("prefect_port = 4200", f"prefect_port = {choose_port(0)}")
    (tmp_path / "voxdata.toml").write_text(text, encoding="utf-8")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(FILES):
        soundfile.write(
            inbox / f"{number}.wav",
            speech_like(1_000, seed=number),
            16_000,
        )
    return open_workspace(tmp_path)


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Service]:
    yield ensure_running(workspace.state_dir, prefect_spec(workspace), say=quiet)
    for service in service_status(workspace.state_dir):
        os.kill(service.pid, signal.SIGCONT)
    stop_all(workspace.state_dir, say=quiet, grace_s=5)


def ingest(workspace: Workspace) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), "ingest"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def num_recordings(workspace: Workspace) -> int:
    with workspace.warehouse() as con:
        return len(list_recordings(con))


def test_connect_prefect_refuses_when_prefect_was_imported_before(tmp_path: Path) -> None:
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template(), encoding="utf-8")
    script = f"""
import os, prefect
from pathlib import Path
from flows.run import connect_prefect
from flows.services.supervisor import Service, process_identity, write_services
from flows.workspace import open_workspace
workspace = open_workspace(Path({str(tmp_path)!r}))
workspace.state_dir.mkdir()
pid = os.getpid()
server = Service(
    name="prefect-server", pid=pid, started=process_identity(pid), port=1, log="", version=""
)
write_services(workspace.state_dir, {{"prefect-server": server}})
connect_prefect(workspace)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ServiceError: Prefect was imported before" in done.stderr


def test_commands_import_no_prefect_before_they_are_connected(tmp_path: Path) -> None:
    script = """
import sys
import flows.cli.main, flows.cli.console, flows.run, flows.services.schedules, flows.pages.status
import flows.doctor.examine, flows.ingest.sources, flows.services.start
print(sorted(name for name in sys.modules if name.partition(".")[0] == "prefect"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_commands_connect_before_they_import_what_imports_prefect() -> None:
    early = {"flows.run"}
    for file in (ROOT / "flows" / "cli").glob("*.py"):
        for command in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(command, ast.FunctionDef):
                early |= imported_before_opening(command)
    script = f"""
import sys, {", ".join(sorted(early))}
print(sorted(name for name in sys.modules if name.partition(".")[0] == "prefect"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def imported_before_opening(command: ast.FunctionDef) -> set[str]:
    inner = list(ast.walk(command))
    calls = [node for node in inner if isinstance(node, ast.Call)]
    opened = [node.lineno for node in calls if getattr(node.func, "id", "") == "open_here"]
    imports = [node for node in inner if isinstance(node, ast.ImportFrom)]
    return {str(node.module) for node in imports if opened and node.lineno < min(opened)}


@pytest.mark.slow
def test_a_command_ends_well_when_prefect_hangs(workspace: Workspace, server: Service) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    running = ingest(workspace)
    _, told = running.communicate(timeout=200)
    assert running.returncode == 0, told
    assert "Prefect does not answer" in told
    assert "Traceback" not in told
    os.kill(server.pid, signal.SIGCONT)
    assert num_recordings(workspace) == FILES


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_command_ends_well_when_prefect_is_lost_on_the_way(
    workspace: Workspace, server: Service, end: signal.Signals
) -> None:
    running = ingest(workspace)
    assert running.stderr is not None
    told = ""
    for line in running.stderr:
        told += line
        if "ingest: 16/" in line:
            os.kill(server.pid, end)
            break
    lost_at = time.monotonic()
    _, rest = running.communicate(timeout=280)
    waited_s = time.monotonic() - lost_at
    assert running.returncode == 0, told + rest
    assert "Prefect was lost on the way" in rest
    assert "Traceback" not in rest
    assert num_recordings(workspace) == FILES
    # Prefect's own patience is about five minutes; a loaded machine may need some of it.
    assert waited_s < 120


@pytest.mark.slow
def test_connect_prefect_points_at_the_server_that_is_up(
    workspace: Workspace, server: Service
) -> None:
    access = prefect_access(workspace)
    assert access is not None
    assert access["PREFECT_API_URL"].startswith(str(server.url))
    assert prefect_answers(access)


def test_connect_prefect_says_when_no_server_is_up(workspace: Workspace) -> None:
    assert connect_prefect(workspace) is False


@pytest.mark.slow
def test_a_command_tells_an_error_of_ours_in_a_line(workspace: Workspace, server: Service) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), "ingest", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "hook" not in done.stderr
    assert done.stderr.strip().split("\n")[-1].startswith("voxdata: ")


@pytest.mark.slow
def test_prefect_lines_are_shown_only_with_verbose_and_its_log_has_ours(
    workspace: Workspace, server: Service
) -> None:
    _, told = ingest(workspace).communicate(timeout=200)
    assert f"ingest: {FILES}/{FILES} files" in told
    assert "Beginning flow run" not in told
    assert "INFO" not in told
    words = [sys.executable, "-m", "flows.cli", "-v", "--dir", str(workspace.root), "ingest"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=True)
    assert "Beginning flow run" in done.stderr
    assert done.stderr.count(f"ingest: {FILES}/{FILES} files") == 1
    logged = [str(line["message"]) for line in read_logs(workspace)]
    assert any(line.startswith("ingest: 16/") for line in logged)


def read_logs(workspace: Workspace) -> list[dict[str, object]]:
    """What Prefect's logs of runs hold."""
    access = prefect_access(workspace)
    assert access is not None
    user, _, password = access["PREFECT_API_AUTH_STRING"].partition(":")
    url = f"{access['PREFECT_API_URL']}/logs/filter"
    answer = httpx.post(url, json={"limit": 200}, auth=(user, password), timeout=30)
    lines: list[dict[str, object]] = answer.raise_for_status().json()
    return lines
