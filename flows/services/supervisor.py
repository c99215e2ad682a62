"""Background services of one workspace: started detached, found again by a state file, stopped with
all their children.

A service is known by its pid together with the moment its process started, so a pid that the system
gave to somebody else is never taken for ours and never killed. Each child also carries a mark in
its environment, by which orphans are found after a crash.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from flows.locks import hold_lock
from voxdata.durable import move, remove, write_file
from voxdata.errors import ServiceError
from voxdata.progress import Progress

Say = Callable[[str], None]

STATE_FILE = "services.json"
MARK = "VOXDATA_SERVICE"
LOG_LIMIT_BYTES = 20_000_000
ATTEMPTS = 3
"""So often is a service started that loses its port to another program while it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """How a service is started, and how one sees that it is ready.

    Attributes:
        name: Such as "prefect-server".
        command: Program and arguments; `{port}` is replaced by the port that was chosen.
        env: Added to the environment; `{port}` is replaced in the values.
        port: The port wanted on 127.0.0.1; None for a service that listens nowhere.
        health_path: Path that answers 200 when the service is ready, such as "/api/health".
        ready_text: For a service without a port: words of its log that say it is ready.
        version: A running service of another version is restarted.
        cwd: Working directory.
        ready_timeout_s: How long the start may take.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    port: int | None = None
    health_path: str | None = None
    ready_text: str | None = None
    version: str = ""
    cwd: Path | None = None
    ready_timeout_s: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that was started.

    Attributes:
        started: Identifies the process beside its pid; see `process_identity`.
        port: On 127.0.0.1; None when it listens nowhere.
        log: Path of its log.
        version: As in its spec.
        log_start: Where in the log this start begins, in bytes.
    """

    name: str
    pid: int
    started: str
    port: int | None
    log: str
    version: str
    log_start: int = 0

    @property
    def url(self) -> str | None:
        """Where it answers."""
        return None if self.port is None else f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return process_identity(self.pid) == self.started


def process_identity(pid: int) -> str | None:
    """What tells a process from a later one with the same pid: the boot and the tick it started at.

    Returns:
        None when there is no such process, or it is dead and only waits to be reaped.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


@contextmanager
def service_lock(state_dir: Path, *, say: Say, timeout_s: float = 600.0) -> Iterator[None]:
    """Let one process at a time start or stop the services of a workspace.

    Raises:
        ServiceError: Another one holds the lock for longer than `timeout_s`.
    """
    with hold_lock(
        state_dir / "services.lock",
        doing="starting or stopping services",
        say=say,
        timeout_s=timeout_s,
    ):
        yield


def read_services(state_dir: Path) -> dict[str, Service]:
    """Services of the state file by name, in order of start; they need not be alive.

    A damaged file counts as empty.

    A file that came with a copied or moved workspace speaks of another folder's processes: those
    are not ours.
    """
    folder, services = read_state(state_dir)
    if folder is not None and folder != state_dir.resolve():
        return {}
    return {
        name: service
        for name, service in services.items()
        if not _is_of_another_folder(state_dir, service)
    }


def read_state(state_dir: Path) -> tuple[Path | None, dict[str, Service]]:
    """The state file as it is: the folder for which it was written (None in one of an earlier
    version), and its services.
    """
    try:
        content = json.loads((state_dir / STATE_FILE).read_text(encoding="utf-8"))
        services = {row["name"]: Service(**row) for row in content["services"]}
        return (Path(content["folder"]) if "folder" in content else None), services
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None, {}


def _is_of_another_folder(state_dir: Path, service: Service) -> bool:
    """Whether a process that runs says by its mark that another workspace started it."""
    try:
        mark = psutil.Process(service.pid).environ().get(MARK) if service.alive else None
    except (psutil.Error, OSError):
        return False
    return mark is not None and mark != _mark(state_dir, service.name)


def write_services(state_dir: Path, services: Mapping[str, Service]) -> None:
    """Replace the state file in one step; without services, remove it."""
    path = state_dir / STATE_FILE
    if not services:
        remove(path, missing_ok=True)
        return
    content = {
        "folder": str(state_dir.resolve()),
        "services": [asdict(service) for service in services.values()],
    }
    write_file(path, (json.dumps(content, indent=2) + "\n").encode(), mode=0o600)


def service_status(state_dir: Path) -> list[Service]:
    """The services that run now."""
    return [service for service in read_services(state_dir).values() if service.alive]


def choose_port(preferred: int) -> int:
    """`preferred` when it is free on 127.0.0.1, else a free one that the system picks."""
    for port in (preferred, 0):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                if port == 0:
                    return int(probe.getsockname()[1])
                probe.listen()
                return port
            except OSError:
                continue
    raise ServiceError("no port is free on 127.0.0.1")


def ensure_running(state_dir: Path, spec: ServiceSpec, *, say: Say) -> Service:
    """Start a service, or find it running. Hold `service_lock` around it.

    Args:
        state_dir: Where the state file and the logs lie.
        spec: What to start.
        say: Told about the progress.

    Raises:
        ServiceError: It died while starting, or was not ready in time; the message ends with its
            last log lines.
    """
    services = read_services(state_dir)
    running = services.get(spec.name)
    if running is not None and running.alive and running.version == spec.version:
        _wait_ready(running, spec, say=say)
        say(f"{spec.name}: running{_at(running)}")
        return running
    _stop(state_dir, spec.name, running, say=say)
    began = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        service, child = _launch(state_dir, spec, say=say)
        write_services(
            state_dir, {**{n: s for n, s in services.items() if n != spec.name}, spec.name: service}
        )
        try:
            _wait_ready(service, spec, say=say)
            break
        except ServiceError:
            _stop(state_dir, spec.name, service, say=say)
            child.poll()
            write_services(
                state_dir, {n: s for n, s in read_services(state_dir).items() if n != spec.name}
            )
            if attempt == ATTEMPTS or not _lost_its_port(service):
                raise
            say(
                f"{spec.name}: another program was faster at port {service.port}; "
                "starting again on another"
            )
    say(f"{spec.name}: ready after {time.monotonic() - began:.0f} s{_at(service)}")
    return service


def stop_all(state_dir: Path, *, say: Say, grace_s: float = 20.0) -> list[str]:
    """Stop every service of the state file, the last one started first.

    Hold `service_lock` around it.

    Returns:
        Names of those that were running.
    """
    stop_moved(state_dir, say=say, grace_s=grace_s)
    services = read_services(state_dir)
    stopped = [
        name
        for name in reversed(services)
        if _stop(state_dir, name, services[name], say=say, grace_s=grace_s)
    ]
    write_services(state_dir, {})
    return stopped


def stop_moved(state_dir: Path, *, say: Say, grace_s: float = 20.0) -> list[str]:
    """Deal with a state file of another folder. Hold `service_lock` around it.

    Of a workspace that was moved, the services that still run in it are stopped, since they know
    its old place. Of one that was copied, they are the original's, and are left alone.

    Returns:
        Names of those that were stopped.
    """
    folder, services = read_state(state_dir)
    if folder is None or folder == state_dir.resolve():
        return []
    if folder.exists():
        say(
            f"{state_dir / STATE_FILE} came with a copy of {folder.parent}; "
            "the services of that workspace are left alone"
        )
        return []
    moved = [name for name in reversed(services) if _runs_in(state_dir, services[name])]
    for name in moved:
        say(f"{name}: was started before the workspace was moved from {folder.parent}")
        _stop(folder, name, services[name], say=say, grace_s=grace_s)
    return moved


def _runs_in(state_dir: Path, service: Service) -> bool:
    """Whether a process works in this very workspace.

    A folder that is moved takes its processes along.
    """
    try:
        return service.alive and Path(psutil.Process(service.pid).cwd()).is_relative_to(
            state_dir.parent.resolve()
        )
    except (psutil.Error, OSError):
        return False


def _launch(
    state_dir: Path, spec: ServiceSpec, *, say: Say
) -> tuple[Service, subprocess.Popen[bytes]]:
    port = None if spec.port is None else choose_port(spec.port)
    if port != spec.port:
        say(f"{spec.name}: port {spec.port} is taken by another program; using {port}")
    log = state_dir / "logs" / f"{spec.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        move(log, log.with_suffix(".log.1"))
    fill = str(port)
    env = {
        **os.environ,
        **{k: v.replace("{port}", fill) for k, v in spec.env.items()},
        MARK: _mark(state_dir, spec.name),
    }
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.fchmod(sink, 0o600)
        log_start = os.fstat(sink).st_size
        say(Progress(f"{spec.name}: starting"))
        child = subprocess.Popen(
            [part.replace("{port}", fill) for part in spec.command],
            env=env,
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceError(
            f"{spec.name} cannot be started ({error}); run `voxdata doctor`"
        ) from error
    finally:
        os.close(sink)
    started = process_identity(child.pid) or "gone"
    service = Service(
        name=spec.name,
        pid=child.pid,
        started=started,
        port=port,
        log=str(log),
        version=spec.version,
        log_start=log_start,
    )
    return service, child


def _lost_its_port(service: Service) -> bool:
    """Whether somebody else took the port between the look whether it is free and the start."""
    return service.port is not None and choose_port(service.port) != service.port


def _wait_ready(service: Service, spec: ServiceSpec, *, say: Say) -> None:
    began = told = time.monotonic()
    while not _is_ready(service, spec):
        now = time.monotonic()
        if not service.alive:
            raise ServiceError(
                f"{service.name} ended while starting; log {service.log}:\n{_tail(service)}"
            )
        if now - began > spec.ready_timeout_s:
            raise ServiceError(
                f"{service.name} was not ready within {spec.ready_timeout_s:.0f} s; "
                f"log {service.log}:\n{_tail(service)}"
            )
        if now - told >= 10:
            line = (
                f"{service.name}: still starting ({now - began:.0f} s of at most "
                f"{spec.ready_timeout_s:.0f} s)"
            )
            say(Progress(line))
            told = now
        time.sleep(0.2)


def _is_ready(service: Service, spec: ServiceSpec) -> bool:
    if service.port is not None:
        return _answers(service, spec.health_path or "/") and service.alive and _listens(service)
    if spec.ready_text is None:
        return service.alive
    with Path(service.log).open("rb") as file:
        file.seek(service.log_start)
        return (
            spec.ready_text in " ".join(file.read().decode("utf-8", "replace").split())
            and service.alive
        )


def _answers(service: Service, path: str) -> bool:
    import httpx  # which imports rich with it; most commands start no service

    try:
        return httpx.get(f"{service.url}{path}", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _listens(service: Service) -> bool:
    """Whether it is this service that answers on its port, and not a stranger who was faster."""
    try:
        leader = psutil.Process(service.pid)
        family = [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return False
    for member in family:
        try:
            connections = member.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(
            c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == service.port
            for c in connections
        ):
            return True
    return False


def _stop(
    state_dir: Path, name: str, known: Service | None, *, say: Say, grace_s: float = 20.0
) -> bool:
    """End a service and whatever it left behind; True when anything was running."""
    was_alive = known is not None and known.alive
    if known is not None and was_alive:
        say(Progress(f"{name}: stopping"))
        _signal(psutil.Process(known.pid), "terminate")
        deadline = time.monotonic() + grace_s
        while known.alive and time.monotonic() < deadline:
            time.sleep(0.05)
    orphans = _marked(_mark(state_dir, name))
    for orphan in orphans:
        _signal(orphan, "terminate")
    for survivor in psutil.wait_procs(orphans, timeout=3)[1]:
        _signal(survivor, "kill")
    psutil.wait_procs(orphans, timeout=5)
    return was_alive or bool(orphans)


def _signal(target: psutil.Process, verb: str) -> None:
    try:
        if verb == "terminate":
            target.terminate()
        else:
            target.kill()
    except psutil.NoSuchProcess:
        return


def _mark(state_dir: Path, name: str) -> str:
    return f"{state_dir.resolve()}:{name}"


def _marked(mark: str) -> list[psutil.Process]:
    marked = []
    for candidate in psutil.process_iter():
        try:
            if candidate.pid != os.getpid() and candidate.environ().get(MARK) == mark:
                marked.append(candidate)
        except (psutil.Error, OSError):
            continue
    return marked


def _tail(service: Service, *, lines: int = 20) -> str:
    with Path(service.log).open("rb") as file:
        file.seek(service.log_start)
        return (
            "\n".join(
                "  " + line for line in file.read().decode("utf-8", "replace").splitlines()[-lines:]
            )
            or "  (empty)"
        )


def _at(service: Service) -> str:
    return f" at {service.url}" if service.url else ""
