"""Who gets into the Prefect server of a workspace: its API runs a shell for whoever is let in."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flows.services.prefect_env import LOGIN_FILE, basic_auth
from flows.services.start import prefect_access, prefect_spec, worker_spec
from flows.services.supervisor import Service, choose_port, ensure_running, stop_all
from flows.settings import template
from flows.workspace import Workspace, open_workspace

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPrefect:
    """A real server as `voxdata up` starts it, and what its clients are given."""

    workspace: Workspace
    service: Service
    access: dict[str, str]

    @property
    def login(self) -> tuple[str, str]:
        return basic_auth(self.access)

    def post(self, *, auth: tuple[str, str] | None, **headers: str) -> httpx.Response:
        """List deployments, the first step of changing one."""
        address = f"{self.service.url}/api/deployments/filter"
        return httpx.post(
            address,
            json={},
            auth=auth,
            headers=headers,
            trust_env=False,
            timeout=30,
        )


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrefect]:
    root = tmp_path_factory.mktemp("prefect")
    text = template().replace("prefect_port = 4200\n", f"prefect_port = {choose_port(0)}\n")
    (root / "voxdata.toml").write_text(text, encoding="utf-8")
    workspace = open_workspace(root)
    service = ensure_running(
        workspace.state_dir,
        prefect_spec(workspace),
        say=lambda line: None,
    )
    access = prefect_access(workspace)
    assert access is not None
    try:
        yield RunningPrefect(
            workspace=workspace,
            service=service,
            access=access,
        )
    finally:
        stop_all(workspace.state_dir, say=lambda line: None, grace_s=5)


def test_prefect_server_lets_its_own_client_in(prefect: RunningPrefect) -> None:
    answer = prefect.post(auth=prefect.login)
    assert answer.status_code == 200
    assert answer.json() == []


def test_prefect_server_refuses_a_client_without_a_login(prefect: RunningPrefect) -> None:
    assert prefect.post(auth=None).status_code == 401


@pytest.mark.parametrize("password", ["", "wrong", "admin:admin"])
def test_prefect_server_refuses_a_wrong_login(prefect: RunningPrefect, password: str) -> None:
    answer = prefect.post(auth=("voxdata", password))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:{port}"]
)
def test_prefect_server_refuses_a_foreign_origin_even_with_the_login(
    prefect: RunningPrefect, origin: str
) -> None:
    answer = prefect.post(
        auth=prefect.login,
        Origin=origin.replace("{port}", str(prefect.service.port)),
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:9", ""],
)
def test_prefect_server_refuses_a_foreign_host_even_with_the_login(
    prefect: RunningPrefect, host: str
) -> None:
    answer = prefect.post(
        auth=prefect.login,
        Host=host.replace("{port}", str(prefect.service.port)),
    )
    assert answer.status_code in {400, 421}


def test_prefect_server_allows_no_foreign_origin_in_a_preflight(prefect: RunningPrefect) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(
        f"{prefect.service.url}/api/deployments/filter",
        headers=headers,
        trust_env=False,
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_prefect_server_answers_its_own_pages(prefect: RunningPrefect, host: str) -> None:
    origin = f"http://{host}:{prefect.service.port}"
    answer = prefect.post(auth=prefect.login, Origin=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin


def test_prefect_server_shows_a_page_that_asks_for_the_password(prefect: RunningPrefect) -> None:
    page = httpx.get(
        str(prefect.service.url),
        headers={"Accept": "text/html"},
        follow_redirects=True,
        trust_env=False,
    )
    settings = httpx.get(f"{prefect.service.url}/ui-settings", trust_env=False).json()
    assert "<html" in page.text
    assert settings["auth"] == "BASIC"
    assert settings["api_url"] == prefect.access["PREFECT_API_URL"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_prefect_page_lets_a_person_in_who_types_the_password(
    prefect: RunningPrefect, host: str
) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page()
        page.goto(f"http://{host}:{prefect.service.port}/")
        page.get_by_role("textbox").or_(page.locator("input[type=password]")).first.fill(
            ":".join(prefect.login)
        )
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Deployments")).to_be_visible(timeout=60_000)
        browser.close()


def find_browser() -> str:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser is installed")
    return browser


def test_prefect_server_tells_its_health_to_everybody_here(prefect: RunningPrefect) -> None:
    answer = httpx.get(f"{prefect.service.url}/api/health", trust_env=False)
    assert answer.status_code == 200


def test_prefect_server_refuses_a_socket_of_a_foreign_page(prefect: RunningPrefect) -> None:
    address = f"ws://127.0.0.1:{prefect.service.port}/api/events/in"
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(address, origin="http://evil.example", proxy=None),
    ):  # type: ignore[arg-type]
        pass
    assert caught.value.response.status_code == 403


def test_prefect_server_keeps_its_login_in_a_private_file_and_out_of_its_log(
    prefect: RunningPrefect,
) -> None:
    path = prefect.workspace.state_dir / LOGIN_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    password = prefect.login[1]
    assert len(password) > 30
    log = Path(prefect.service.log).read_text(
        encoding="utf-8",
        errors="replace",
    )
    command = Path(f"/proc/{prefect.service.pid}/cmdline").read_bytes().decode()
    assert [text for text in (log, command) if password in text] == []


def test_prefect_server_is_started_anew_for_a_new_login(prefect: RunningPrefect) -> None:
    before = prefect_spec(prefect.workspace)
    path = prefect.workspace.state_dir / LOGIN_FILE
    kept = path.read_text(encoding="utf-8")
    path.unlink()
    try:
        assert prefect_spec(prefect.workspace).version != before.version
        assert kept not in str(before.command)
    finally:
        path.unlink()
        path.write_text(kept, encoding="utf-8")
        path.chmod(0o600)


def test_worker_is_given_the_login(prefect: RunningPrefect) -> None:
    env = worker_spec(prefect.workspace, prefect.service).env
    assert env["PREFECT_API_AUTH_STRING"] == ":".join(prefect.login)
