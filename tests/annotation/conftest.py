"""One real Label Studio server for the whole run, a project of its own for each test, and people
who answer through the API.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import pytest

from annotation import server
from annotation.encode import encode_labels
from annotation.label_studio import LabelStudioQueue
from annotation.server_api import LabelStudioServer
from flows.services.label_studio_server import LabelStudioCredentials, label_studio_environment
from flows.services.supervisor import ServiceSpec, ensure_running, stop_all
from flows.settings import read_environment
from voxdata.scheme import Scheme
from voxdata.testing import speech_like
from voxdata.testing.annotation_queue import QUEUE_SCHEMES

PORT = 8093
RECEIVER = "http://127.0.0.1:8094/hook"
"""The one internal address to which the server may send webhooks."""

STRAY = {"USERNAME": "somebody", "PASSWORD": "something", "HOST": "http://192.0.2.1:9", "PORT": "9"}
"""Variables of a user's shell that Label Studio would read for its own; ours must win."""

_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A real server that stops with the test run."""

    url: str
    receiver: str
    media_dir: Path
    log: Path
    credentials: LabelStudioCredentials = field(repr=False)

    def queue(
        self,
        *,
        title: str | None = None,
        schemes: tuple[Scheme, ...] = QUEUE_SCHEMES,
        votes_wanted: int = 3,
        token: str | None = None,
    ) -> LabelStudioQueue:
        """A queue on a project of its own."""
        return LabelStudioQueue(
            url=self.url,
            token=token or self.credentials.token,
            project_title=title or f"project {next(_numbers)} 项目",
            schemes=schemes,
            media_dir=self.media_dir,
            guidelines="Listen <twice> & decide. 先听再选。",
            votes_wanted=votes_wanted,
        )

    def as_person(self, email: str) -> httpx.Client:
        """The session of somebody who was invited and has logged in."""
        password = self.credentials.password
        if email != self.credentials.email:
            password = self.credentials.password_for(email)
            LabelStudioServer(url=self.url, token=self.credentials.token).ensure_annotator(
                email, password
            )
        session = httpx.Client(
            base_url=self.url,
            timeout=120,
            trust_env=False,
        )
        session.headers.update(log_in(session, email, password))
        return session

    def as_admin(self) -> httpx.Client:
        """A client with the administrator's token."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Token {self.credentials.token}"},
            timeout=120,
            trust_env=False,
        )


@dataclass(frozen=True, slots=True)
class ApiPeople:
    """`voxdata.testing.annotation_queue.People` on a real server, each person with an account."""

    running: RunningServer
    queue: LabelStudioQueue

    def answer(
        self,
        utterance_id: str,
        labels: Mapping[str, Sequence[str]],
        *,
        annotator: str,
        text: str | None = None,
        skipped: bool = False,
    ) -> int:
        password = self.running.credentials.password_for(annotator)
        self.queue.server.ensure_annotator(annotator, password)
        number = self.queue.find_clips([utterance_id])[utterance_id].number
        with httpx.Client(
            base_url=self.running.url,
            timeout=120,
            trust_env=False,
        ) as session:
            headers = log_in(session, annotator, password)
            answer = session.post(
                f"/api/tasks/{number}/annotations/",
                json={
                    "result": encode_labels(labels, text=text),
                    "was_cancelled": skipped,
                    "lead_time": 2.0,
                },
                headers=headers,
            )
        answer.raise_for_status()
        return int(answer.json()["id"])

    def change(
        self,
        annotation_id: int,
        labels: Mapping[str, Sequence[str]],
    ) -> None:
        with self.running.as_admin() as client:
            client.patch(
                f"/api/annotations/{annotation_id}/",
                json={"result": encode_labels(labels)},
            ).raise_for_status()

    def remove(self, annotation_id: int) -> None:
        with self.running.as_admin() as client:
            client.delete(f"/api/annotations/{annotation_id}/").raise_for_status()

    def remove_clip(self, utterance_id: str) -> None:
        with self.running.as_admin() as client:
            client.delete(
                f"/api/tasks/{self.queue.find_clips([utterance_id])[utterance_id].number}/"
            ).raise_for_status()


def log_in(
    session: httpx.Client,
    email: str,
    password: str,
) -> dict[str, str]:
    """Open a session as a person would; the headers for posting in it."""
    session.get("/user/login/")
    answer = session.post(
        "/user/login/",
        data={
            "email": email,
            "password": password,
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
        },
        headers={"Referer": f"{session.base_url}/user/login/"},
    )
    assert answer.status_code == 302, f"login of {email} failed"
    return {"X-CSRFToken": session.cookies["csrftoken"], "Referer": str(session.base_url)}


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real server, started as `voxdata up` starts it, from the cache; the cache is filled when it
    is empty.
    """
    root = tmp_path_factory.mktemp("label-studio")
    data_dir = root / "server"
    media_dir = root / "media"
    state_dir = root / "state"
    (media_dir / "clips").mkdir(parents=True)
    cache_dir = read_environment(os.environ).cache_dir
    lines: list[str] = []
    program = server.ensure_installed(cache_dir=cache_dir, say=lines.append)
    server.ensure_migrated(
        cache_dir=cache_dir,
        data_dir=data_dir,
        say=lines.append,
    )
    credentials = LabelStudioCredentials(
        email="admin@voxdata.local",
        password="right horse battery",
        token="0123456789abcdef" * 2 + "01234567",
        secret="s",
    )
    spec = ServiceSpec(
        name="label-studio",
        command=server.start_command(program),
        env=label_studio_environment(
            credentials,
            data_dir=data_dir,
            media_dir=media_dir,
            receiver=RECEIVER,
        ),
        port=PORT,
        health_path="/health",
        version=server.VERSION,
        cwd=data_dir,
        ready_timeout_s=300,
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in STRAY.items():
            patch.setenv(name, value)
        service = ensure_running(state_dir, spec, say=lines.append)
    assert service.url is not None
    try:
        yield RunningServer(
            url=service.url,
            receiver=RECEIVER,
            media_dir=media_dir,
            log=Path(service.log),
            credentials=credentials,
        )
    finally:
        stop_all(state_dir, say=lines.append, grace_s=5)


@pytest.fixture
def clip_file(label_studio: RunningServer) -> str:
    """A clip of 2 s that the server may serve, in a folder whose name needs quoting."""
    name = "clips/call + 电话 1/a.wav"
    path = label_studio.media_dir / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        pcm = (speech_like(2_000) * 32767).astype(np.int16)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(pcm.tobytes())
    return name


@pytest.fixture
def real_queue(label_studio: RunningServer) -> LabelStudioQueue:
    """An empty project for one test."""
    return label_studio.queue()


@pytest.fixture
def real_people(label_studio: RunningServer, real_queue: LabelStudioQueue) -> ApiPeople:
    """People who answer `real_queue`."""
    return ApiPeople(label_studio, real_queue)
