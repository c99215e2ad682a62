"""Who gets into a real Label Studio server, and where it can be made to call."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from annotation.encode import encode_entry
from annotation.label_studio import LabelStudioQueue
from annotation.webhooks import SECRET_HEADER, ensure_webhook
from voxdata.testing.annotation_queue import make_entry

if TYPE_CHECKING:
    from tests.annotation.conftest import ApiPeople, RunningServer

pytestmark = pytest.mark.slow

SECRET_PAGE = b'[{"data": {"audio": "a.wav", "text": "an internal page that nobody should see"}}]'
"""What an internal server answers; it is a list of tasks, so that an import of it would succeed."""


class Listener:
    """A server on this machine that notes who calls it."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def note(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.calls.append((self.command, self.path, dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(SECRET_PAGE)))
                self.end_headers()
                self.wfile.write(SECRET_PAGE)

            do_GET = do_POST = do_HEAD = note

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def internal() -> Iterator[Listener]:
    """Somebody's internal server."""
    made = Listener()
    yield made
    made.close()


@pytest.fixture
def receiver(label_studio: RunningServer) -> Iterator[Listener]:
    """In the place of the receiver, the one address that may be called."""
    made = Listener(httpx.URL(label_studio.receiver).port or 0)
    yield made
    made.close()


@pytest.fixture
def annotator(label_studio: RunningServer) -> Iterator[httpx.Client]:
    """The session of an invited annotator."""
    session = label_studio.as_person("invited@voxdata.local")
    yield session
    session.close()


# --- a page of the internet, in the browser of somebody who is logged in


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:{port}"]
)
def test_server_refuses_a_foreign_origin_even_of_somebody_who_is_logged_in(
    label_studio: RunningServer, annotator: httpx.Client, origin: str
) -> None:
    port = httpx.URL(label_studio.url).port
    answer = annotator.post(
        "/api/projects/",
        json={"title": "from elsewhere"},
        headers={"Origin": origin.replace("{port}", str(port))},
    )
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:9", "127.0.0.1.evil.example:{port}"]
)
def test_server_refuses_a_foreign_host_even_with_the_token(
    label_studio: RunningServer, host: str
) -> None:
    with label_studio.as_admin() as client:
        port = httpx.URL(label_studio.url).port
        answer = client.get(
            "/api/projects/",
            headers={"Host": host.replace("{port}", str(port))},
        )
        assert answer.status_code == 421


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "Token 0000"}, {"Authorization": "Bearer 0000"}],
)
def test_server_refuses_a_missing_or_wrong_token(
    label_studio: RunningServer, header: dict[str, str]
) -> None:
    answer = httpx.get(
        f"{label_studio.url}/api/projects/",
        headers=header,
        trust_env=False,
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_server_answers_its_own_pages(
    label_studio: RunningServer, annotator: httpx.Client, host: str
) -> None:
    own = f"{host}:{httpx.URL(label_studio.url).port}"
    answer = annotator.get("/api/projects/", headers={"Host": own, "Origin": f"http://{own}"})
    assert answer.status_code == 200


def test_server_tells_its_health_to_everybody_here(label_studio: RunningServer) -> None:
    answer = httpx.get(f"{label_studio.url}/health", trust_env=False)
    assert answer.status_code == 200


# --- an invited annotator, who wants to see what only this machine sees


def test_import_from_an_address_never_calls_an_internal_one(
    label_studio: RunningServer,
    annotator: httpx.Client,
    real_queue: LabelStudioQueue,
    internal: Listener,
) -> None:
    answer = annotator.post(
        f"/api/projects/{real_queue.project_id}/import",
        data={"url": f"http://127.0.0.1:{internal.port}/tasks.json"},
    )
    assert answer.status_code >= 400
    assert internal.calls == []
    with label_studio.as_admin() as client:
        assert (
            "internal page"
            not in client.get("/api/tasks/", params={"project": real_queue.project_id}).text
        )


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://127.1:{port}/hook",
        "http://0.0.0.0:{port}/",
    ],
)
def test_webhook_to_an_internal_address_is_refused(
    annotator: httpx.Client, internal: Listener, address: str
) -> None:
    url = address.replace("{port}", str(internal.port))
    answer = annotator.post(
        "/api/webhooks/",
        json={"url": url, "send_for_all_actions": True, "is_active": True},
    )
    assert answer.status_code in {400, 403}


@pytest.mark.parametrize("path", ["/", "/hook/../other", "/hook?x=1", "/health"])
def test_webhook_to_another_page_of_the_receiver_is_refused(
    label_studio: RunningServer, annotator: httpx.Client, path: str
) -> None:
    url = label_studio.receiver.removesuffix("/hook") + path
    answer = annotator.post(
        "/api/webhooks/",
        json={"url": url, "send_for_all_actions": True, "is_active": True},
    )
    assert answer.status_code in {400, 403}


def test_machine_learning_backend_at_an_internal_address_is_refused(
    annotator: httpx.Client, real_queue: LabelStudioQueue, internal: Listener
) -> None:
    body = {
        "url": f"http://127.0.0.1:{internal.port}",
        "project": real_queue.project_id,
        "title": "m",
    }
    answer = annotator.post("/api/ml/", json=body)
    assert answer.status_code in {400, 403}
    assert internal.calls == []


def test_s3_storage_at_an_internal_address_is_refused(
    annotator: httpx.Client, real_queue: LabelStudioQueue, internal: Listener
) -> None:
    body = {
        "project": real_queue.project_id,
        "bucket": "b",
        "s3_endpoint": f"http://127.0.0.1:{internal.port}",
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
    }
    answer = annotator.post("/api/storages/s3/", json=body)
    assert answer.status_code in {400, 403}
    answer = annotator.post("/api/storages/s3/validate", json=body)
    assert answer.status_code in {400, 403}
    assert internal.calls == []


def test_redis_storage_at_an_internal_address_is_refused(
    annotator: httpx.Client, real_queue: LabelStudioQueue, internal: Listener
) -> None:
    body = {
        "project": real_queue.project_id,
        "host": "127.0.0.1",
        "port": str(internal.port),
        "path": "x",
    }
    assert annotator.post("/api/storages/redis/validate", json=body).status_code >= 400
    assert internal.calls == []


def test_webhook_reaches_the_receiver(
    label_studio: RunningServer,
    real_queue: LabelStudioQueue,
    real_people: ApiPeople,
    receiver: Listener,
    clip_file: str,
) -> None:
    ensure_webhook(
        real_queue.server,
        real_queue.project_id,
        url=label_studio.receiver,
        secret="the right one",
    )
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    real_people.answer(
        "u0",
        {"intent": ("greet",), "emotion": ("angry",)},
        annotator="person-1@voxdata.local",
    )
    deadline = time.monotonic() + 20
    while not receiver.calls and time.monotonic() < deadline:
        time.sleep(0.05)
    command, path, headers, body = receiver.calls[0]
    assert command == "POST"
    assert path == "/hook"
    assert headers[SECRET_HEADER] == "the right one"
    assert json.loads(body)["action"] == "ANNOTATION_CREATED"


def test_uploaded_file_is_for_its_owner_alone(
    label_studio: RunningServer,
    annotator: httpx.Client,
    real_queue: LabelStudioQueue,
    clip_file: str,
) -> None:
    tasks = json.dumps(
        [{"data": encode_entry(make_entry("u0", audio_file=clip_file))["data"]}]
    ).encode()
    files = {"tasks.json": ("tasks.json", tasks, "application/json")}
    annotator.post(f"/api/projects/{real_queue.project_id}/import", files=files).raise_for_status()
    uploads = [
        path
        for path in (label_studio.media_dir.parent / "server").rglob("*tasks*.json")
        if path.is_file()
    ]
    assert uploads
    assert [path for path in uploads if path.stat().st_mode & 0o077] == []
