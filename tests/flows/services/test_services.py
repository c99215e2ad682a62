"""The supervisor on small real child processes, and the Prefect server itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

import flows.services.supervisor
from flows.services.prefect_env import basic_auth, prefect_environment
from flows.services.start import (
    prefect_access,
    prefect_spec,
    start_services,
    stop_services,
    worker_spec,
)
from flows.services.supervisor import (
    Service,
    ServiceSpec,
    choose_port,
    ensure_running,
    process_identity,
    read_services,
    service_lock,
    service_status,
    stop_all,
    stop_moved,
    write_services,
)
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.errors import ServiceError


def web(name: str = "web", **changes: object) -> ServiceSpec:
    spec = ServiceSpec(
        name=name,
        command=(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "{port}"),
        env={},
        port=choose_port(0),
        health_path="/",
        ready_timeout_s=20,
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


def script(text: str, **changes: object) -> ServiceSpec:
    spec = ServiceSpec(
        name="script",
        command=(sys.executable, "-u", "-c", text),
        env={},
        ready_timeout_s=10,
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


def test_ensure_running_starts_a_service_that_answers_and_is_recorded(
    state_dir: Path, said: list[str]
) -> None:
    service = ensure_running(state_dir, web(), say=said.append)
    answer = httpx.get(str(service.url), trust_env=False)
    assert answer.status_code == 200
    (row,) = json.loads((state_dir / "services.json").read_text(encoding="utf-8"))["services"]
    assert row["name"] == "web"
    assert row["pid"] == service.pid
    assert row["port"] == service.port
    for path in (state_dir / "services.json", Path(service.log)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert any("ready after" in line for line in said)


def test_ensure_running_listens_on_this_machine_only(state_dir: Path, said: list[str]) -> None:
    service = ensure_running(state_dir, web(), say=said.append)
    connections = psutil.Process(service.pid).net_connections(kind="tcp")
    ips = {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    assert ips == {"127.0.0.1"}


def test_ensure_running_reuses_what_runs(state_dir: Path, said: list[str]) -> None:
    spec = web()
    assert ensure_running(state_dir, spec, say=said.append) == ensure_running(
        state_dir, spec, say=said.append
    )


def test_ensure_running_restarts_another_version(state_dir: Path, said: list[str]) -> None:
    spec = web()
    first = ensure_running(state_dir, spec, say=said.append)
    second = ensure_running(
        state_dir,
        replace(spec, version="2"),
        say=said.append,
    )
    assert second.pid != first.pid
    assert second.port == first.port
    assert not first.alive


def test_ensure_running_takes_a_free_port_when_the_wanted_one_is_taken(
    state_dir: Path, said: list[str]
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        service = ensure_running(
            state_dir,
            web(port=taken),
            say=said.append,
        )
    assert service.port != taken
    assert any(f"port {taken} is taken" in line and str(service.port) in line for line in said)


def test_ensure_running_starts_anew_when_somebody_was_faster_at_the_port(
    state_dir: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        looks = iter([taken])
        look = flows.services.supervisor.choose_port
        # At the first look the port was free still.
        monkeypatch.setattr(
            flows.services.supervisor,
            "choose_port",
            lambda port: next(looks, None) or look(port),
        )
        service = ensure_running(
            state_dir,
            web(port=taken),
            say=said.append,
        )
        assert service.port != taken
        assert service.alive is True
    assert f"web: another program was faster at port {taken}; starting again on another" in said


def test_ensure_running_shows_the_last_log_lines_when_the_child_dies(
    state_dir: Path, said: list[str]
) -> None:
    spec = script(
        "print('no such table: wishes'); raise SystemExit(3)",
        port=choose_port(0),
        health_path="/",
    )
    with pytest.raises(
        ServiceError,
        match=r"script ended while starting; log .*script\.log:\n.*no such table: wishes",
    ):
        ensure_running(state_dir, spec, say=said.append)
    assert read_services(state_dir) == {}


def test_ensure_running_stops_a_child_that_is_never_ready(state_dir: Path, said: list[str]) -> None:
    spec = script(
        "import os, time; print(os.getpid()); time.sleep(60)", ready_text="ready", ready_timeout_s=1
    )
    with pytest.raises(ServiceError, match="not ready within 1 s"):
        ensure_running(state_dir, spec, say=said.append)
    pid = int((state_dir / "logs" / "script.log").read_text(encoding="utf-8").split()[0])
    assert process_identity(pid) is None


def test_ensure_running_waits_for_the_ready_text_of_this_start(
    state_dir: Path, said: list[str]
) -> None:
    spec = script(
        "import time; time.sleep(1); print('now ready'); time.sleep(60)", ready_text="now ready"
    )
    for _ in range(2):
        began = time.monotonic()
        ensure_running(state_dir, spec, say=said.append)
        assert time.monotonic() - began > 0.9
        stop_all(state_dir, say=said.append)


def test_ensure_running_refuses_a_stranger_that_answers_on_the_port(
    state_dir: Path, said: list[str]
) -> None:
    stranger = ensure_running(state_dir, web("stranger"), say=said.append)
    sleeper = ensure_running(state_dir, script("import time; time.sleep(60)"), say=said.append)
    write_services(
        state_dir,
        {"stranger": stranger, "script": replace(sleeper, port=stranger.port)},
    )
    with pytest.raises(ServiceError, match="not ready within 1 s"):
        ensure_running(
            state_dir,
            script("", port=stranger.port, ready_timeout_s=1),
            say=said.append,
        )


def test_ensure_running_says_what_to_do_when_the_program_is_missing(
    state_dir: Path, said: list[str]
) -> None:
    with pytest.raises(ServiceError, match="voxdata doctor"):
        ensure_running(
            state_dir,
            web(command=("/nowhere/program",)),
            say=said.append,
        )


def test_ensure_running_starts_anew_after_a_kill(state_dir: Path, said: list[str]) -> None:
    spec = web()
    first = ensure_running(state_dir, spec, say=said.append)
    os.kill(first.pid, signal.SIGKILL)
    while first.alive:
        time.sleep(0.01)
    assert service_status(state_dir) == []
    second = ensure_running(state_dir, spec, say=said.append)
    pids = [s.pid for s in service_status(state_dir)]
    assert pids == [second.pid]


def test_stop_all_never_kills_a_reused_pid(state_dir: Path, said: list[str]) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        state_dir.mkdir()
        stale = Service(
            name="web",
            pid=bystander.pid,
            started="earlier-boot:1",
            port=1,
            log="",
            version="",
        )
        write_services(state_dir, {"web": stale})
        assert stop_all(state_dir, say=said.append) == []
        assert bystander.poll() is None
        assert not (state_dir / "services.json").exists()
    finally:
        bystander.kill()
        bystander.wait()


def test_stop_all_ends_children_that_outlive_the_service(state_dir: Path, said: list[str]) -> None:
    text = (
        "import signal, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'])\n"
        "time.sleep(1); print('pid', child.pid); time.sleep(60)"
    )
    service = ensure_running(
        state_dir,
        script(text, ready_text="pid"),
        say=said.append,
    )
    child = int(Path(service.log).read_text(encoding="utf-8").split()[1])
    assert process_identity(child) is not None
    assert stop_all(state_dir, say=said.append) == ["script"]
    assert process_identity(child) is None


def test_stop_all_stops_the_last_started_first(state_dir: Path, said: list[str]) -> None:
    for name in ("first", "second"):
        ensure_running(state_dir, web(name), say=said.append)
    assert stop_all(state_dir, say=said.append) == ["second", "first"]
    assert stop_all(state_dir, say=said.append) == []


@pytest.fixture
def original(tmp_path: Path, said: list[str]) -> Iterator[tuple[Path, Service]]:
    """The state folder of a workspace in which a service runs."""
    state_dir = tmp_path / "original" / ".voxdata"
    state_dir.mkdir(parents=True)
    service = ensure_running(
        state_dir,
        web(cwd=state_dir.parent),
        say=said.append,
    )
    yield state_dir, service
    for process in psutil.process_iter():
        if process.pid == service.pid and service.alive:
            process.kill()


def forget_folder(state_dir: Path) -> None:
    """Make the state file one of an earlier version, which did not say for which folder it was
    written.
    """
    path = state_dir / "services.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["folder"]
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("version", ["this", "earlier"])
def test_services_of_the_original_are_left_alone_by_a_copy(
    original: tuple[Path, Service],
    tmp_path: Path,
    said: list[str],
    version: str,
) -> None:
    state_dir, service = original
    if version == "earlier":
        forget_folder(state_dir)
    copy = tmp_path / "copy" / ".voxdata"
    shutil.copytree(state_dir.parent, copy.parent)
    assert read_services(copy) == {}
    assert service_status(copy) == []
    own = ensure_running(
        copy,
        web(port=service.port, cwd=copy.parent),
        say=said.append,
    )
    assert own.pid != service.pid
    assert own.port != service.port
    assert stop_all(copy, say=said.append) == ["web"]
    assert not own.alive
    assert service.alive
    assert service_status(state_dir) == [service]


def test_stop_all_in_a_copy_says_whose_services_it_leaves_alone(
    original: tuple[Path, Service],
    tmp_path: Path,
    said: list[str],
) -> None:
    state_dir, service = original
    copy = tmp_path / "copy" / ".voxdata"
    shutil.copytree(state_dir.parent, copy.parent)
    assert stop_all(copy, say=said.append) == []
    assert service.alive
    assert any(f"copy of {state_dir.parent}" in line for line in said)


def test_services_of_a_moved_workspace_are_stopped_and_never_used(
    original: tuple[Path, Service],
    tmp_path: Path,
    said: list[str],
) -> None:
    state_dir, service = original
    moved = tmp_path / "moved" / ".voxdata"
    state_dir.parent.rename(moved.parent)
    assert service_status(moved) == []
    assert stop_moved(moved, say=said.append) == ["web"]
    assert not service.alive


def test_services_of_a_removed_original_are_left_alone_by_a_copy(
    original: tuple[Path, Service],
    tmp_path: Path,
    said: list[str],
) -> None:
    state_dir, service = original
    copy = tmp_path / "copy" / ".voxdata"
    shutil.copytree(state_dir.parent, copy.parent)
    shutil.rmtree(state_dir.parent)
    assert stop_all(copy, say=said.append) == []
    assert service.alive


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"services": [{"name": "web"}]}', '{"folder": 3, "services": []}'],
)
def test_read_services_takes_a_damaged_file_for_empty(state_dir: Path, text: str) -> None:
    state_dir.mkdir()
    (state_dir / "services.json").write_text(text, encoding="utf-8")
    assert read_services(state_dir) == {}


def test_service_lock_makes_two_starts_give_one_service(state_dir: Path, said: list[str]) -> None:
    spec = web()

    def start(_: int) -> int:
        with service_lock(state_dir, say=said.append):
            return ensure_running(state_dir, spec, say=said.append).pid

    with ThreadPoolExecutor(max_workers=3) as pool:
        assert len(set(pool.map(start, range(3)))) == 1


def test_service_lock_gives_up_with_a_clear_error(state_dir: Path, said: list[str]) -> None:
    with (
        service_lock(state_dir, say=said.append),
        pytest.raises(ServiceError, match="another process"),
        service_lock(state_dir, say=said.append, timeout_s=0.1),
    ):
        pass


def test_prefect_environment_keeps_prefect_at_home(tmp_path: Path) -> None:
    environment = prefect_environment(
        home=tmp_path,
        port=4321,
        login="voxdata:it",
    )
    assert environment["PREFECT_HOME"] == str(tmp_path)
    assert (
        environment["PREFECT_SERVER_UI_API_URL"]
        == environment["PREFECT_API_URL"]
        == "http://127.0.0.1:4321/api"
    )
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert all(isinstance(value, str) for value in environment.values())


def quiet_workspace(folder: Path) -> Workspace:
    """A workspace on free ports."""
    ports = f"label_studio_port = {choose_port(0)}\nprefect_port = {choose_port(0)}\n"
    text = (
        template().replace("label_studio_port = 8080\n", "").replace("prefect_port = 4200\n", ports)
    )
    (folder / "voxdata.toml").write_text(text, encoding="utf-8")
    return open_workspace(folder)


def deployments(access: dict[str, str]) -> list[dict[str, object]]:
    """What the server lists to a client that has its login."""
    address = f"{access['PREFECT_API_URL']}/deployments/filter"
    answer = httpx.post(
        address,
        json={},
        auth=basic_auth(access),
        trust_env=False,
        timeout=30,
    )
    answer.raise_for_status()
    return list(answer.json())


SERVE = """
from prefect import flow, serve

@flow
def hello():
    pass

if __name__ == "__main__":
    serve(hello.to_deployment(name="greeting"))
"""


@pytest.mark.slow
def test_prefect_server_and_worker_are_found_ready(
    tmp_path: Path, state_dir: Path, said: list[str]
) -> None:
    workspace = quiet_workspace(tmp_path)
    (tmp_path / "hello.py").write_text(SERVE, encoding="utf-8")
    server = ensure_running(state_dir, prefect_spec(workspace), say=said.append)
    worker = replace(
        worker_spec(workspace, server),
        command=(sys.executable, str(tmp_path / "hello.py")),
    )
    ensure_running(state_dir, worker, say=said.append)
    access = prefect_access(workspace)
    assert access is not None
    rows = deployments(access)
    assert [row["name"] for row in rows] == ["greeting"]
    assert (state_dir / "prefect" / "prefect.db").exists()


@pytest.mark.slow
def test_start_services_serves_the_deployments_and_stops_them(
    tmp_path: Path,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOXDATA_LABEL_STUDIO_URL", "http://127.0.0.1:9")
    workspace = quiet_workspace(tmp_path)
    try:
        services = start_services(workspace, say=said.append)
        assert [service.name for service in services] == ["prefect-server", "worker"]
        access = prefect_access(workspace)
        assert access is not None
        rows = deployments(access)
        assert any(row["entrypoint"].endswith("finetune") for row in rows)
        assert start_services(workspace, say=said.append) == services
    finally:
        stop_services(workspace, say=said.append)
    assert not any(service.alive for service in services)
    assert prefect_access(workspace) is None
