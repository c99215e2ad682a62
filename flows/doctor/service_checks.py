"""What the doctor finds of the services: those that `voxdata up` started here, and a Label Studio
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from annotation.server_api import LabelStudioServer
from flows.services.label_studio_server import label_studio_credentials
from flows.services.supervisor import Service, read_services
from flows.settings import Secrets
from flows.workspace import open_workspace
from voxdata.errors import VoxdataError

UP = "`voxdata up` starts it"
RESTART = "`voxdata down`, then `voxdata up`; see .voxdata/logs"
PATIENCE_S = 10.0
OUTSIDE = (
    "set VOXDATA_LABEL_STUDIO_URL to the address of a Label Studio, "
    "and VOXDATA_LABEL_STUDIO_TOKEN to an administrator's token of it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found.

    Attributes:
        name: What was looked at.
        ok: True works, False does not, None is optional and absent.
        detail: What was found, one line.
        remedy: What to do; empty when nothing needs doing.
    """

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def service_checks(root: Path | None, secrets: Secrets) -> list[Callable[[], Check]]:
    """A look at each service, to be taken at once with the others.

    Args:
        root: The workspace's folder; None when there is none.
    """
    services = read_services(root / ".voxdata") if root else {}
    outside = secrets.label_studio_url
    return [
        lambda: check_own("prefect-server", services.get("prefect-server"), "/api/health"),
        lambda: check_own("worker", services.get("worker"), None),
        lambda: (
            check_label_studio(outside, secrets.label_studio_token)
            if outside
            else check_own_label_studio(root, services)
        ),
        lambda: check_receiver(services.get("receiver"), outside=bool(outside)),
    ]


def check_own(name: str, service: Service | None, health_path: str | None) -> Check:
    """A service of this machine: whether its process lives, and answers where it listens.

    One that was not started is no failure.
    """
    if service is None:
        return Check(name=name, ok=None, detail="not started", remedy=UP)
    if not service.alive:
        return Check(
            name=name,
            ok=False,
            detail=f"it has ended by itself; its last words are in {service.log}",
            remedy=UP,
        )
    if health_path is None or service.url is None:
        return Check(name=name, ok=True, detail=f"runs as process {service.pid}")
    return check_service(name, f"{service.url}{health_path}")


def check_receiver(service: Service | None, *, outside: bool) -> Check:
    """The receiver of webhooks; there is none for a Label Studio elsewhere."""
    if service is None and outside:
        detail = (
            "not started: a Label Studio elsewhere could not reach it; "
            "`voxdata pull` and its schedule bring the answers"
        )
        return Check(name="receiver", ok=None, detail=detail)
    return check_own("receiver", service, "/health")


def check_service(name: str, url: str) -> Check:
    """Whether an address of this machine answers with status 200."""
    import httpx

    try:
        status = httpx.get(url, timeout=PATIENCE_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        return Check(name=name, ok=False, detail=f"{url}: {error}", remedy=RESTART)
    ok = status == httpx.codes.OK
    return Check(name=name, ok=ok, detail=f"{url}: {status}", remedy="" if ok else RESTART)


def check_own_label_studio(root: Path | None, services: dict[str, Service]) -> Check:
    """The Label Studio that `voxdata up` started."""
    standing = check_own("label-studio", service := services.get("label-studio"), "/health")
    if not standing.ok or root is None or service is None or service.url is None:
        return standing
    try:
        token = label_studio_credentials(open_workspace(root)).token
    except (VoxdataError, UnicodeDecodeError, OSError) as error:
        return Check(
            name="label-studio", ok=False, detail=" ".join(str(error).split()), remedy=RESTART
        )
    return check_label_studio(service.url, token, remedy=RESTART)


def check_label_studio(url: str, token: str | None, *, remedy: str = OUTSIDE) -> Check:
    """Whether Label Studio's API answers there and takes the token: a page with status 200
    is none.
    """
    if not token:
        return Check(
            name="label-studio", ok=False, detail=f"{url}: there is no token for it", remedy=remedy
        )
    server = LabelStudioServer(url=url, token=token, timeout_s=PATIENCE_S)
    try:
        with server.errors("list its projects"):
            server.read_page("/api/projects/?page_size=1&page=1", kind=dict)
    except VoxdataError as error:
        return Check(
            name="label-studio", ok=False, detail=" ".join(str(error).split()), remedy=remedy
        )
    return Check(name="label-studio", ok=True, detail=f"{url}: its API answers and takes the token")
