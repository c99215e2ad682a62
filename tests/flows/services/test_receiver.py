"""The receiver of webhooks: what it takes, what it keeps, and when it has changes pulled."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from annotation.webhooks import SECRET_HEADER, WEBHOOK_PATH
from flows.services.label_studio_server import label_studio_credentials
from flows.services.receiver import MAX_BYTES, PullWaker, build_app, pull_apart
from flows.services.start import receiver_spec
from flows.services.supervisor import Service, choose_port, ensure_running, stop_all
from flows.services.webhook_inbox import WebhookInbox
from flows.settings import template
from flows.workspace import open_workspace
from voxdata.errors import TransientError

SECRET = "the right one"
CREATED: dict[str, Any] = {
    "action": "ANNOTATION_CREATED",
    "annotation": {
        "id": 7,
        "updated_at": "2026-01-01T00:00:00Z",
        "result": [{"value": {"text": ["my number is 555"]}}],
    },
    "project": {"id": 3, "label_config": "<View/>"},
}
DELETED: dict[str, Any] = {
    "action": "ANNOTATIONS_DELETED",
    "annotations": [{"id": 7}, {"id": 8}],
    "project": {"id": 3},
}


@pytest.fixture
def inbox(tmp_path: Path) -> WebhookInbox:
    return WebhookInbox(tmp_path / "inbox")


@pytest.fixture
def woken() -> list[float]:
    return []


@pytest.fixture
def client(inbox: WebhookInbox, woken: list[float]) -> Iterator[TestClient]:
    with TestClient(
        build_app(inbox, secret=SECRET, wake=lambda: woken.append(time.monotonic()))
    ) as client:
        yield client


def post(client: TestClient, body: object, *, secret: str = SECRET) -> int:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return int(
        client.post(WEBHOOK_PATH, content=content, headers={SECRET_HEADER: secret}).status_code
    )


def test_receive_keeps_numbers_and_never_what_was_said(
    client: TestClient,
    inbox: WebhookInbox,
    woken: list[float],
    tmp_path: Path,
) -> None:
    assert post(client, CREATED) == 202
    assert post(client, DELETED) == 202
    kept = [json.loads((tmp_path / "inbox" / name).read_text()) for name in inbox.names()]
    assert [event["annotations"] for event in kept] == [[7], [7, 8]]
    assert kept[0] == {"action": "ANNOTATION_CREATED", "project": 3, "annotations": [7]}
    assert len(woken) == 2


@pytest.mark.parametrize(
    ("body", "secret", "status"),
    [
        (CREATED, "wrong", 401),
        (CREATED, "", 401),
        (b"not json", SECRET, 400),
        ([], SECRET, 400),
        ({"action": "X"}, SECRET, 400),
        (b"[" * 100_000, SECRET, 400),
        (b'{"action": "X", "project": {"id": 1e999}}', SECRET, 400),
        (b" " * (MAX_BYTES + 1), SECRET, 413),
    ],
    ids=[
        "wrong secret",
        "no secret",
        "not JSON",
        "a list",
        "no project",
        "too deep",
        "no number",
        "too large",
    ],
)
def test_receive_refuses(
    client: TestClient,
    inbox: WebhookInbox,
    woken: list[float],
    body: object,
    secret: str,
    status: int,
) -> None:
    assert post(client, body, secret=secret) == status
    assert inbox.names() == []
    assert woken == []


def test_receive_answers_200_events_at_once(client: TestClient, inbox: WebhookInbox) -> None:
    def timed(_number: int) -> tuple[int, float]:
        began = time.perf_counter()
        return post(client, CREATED), time.perf_counter() - began

    with ThreadPoolExecutor(max_workers=8) as people:
        timings = list(people.map(timed, range(200)))
    assert {status for status, _ in timings} == {202}
    assert len(inbox.names()) == 200
    spent = [seconds * 1000 for _, seconds in timings]
    print(
        f"answered in: median {statistics.median(spent):.1f} ms, 95 % "
        f"{statistics.quantiles(spent, n=20)[-1]:.1f} ms"
    )


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A real receiver as `voxdata up` starts it, and its secret."""
    root = tmp_path_factory.mktemp("receiver")
    text = template().replace("receiver_port = 4201 ", f"receiver_port = {choose_port(0)} ")
    (root / "voxdata.toml").write_text(text, encoding="utf-8")
    workspace = open_workspace(root)
    service = ensure_running(
        workspace.state_dir,
        receiver_spec(workspace),
        say=lambda line: None,
    )
    try:
        yield service, label_studio_credentials(workspace).webhook_secret
    finally:
        stop_all(workspace.state_dir, say=lambda line: None, grace_s=5)


def deliver(receiver: tuple[Service, str], **headers: str) -> int:
    service, secret = receiver
    sent = {SECRET_HEADER: secret, **headers}
    return httpx.post(
        f"{service.url}{WEBHOOK_PATH}",
        json=CREATED,
        headers=sent,
        trust_env=False,
        timeout=30,
    ).status_code


def test_receiver_takes_an_event_of_label_studio(receiver: tuple[Service, str]) -> None:
    assert deliver(receiver) == 202


@pytest.mark.parametrize("secret", ["", "wrong"])
def test_receiver_refuses_an_event_without_the_secret(
    receiver: tuple[Service, str], secret: str
) -> None:
    assert deliver(receiver, **{SECRET_HEADER: secret}) == 401


def test_receiver_refuses_a_foreign_origin(receiver: tuple[Service, str]) -> None:
    assert deliver(receiver, Origin="http://evil.example") == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1:9"])
def test_receiver_refuses_a_foreign_host(receiver: tuple[Service, str], host: str) -> None:
    status = deliver(receiver, Host=host.replace("{port}", str(receiver[0].port)))
    assert status == 421


def test_inbox_ignores_what_was_cut_off(inbox: WebhookInbox, tmp_path: Path) -> None:
    inbox.put({"a": 1})
    (tmp_path / "inbox" / "00000000000000000001-dead.partial").write_text("{")
    assert len(inbox.names()) == 1
    inbox.remove(inbox.names())
    assert inbox.names() == []


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def make_waker(inbox: WebhookInbox) -> Iterator[Callable[[Callable[[], object]], PullWaker]]:
    made: list[PullWaker] = []

    def make(pull: Callable[[], object]) -> PullWaker:
        made.append(PullWaker(inbox, pull, say=lambda line: None, quiet_s=0.05))
        made[-1].start()
        return made[-1]

    yield make
    for waker in made:
        waker.stop()


def test_waker_pulls_once_for_what_came_during_a_pull(
    inbox: WebhookInbox, make_waker: Callable[..., PullWaker]
) -> None:
    pulls: list[int] = []
    all_there = threading.Event()

    def pull() -> None:
        # However slow the disk is, the first pull lasts as long as the burst.
        all_there.wait(timeout=60)
        pulls.append(len(inbox.names()))

    waker = make_waker(pull)
    for _ in range(20):
        inbox.put({})
        waker.wake()
    all_there.set()
    assert eventually(lambda: inbox.names() == [])
    assert 1 <= len(pulls) <= 2
    assert pulls[0] == 20


def test_waker_pulls_again_for_an_event_that_comes_during_a_pull(
    inbox: WebhookInbox, make_waker: Callable[..., PullWaker]
) -> None:
    began = threading.Event()
    go_on = threading.Event()
    pulls: list[int] = []

    def pull() -> None:
        pulls.append(len(pulls))
        began.set()
        go_on.wait(5)

    waker = make_waker(pull)
    inbox.put({})
    waker.wake()
    assert began.wait(5)
    inbox.put({})
    waker.wake()
    go_on.set()
    assert eventually(lambda: inbox.names() == [])
    assert len(pulls) == 2


def test_waker_keeps_events_until_a_pull_succeeds(
    inbox: WebhookInbox, make_waker: Callable[..., PullWaker]
) -> None:
    outcomes = iter([TransientError("away"), TransientError("away"), None])

    def pull() -> None:
        assert inbox.names() != []
        if (outcome := next(outcomes)) is not None:
            raise outcome

    waker = make_waker(pull)
    inbox.put({})
    waker.wake()
    assert eventually(lambda: inbox.names() == [])
    assert next(outcomes, "none left") == "none left"


def test_waker_outlives_an_inbox_that_fails(
    inbox: WebhookInbox,
    make_waker: Callable[..., PullWaker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = iter([OSError("disk")])

    def remove(names: list[str]) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        WebhookInbox.remove(inbox, names)

    monkeypatch.setattr(inbox, "remove", remove)
    waker = make_waker(lambda: None)
    inbox.put({})
    waker.wake()
    assert eventually(lambda: inbox.names() == [])
    assert waker.alive


def test_waker_begins_with_what_was_left_over(
    inbox: WebhookInbox, make_waker: Callable[..., PullWaker]
) -> None:
    inbox.put({})
    pulls: list[int] = []
    make_waker(lambda: pulls.append(1))
    assert eventually(lambda: pulls == [1] and inbox.names() == [])


def test_pull_apart_turns_any_bad_end_into_something_to_try_again(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="ended with code"):
        pull_apart(tmp_path / "no workspace here")
