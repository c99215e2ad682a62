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

from flows.doctor import (
    PINS,
    Check,
    check_books,
    check_disk,
    check_pins,
    check_program,
    check_python,
    check_service,
    check_token,
    check_workspace,
    render_checks,
    run_checks,
)
from flows.settings import FILE_NAME, template
from flows.workspace import open_workspace
from warehouse.gate import bar


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/good" else 500)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("found", "ok"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_check_python_knows_the_versions_that_work(found: tuple[int, int], ok: bool) -> None:
    check = check_python(found)
    assert (check.ok, bool(check.remedy)) == (ok, not ok)


def test_check_pins_accepts_a_local_build() -> None:
    assert check_pins(lambda name: PINS[name] + "+cpu").ok is True


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


@pytest.mark.parametrize(("path", "ok"), [("/good", True), ("/bad", False)])
def test_check_service_asks_the_address(site: str, path: str, ok: bool) -> None:
    assert check_service("x", site + path).ok is ok


def test_check_service_fails_when_nothing_listens() -> None:
    check = check_service("x", "http://127.0.0.1:9/health")
    assert check.ok is False
    assert "voxdata up" in check.remedy


def test_check_service_takes_one_that_was_not_started_for_absent() -> None:
    assert check_service("x", None).ok is None


def test_check_program_separates_required_from_optional() -> None:
    assert [check_program("x", ("no-such-program",), remedy="r", required=required).ok for required in (True, False)] == [False, None]
    assert check_program("x", ("no-such-program", "sh"), remedy="r", required=True).ok is True


def test_check_disk_fails_when_too_little_is_free(tmp_path: Path) -> None:
    assert check_disk(tmp_path / "not" / "yet").ok is not None
    assert check_disk(tmp_path, min_free_gb=1e9).ok is False


def test_check_token_is_optional() -> None:
    assert (check_token("x").ok, check_token(None).ok) == (True, None)
    assert "secret-value" not in check_token("secret-value").detail


def test_check_workspace_names_the_wrong_key(tmp_path: Path) -> None:
    (tmp_path / "voxdata.toml").write_text(template() + "\n[nonsense]\nx = 1\n", encoding="utf-8")
    check = check_workspace(tmp_path)
    assert check.ok is False
    assert "nonsense" in check.detail


def test_check_books_notices_who_was_taken_off_the_list(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(template(), encoding="utf-8")
    assert check_books(tmp_path).ok is None
    with open_workspace(tmp_path).warehouse() as con:
        bar(con, "recording", {"r1": "receipt"}, reason="asked", run_id="t")
    assert check_books(tmp_path).ok is True
    with open_workspace(tmp_path).warehouse() as con:
        con.execute("drop trigger forgotten_no_update on forgotten")
        con.execute("update forgotten set renewed = true")
    found = check_books(tmp_path)
    assert (found.ok, "who is to stay out" in found.detail, bool(found.remedy)) == (False, True, True)


def test_check_workspace_is_optional_unless_named(tmp_path: Path) -> None:
    assert [check_workspace(tmp_path, expected=expected).ok for expected in (False, True)] == [None, False]
    (tmp_path / "voxdata.toml").write_text(template(), encoding="utf-8")
    assert check_workspace(tmp_path).ok is True


def test_render_checks_shows_each_remedy_and_counts_failures() -> None:
    checks = [Check(name="a", ok=True, detail="fine [1]"), Check(name="b", ok=False, detail="broken", remedy="mend it")]
    out = StringIO()
    render_checks(checks, console=Console(file=out, width=100))
    assert "-> mend it" in out.getvalue()
    assert "fine [1]" in out.getvalue()
    assert "1 of 2 checks fail" in out.getvalue()


@pytest.mark.slow
def test_run_checks_is_quick_and_every_failure_has_a_remedy() -> None:
    began = time.monotonic()
    checks = run_checks(workspace=None, hf_token=None, urls={"prefect-server": None})
    assert time.monotonic() - began < 60
    assert all(check.remedy for check in checks if check.ok is False)
    assert {"Python", "model packages", "pyannote.audio", "GPU", "disk", "workspace"} <= {check.name for check in checks}
