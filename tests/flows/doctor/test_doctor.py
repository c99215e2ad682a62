"""The doctor finds what is wrong, and every failure names a remedy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows.doctor.examine import (
    PINS,
    check_books,
    check_disk,
    check_pins,
    check_program,
    check_python,
    check_token,
    check_workspace,
    render_checks,
    run_checks,
)
from flows.doctor.service_checks import Check, check_label_studio, check_service, service_checks
from flows.place import FILE_NAME
from flows.services.supervisor import Service, ServiceSpec, ensure_running, write_services
from flows.settings import Secrets, template
from flows.workspace import open_workspace
from warehouse.gate import bar

TOKEN = "0123456789abcdef" * 2 + "01234567"
PROJECTS = '{"count": 0, "next": null, "previous": null, "results": []}'


class Answer(BaseHTTPRequestHandler):
    """An address that answers at /good, a web page at every path below /page, and Label Studio's
    API below /studio.
    """

    def do_GET(self) -> None:
        if self.path.startswith("/page/"):
            self.answer(200, "text/html", "<html><title>Log in</title></html>")
        elif self.path.startswith("/studio/api/projects/"):
            let_in = self.headers.get("Authorization") == f"Token {TOKEN}"
            body = PROJECTS if let_in else '{"status_code": 401, "detail": "Invalid token."}'
            self.answer(200 if let_in else 401, "application/json", body)
        else:
            self.answer(
                200 if self.path in {"/good", "/health", "/studio/health"} else 500,
                "application/json",
                "{}",
            )

    def answer(self, status: int, kind: str, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        ((3, 10), False),
        ((3, 11), True),
        ((3, 13), True),
        ((3, 14), False),
    ],
)
def test_check_python_knows_the_versions_that_work(found: tuple[int, int], ok: bool) -> None:
    check = check_python(found)
    assert check.ok == ok
    assert bool(check.remedy) == (not ok)


def test_check_pins_accepts_a_local_build() -> None:
    check = check_pins(lambda name: PINS[name] + "+cpu")
    assert check.ok is True


def test_check_pins_names_what_differs_and_what_is_missing() -> None:
    def find(name: str) -> str:
        if name == "torchcodec":
            raise PackageNotFoundError(name)
        return {**PINS, "torch": "2.13.0"}[name]

    check = check_pins(find)
    assert check.ok is False
    assert "torch 2.13.0" in check.detail
    assert "torchcodec missing" in check.detail
    assert check.remedy


@pytest.mark.parametrize(
    ("path", "ok"),
    [("/good", True), ("/bad", False)],
)
def test_check_service_asks_the_address(site: str, path: str, ok: bool) -> None:
    assert check_service("x", site + path).ok is ok


def test_check_service_fails_when_nothing_listens() -> None:
    check = check_service("x", "http://127.0.0.1:9/health")
    assert check.ok is False
    assert "voxdata up" in check.remedy


def look(root: Path, **secrets: str) -> dict[str, Check]:
    """Name -> what the doctor finds of each service."""
    checks = service_checks(root, Secrets(cache_dir=root, **secrets))
    looked_at = [look_at() for look_at in checks]
    return {check.name: check for check in looked_at}


def a_service(
    name: str,
    *,
    pid: int,
    started: str,
    port: int | None = None,
) -> Service:
    return Service(
        name=name,
        pid=pid,
        started=started,
        port=port,
        log=f"logs/{name}.log",
        version="1",
    )


def test_service_checks_take_what_was_not_started_for_absent(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert list(found) == ["prefect-server", "worker", "label-studio", "receiver"]
    assert {check.ok for check in found.values()} == {None}


def test_service_checks_find_each_service_that_has_ended(tmp_path: Path) -> None:
    names = ("prefect-server", "worker", "label-studio", "receiver")
    write_services_in(
        tmp_path,
        [
            a_service(
                name,
                pid=999_999_999,
                started="gone",
                port=1,
            )
            for name in names
        ],
    )
    found = look(tmp_path)
    outcomes = {name: check.ok for name, check in found.items()}
    assert outcomes == dict.fromkeys(names, False)
    assert all(
        "has ended" in check.detail and "voxdata up" in check.remedy for check in found.values()
    )


def test_service_checks_tell_a_worker_that_runs(
    tmp_path: Path, state_dir: Path, said: list[str]
) -> None:
    spec = ServiceSpec(
        name="worker",
        command=("sleep", "60"),
        env={},
    )
    worker = ensure_running(state_dir, spec, say=said.append)
    assert look(tmp_path)["worker"] == Check(
        name="worker",
        ok=True,
        detail=f"runs as process {worker.pid}",
    )


def test_service_checks_expect_no_receiver_for_a_label_studio_elsewhere(
    tmp_path: Path, site: str
) -> None:
    receiver = look(tmp_path, label_studio_url=f"{site}/studio", label_studio_token=TOKEN)[
        "receiver"
    ]
    assert receiver.ok is None
    assert receiver.remedy == ""
    assert "voxdata pull" in receiver.detail


def test_check_label_studio_asks_the_api_with_the_token(site: str) -> None:
    assert check_label_studio(f"{site}/studio", TOKEN).ok is True


@pytest.mark.parametrize(
    ("path", "token", "words"),
    [
        ("/page", TOKEN, 'answers with a page "Log in"'),
        ("/studio", "f" * 40, "token"),
        ("/studio", None, "no token"),
        ("", TOKEN, "could not list its projects"),
    ],
)
def test_doctor_takes_no_web_page_and_no_refusal_for_a_label_studio(
    tmp_path: Path,
    site: str,
    path: str,
    token: str | None,
    words: str,
) -> None:
    secrets = {"label_studio_url": site + path, **({"label_studio_token": token} if token else {})}
    check = look(tmp_path, **secrets)["label-studio"]
    assert check.ok is False
    assert words in check.detail
    assert "VOXDATA_LABEL_STUDIO_URL" in check.remedy


def write_services_in(root: Path, services: list[Service]) -> None:
    (root / ".voxdata").mkdir()
    write_services(root / ".voxdata", {service.name: service for service in services})


def test_check_program_separates_required_from_optional() -> None:
    outcomes = [
        check_program("x", ("no-such-program",), remedy="r", required=required).ok
        for required in (True, False)
    ]
    assert outcomes == [False, None]
    check = check_program(
        "x",
        ("no-such-program", "sh"),
        remedy="r",
        required=True,
    )
    assert check.ok is True


def test_check_disk_fails_when_too_little_is_free(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "not" / "yet").ok is not None
    assert check_disk(tmp_path, min_free_gb=1e9).ok is False


def test_check_token_is_optional() -> None:
    assert check_token("x").ok is True
    assert check_token(None).ok is None
    assert "secret-value" not in check_token("secret-value").detail


def test_check_workspace_names_the_wrong_key(tmp_path: Path) -> None:
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template() + "\n[nonsense]\nx = 1\n", encoding="utf-8")
    check = check_workspace(tmp_path)
    assert check.ok is False
    assert "nonsense" in check.detail


def test_check_books_notices_who_was_taken_off_the_list(tmp_path: Path) -> None:
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    assert check_books(tmp_path).ok is None
    with open_workspace(tmp_path).warehouse() as con:
        bar(
            con,
            "recording",
            {"r1": "receipt"},
            reason="asked",
            run_id="t",
        )
    assert check_books(tmp_path).ok is True
    with open_workspace(tmp_path).warehouse() as con:
        con.execute("drop trigger forgotten_no_update on forgotten")
        con.execute("update forgotten set renewed = true")
    problems = check_books(tmp_path)
    assert problems.ok is False
    assert "who is to stay out" in problems.detail
    assert problems.remedy


def test_check_workspace_is_optional_unless_named(tmp_path: Path) -> None:
    outcomes = [check_workspace(tmp_path, expected=expected).ok for expected in (False, True)]
    assert outcomes == [
        None,
        False,
    ]
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template(), encoding="utf-8")
    assert check_workspace(tmp_path).ok is True


def test_render_checks_shows_each_remedy_and_counts_failures() -> None:
    checks = [
        Check(name="a", ok=True, detail="fine [1]"),
        Check(name="b", ok=False, detail="broken", remedy="fix it"),
    ]
    out = StringIO()
    render_checks(checks, console=Console(file=out, width=100))
    assert "-> fix it" in out.getvalue()
    assert "fine [1]" in out.getvalue()
    assert "1 of 2 checks fail" in out.getvalue()


@pytest.mark.slow
def test_run_checks_is_quick_and_every_failure_has_a_remedy() -> None:
    began = time.process_time()
    checks = run_checks(workspace=None, secrets=Secrets(cache_dir=Path()))
    assert time.process_time() - began < 60  # the machine may be busy with other things
    assert all(check.remedy for check in checks if check.ok is False)
    assert {"Python", "model packages", "pyannote.audio", "GPU", "disk", "workspace"} <= {
        check.name for check in checks
    }
