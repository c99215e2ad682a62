"""The environment variables under which Prefect runs here: its own home, its own port, no call to
the outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe

from flows.folders.secret_file import read_or_make_secret
from flows.services.own_origin import own_origins

LOGIN_FILE = "prefect-login"
"""In the state folder; what Prefect's page asks for as password."""


def prefect_login(state_dir: Path) -> str:
    """What a client of the workspace's Prefect server has to know, as "user:password".

    It is made when there is none.

    Whoever can call that server's API can run a shell with it.
    """
    return read_or_make_secret(
        state_dir / LOGIN_FILE, lambda: f"voxdata:{token_urlsafe(32)}"
    ).strip()


def basic_auth(environment: Mapping[str, str]) -> tuple[str, str]:
    """User and password out of `prefect_environment`, for a plain HTTP client."""
    user, _, password = environment["PREFECT_API_AUTH_STRING"].partition(":")
    return user, password


def prefect_environment(*, home: Path, port: int | str, login: str) -> dict[str, str]:
    """Variables for the server, the worker and every client of one workspace.

    They let in nobody without `login` and no page of another origin, keep all of Prefect's files in
    `home`, switch telemetry and advertising off, point the web page at the right port (it calls
    4200 otherwise), allow slow machines a slow start, let the recorder keep up with mapped tasks,
    and shorten the polling that delays a triggered run.

    Args:
        home: Folder of Prefect's database, results and profiles.
        port: Where the server listens, on 127.0.0.1; or what stands for it.
        login: See `prefect_login`.

    Returns:
        Name -> value, to be merged into the environment of a process before it imports Prefect.
    """
    api = f"http://127.0.0.1:{port}/api"
    recorder = "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(own_origins(port)),
        "PREFECT_SERVER_UI_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        f"{recorder}_BATCH_SIZE": "200",
        f"{recorder}_READ_BATCH_SIZE": "200",
        f"{recorder}_FLUSH_INTERVAL": "1",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "1209600",
    }
