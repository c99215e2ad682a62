"""The services of a workspace on this machine: a Prefect server, the worker that serves the
deployments, Label Studio, and the receiver of its webhooks.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

from annotation.webhooks import WEBHOOK_PATH
from flows.services.label_studio_server import (
    label_studio_access,
    label_studio_credentials,
    label_studio_spec,
)
from flows.services.prefect_env import LOGIN_FILE, prefect_environment, prefect_login
from flows.services.supervisor import (
    Service,
    ServiceSpec,
    ensure_running,
    read_services,
    service_lock,
    service_status,
    stop_all,
    stop_moved,
)
from flows.workspace import Say, Workspace
from voxdata.identity import canonical_json, digest

ISOLATED = {"PYTHONSAFEPATH": "1"}
"""No module is imported from the folder a service happens to run in."""

__all__ = [
    "label_studio_access",
    "label_studio_credentials",
    "prefect_access",
    "running_services",
    "start_services",
    "stop_services",
]


def start_services(workspace: Workspace, *, say: Say) -> list[Service]:
    """Start what is not running yet, and wait until everything answers.

    This is safe to repeat, also twice at once.

    A Label Studio given by VOXDATA_LABEL_STUDIO_URL is used as it is: none is started here, and no
    receiver, which it could not reach.

    Returns:
        Every service of this workspace, in order of start.

    Raises:
        ServiceError: A service did not start; those started before it keep running.
    """
    state_dir = workspace.state_dir
    with service_lock(state_dir, say=say):
        stop_moved(state_dir, say=say)
        server = ensure_running(state_dir, prefect_spec(workspace), say=say)
        say(f"prefect-server: its page asks for a password; {state_dir / LOGIN_FILE} holds it")
        ensure_running(state_dir, worker_spec(workspace, server), say=say)
        if workspace.secrets.label_studio_url is None:
            # First the receiver, since Label Studio is told at its start where its webhooks may go.
            receiver = ensure_running(state_dir, receiver_spec(workspace, server), say=say)
            address = f"{receiver.url}{WEBHOOK_PATH}"
            ensure_running(
                state_dir, label_studio_spec(workspace, receiver=address, say=say), say=say
            )
    return service_status(state_dir)


def stop_services(workspace: Workspace, *, say: Say) -> list[str]:
    """Stop what `start_services` started. Returns the names of those that ran."""
    with service_lock(workspace.state_dir, say=say):
        stopped = stop_all(workspace.state_dir, say=say)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return stopped


def running_services(workspace: Workspace) -> list[Service]:
    """The services that run now."""
    return service_status(workspace.state_dir)


def prefect_access(workspace: Workspace) -> dict[str, str] | None:
    """Environment of a client of the workspace's Prefect server; None when that is not up."""
    server = read_services(workspace.state_dir).get("prefect-server")
    if server is None or server.port is None or not server.alive:
        return None
    return _prefect_variables(workspace, port=server.port)


def prefect_home(workspace: Workspace) -> Path:
    """Folder of Prefect's database, results and profiles."""
    return workspace.state_dir / "prefect"


def prefect_spec(workspace: Workspace) -> ServiceSpec:
    """How the Prefect server is started."""
    # A new login needs a new server. Of a secret this long a few digits of a digest give nothing
    # away.
    login = hashlib.sha256(prefect_login(workspace.state_dir).encode()).hexdigest()[:8]
    return ServiceSpec(
        name="prefect-server",
        command=(sys.executable, "-m", "flows.services.prefect_server", "--port", "{port}"),
        # The port is chosen at the start.
        env={
            **_prefect_variables(workspace, port="{port}"),
            **ISOLATED,
            "PYTHONUNBUFFERED": "1",
        },
        port=workspace.settings.services.prefect_port,
        health_path="/api/health",
        version=f"{version('prefect')} for login {login}",
        cwd=workspace.root,
    )


def worker_spec(workspace: Workspace, server: Service) -> ServiceSpec:
    """How the worker is started.

    It belongs to one server process, so a new server gets a new worker.
    """
    if server.port is None:
        raise ValueError("the Prefect server listens on a port")
    environment = _prefect_variables(workspace, port=server.port)
    return ServiceSpec(
        name="worker",
        command=(sys.executable, "-m", "flows.deploy", str(workspace.root)),
        env={**environment, **ISOLATED, "PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
        ready_text="deployments are being served",
        version=f"{version('voxdata')} on {server.pid}:{server.port} {_deployed(workspace)}",
        cwd=workspace.root,
    )


def _deployed(workspace: Workspace) -> str:
    """What the deployments are made of: a worker that serves others is started anew."""
    settings = workspace.settings
    name, inbox = settings.project.name, str(bool(settings.sources.inbox))
    crons = canonical_json(settings.schedules.model_dump())
    return digest("deployments", name, inbox, crons)[:12]


def receiver_spec(workspace: Workspace, server: Service | None = None) -> ServiceSpec:
    """How the receiver of Label Studio's webhooks is started.

    Its pulls show on one Prefect server, so a new server gets a new receiver.
    """
    return ServiceSpec(
        name="receiver",
        command=(
            sys.executable,
            "-m",
            "flows.services.receiver",
            str(workspace.root),
            "--port",
            "{port}",
        ),
        env={**ISOLATED, "PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
        port=workspace.settings.services.receiver_port,
        health_path="/health",
        version=version("voxdata")
        if server is None
        else f"{version('voxdata')} on {server.pid}:{server.port}",
        cwd=workspace.root,
    )


def _prefect_variables(workspace: Workspace, *, port: int | str) -> dict[str, str]:
    return prefect_environment(
        home=prefect_home(workspace), port=port, login=prefect_login(workspace.state_dir)
    )
