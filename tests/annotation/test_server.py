"""The server's environment and database in the cache, and what a running server keeps to itself."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from annotation import server
from voxdata.errors import AnnotationError

if TYPE_CHECKING:
    from tests.annotation.conftest import RunningServer


def fake_installation(monkeypatch: pytest.MonkeyPatch, *, fail: int = 0) -> list[list[str]]:
    """Replace the installer by one that writes the program in 50 ms; the first `fail` calls end
    badly.
    """
    calls: list[list[str]] = []

    def run(
        command: list[str],
        *,
        what: str,
        env: object = None,
    ) -> str:
        calls.append(command)
        if len(calls) <= fail:
            raise AnnotationError(f"could not {what}")
        if command[1] == "venv":
            bin_folder = Path(command[-1]) / "bin"
            bin_folder.mkdir(parents=True)
            threading.Event().wait(0.05)
            program = Path(command[-1]) / "bin" / "label-studio"
            program.write_text("#!", encoding="utf-8")
        return ""

    monkeypatch.setattr(server, "_run", run)
    return calls


def test_ensure_installed_installs_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, said = fake_installation(monkeypatch), []
    programs = {server.ensure_installed(cache_dir=tmp_path, say=said.append) for _ in range(3)}
    assert programs == {
        tmp_path / f"label-studio-{server.VERSION}" / "venv" / "bin" / "label-studio"
    }
    assert len(calls) == 2
    assert len(said) == 1


def test_ensure_installed_installs_once_when_two_ask_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_installation(monkeypatch)
    threads = [
        threading.Thread(target=server.ensure_installed, kwargs={"cache_dir": tmp_path, "say": str})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 2


def test_ensure_installed_begins_again_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_installation(monkeypatch, fail=1)
    with pytest.raises(AnnotationError, match="could not"):
        server.ensure_installed(cache_dir=tmp_path, say=str)
    assert server.ensure_installed(cache_dir=tmp_path, say=str).is_file()
    assert len(calls) == 3


def test_ensure_installed_installs_again_when_the_lock_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_installation(monkeypatch)
    server.ensure_installed(cache_dir=tmp_path, say=str)
    changed = tmp_path / "other.lock"
    changed.write_text("label-studio==9\n", encoding="utf-8")
    monkeypatch.setattr(server, "LOCK", changed)
    server.ensure_installed(cache_dir=tmp_path, say=str)
    assert len(calls) == 4


def test_ensure_migrated_leaves_a_database_alone(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / server.DATABASE).write_bytes(b"mine")
    server.ensure_migrated(
        cache_dir=tmp_path / "cache",
        data_dir=tmp_path / "d",
        say=str,
    )
    content = (tmp_path / "d" / server.DATABASE).read_bytes()
    assert content == b"mine"
    assert not (tmp_path / "cache").exists()


def test_lock_pins_the_version_of_the_server() -> None:
    lines = server.locked_versions(server.LOCK.read_text(encoding="utf-8")).splitlines()
    assert f"label-studio=={server.VERSION}" in lines
    assert all(line.count("==") == 1 for line in lines)


def test_ensure_installed_keeps_an_environment_when_only_hashes_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_installation(monkeypatch)
    server.ensure_installed(cache_dir=tmp_path, say=str)
    changed = tmp_path / "other.lock"
    changed.write_text(
        server.locked_versions(server.LOCK.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    monkeypatch.setattr(server, "LOCK", changed)
    server.ensure_installed(cache_dir=tmp_path, say=str)
    assert len(calls) == 2


def test_ensure_installed_checks_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_installation(monkeypatch)
    server.ensure_installed(cache_dir=tmp_path, say=str)
    assert "--require-hashes" in calls[1]


@pytest.mark.slow
def test_ensure_migrated_gives_a_database_without_people_or_keys(
    label_studio: RunningServer, tmp_path: Path
) -> None:
    from flows.settings import read_environment

    server.ensure_migrated(
        cache_dir=read_environment(os.environ).cache_dir,
        data_dir=tmp_path / "d",
        say=str,
    )
    database = tmp_path / "d" / server.DATABASE
    assert database.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(database)) as con:
        counts = {
            table: con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("htx_user", "authtoken_token", "project")
        }
    assert counts == {"htx_user": 0, "authtoken_token": 0, "project": 0}


@pytest.mark.slow
def test_server_obeys_its_own_variables_and_not_those_of_the_shell(
    label_studio: RunningServer,
) -> None:
    with label_studio.as_admin() as client:
        emails = [user["email"] for user in client.get("/api/users/").json()]
    assert emails[0] == label_studio.credentials.email
    assert not [email for email in emails if email == "somebody"]


@pytest.mark.slow
def test_server_listens_on_this_machine_only(label_studio: RunningServer) -> None:
    port = httpx.URL(label_studio.url).port
    addresses = {
        c.laddr.ip
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port
    }
    assert addresses == {"127.0.0.1"}


@pytest.mark.slow
def test_server_log_is_private_and_holds_no_secret(label_studio: RunningServer) -> None:
    assert label_studio.log.stat().st_mode & 0o077 == 0
    text = label_studio.log.read_text(encoding="utf-8", errors="replace")
    assert text
    assert label_studio.credentials.token not in text
    assert label_studio.credentials.password not in text


@pytest.mark.slow
def test_server_refuses_a_sign_up_without_an_invitation(label_studio: RunningServer) -> None:
    with httpx.Client(
        base_url=label_studio.url,
        timeout=60,
        trust_env=False,
    ) as session:
        session.get("/user/login/")
        answer = session.post(
            "/user/signup/",
            data={
                "email": "stranger@voxdata.local",
                "password": "some long password",
                "csrfmiddlewaretoken": session.cookies["csrftoken"],
            },
            headers={"Referer": f"{label_studio.url}/user/signup/"},
        )
    assert answer.status_code == 403
