"""What only the real queue can get wrong: the project, lost answers, retries, other people's
mistakes.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx
import pytest

from annotation.config import build_config
from annotation.encode import encode_entry, model_version
from annotation.label_studio import LabelStudioQueue
from voxdata.errors import AnnotationError, TransientError
from voxdata.ports import QueueCounts
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing.annotation_queue import QUEUE_SCHEMES, make_entry

if TYPE_CHECKING:
    from tests.annotation.conftest import ApiPeople, RunningServer

pytestmark = pytest.mark.slow


class Gate:
    """Between the client and the server: passes everything on, but loses the answers to imports
    while `fault` is set.
    """

    def __init__(self, target: str) -> None:
        self.fault: str | None = None
        self.imports = 0
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def relay(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                importing = self.command == "POST" and self.path.split("?")[0].endswith("/import")
                gate.imports += importing
                if importing and gate.fault == "503 before":
                    self.send_error(503)
                    return
                headers = {
                    k: v
                    for k, v in self.headers.items()
                    if k.lower() not in {"host", "accept-encoding", "connection"}
                }
                answer = httpx.request(
                    self.command,
                    target + self.path,
                    content=body,
                    headers=headers,
                    timeout=120,
                    trust_env=False,
                )
                if importing and gate.fault == "503 after":
                    self.send_error(503)
                    return
                if importing and gate.fault == "cut after":
                    self.close_connection = True
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = relay

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def gate(label_studio: RunningServer) -> Iterator[Gate]:
    made = Gate(label_studio.url)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("fault", "kept"),
    [("503 before", 0), ("503 after", 3), ("cut after", 3)],
)
def test_push_doubles_nothing_when_the_answer_to_an_import_is_lost(
    label_studio: RunningServer, gate: Gate, clip_file: str, fault: str, kept: int
) -> None:
    queue = LabelStudioQueue(
        url=gate.url,
        token=label_studio.credentials.token,
        project_title=f"lost {fault}",
        schemes=QUEUE_SCHEMES,
        media_dir=label_studio.media_dir,
    )
    entries = [make_entry(f"u{i}", audio_file=clip_file) for i in range(3)]
    assert queue.counts().clips == 0
    gate.fault = fault
    with pytest.raises(TransientError):
        queue.push(entries)
    assert gate.imports == 1
    assert queue.counts().clips == kept
    gate.fault = None
    result = queue.push(entries)
    assert len(result.pushed) == 3 - kept
    assert len(result.already_there) == kept
    assert queue.counts().clips == 3


def test_project_is_found_again(label_studio: RunningServer) -> None:
    first = label_studio.queue(title="the same one").project_id
    assert label_studio.queue(title="the same one").project_id == first


def test_project_gets_the_screen_of_changed_schemes(label_studio: RunningServer) -> None:
    before = label_studio.queue(title="changing").project_id
    tone = Scheme(
        name="tone",
        version=1,
        labels=(SchemeLabel(name="polite"), SchemeLabel(name="rude")),
    )
    after = label_studio.queue(title="changing", schemes=(*QUEUE_SCHEMES, tone))
    assert after.project_id == before
    with label_studio.as_admin() as client:
        project = client.get(f"/api/projects/{after.project_id}/").json()
    assert project["label_config"] == build_config((*QUEUE_SCHEMES, tone))
    assert project["maximum_annotations"] == 3


def test_project_id_raises_when_a_scheme_in_use_is_removed(
    label_studio: RunningServer,
    real_queue: LabelStudioQueue,
    real_people: ApiPeople,
    clip_file: str,
) -> None:
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    real_people.answer(
        "u0",
        {"intent": ("greet",), "emotion": ("angry",)},
        annotator="person-1@voxdata.local",
    )
    with label_studio.as_admin() as client:
        title = client.get(f"/api/projects/{real_queue.project_id}/").json()["title"]
    with pytest.raises(AnnotationError, match="refused to find or make the project"):
        _ = label_studio.queue(title=title, schemes=QUEUE_SCHEMES[:1]).project_id


def test_push_shows_the_newest_proposals(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    old, new = (
        make_entry("u0", audio_file=clip_file, revision=revision) for revision in ("r1", "r2")
    )
    shown = []
    for entry in (old, new):
        real_queue.push([entry])
        with label_studio.as_admin() as client:
            shown.append(
                client.get(f"/api/projects/{real_queue.project_id}/").json()["model_version"]
            )
    assert shown == [model_version(old.predictions), model_version(new.predictions)]
    clip_ids = real_queue.find_clips(["u0"])
    assert clip_ids["u0"].model_versions == set(shown)


def test_push_leaves_nothing_of_a_text_or_a_clip_that_it_replaces(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    other = clip_file.replace("a.wav", "a-masked.wav")
    shutil.copyfile(label_studio.media_dir / clip_file, label_studio.media_dir / other)
    secret = "call me on 5550132"
    real_queue.push([make_entry("u0", audio_file=clip_file, text=secret)])
    before = real_queue.find_clips(["u0"])["u0"].number
    real_queue.push([make_entry("u0", audio_file=other, text="call me on [phone]")])
    with label_studio.as_admin() as client:
        answer = client.get(f"/api/tasks/{before}/")
    answer.raise_for_status()
    assert answer.json()["data"]["text"] == "call me on [phone]"
    assert "a-masked.wav" in unquote(answer.json()["data"]["audio"])
    assert len(answer.json()["predictions"]) == 1
    assert "5550132" not in answer.text
    assert "a.wav" not in unquote(answer.text)


def test_push_crosses_the_size_of_a_batch(real_queue: LabelStudioQueue, clip_file: str) -> None:
    entries = [make_entry(f"u{i:03}", audio_file=clip_file) for i in range(230)]
    assert len(real_queue.push(entries).pushed) == 230
    clip_ids = real_queue.find_clips([e.utterance_id for e in entries])
    assert set(clip_ids) == {e.utterance_id for e in entries}
    assert len(real_queue.push(entries).already_there) == 230
    assert real_queue.counts().clips == 230


def test_remove_doubles_keeps_the_copy_that_somebody_worked_on(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    entries = [make_entry(f"u{i}", audio_file=clip_file) for i in range(3)]
    real_queue.push(entries)
    with label_studio.as_admin() as client:
        for _ in range(2):
            answer = client.post(
                f"/api/projects/{real_queue.project_id}/import",
                json=[encode_entry(e) for e in entries[:2]],
            )
            answer.raise_for_status()
        newest = max(
            clip["id"]
            for clip in real_queue.server.list_tasks(real_queue.project_id)
            if clip["data"]["vox_id"] == "u0"
        )
        client.post(
            f"/api/tasks/{newest}/annotations/",
            json={"result": [], "was_cancelled": True},
        ).raise_for_status()
    assert real_queue.counts().clips == 7
    assert real_queue.push(entries).already_there == ("u0", "u1", "u2")
    assert sorted(real_queue.remove_doubles(["u0", "u1", "u2"])) == ["u0", "u0", "u1", "u1"]
    assert real_queue.counts() == QueueCounts(clips=3, annotations=1)
    clip_ids = real_queue.find_clips(["u0"])
    assert clip_ids["u0"].number == newest


def test_clip_sound_is_served_to_those_who_logged_in_only(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    entry = make_entry("u0", audio_file=clip_file)
    real_queue.push([entry])
    address = encode_entry(entry)["data"]["audio"]
    with label_studio.as_admin() as client:
        assert client.get(address).content == (label_studio.media_dir / clip_file).read_bytes()
    answer = httpx.get(label_studio.url + address, trust_env=False)
    assert answer.status_code == 401


def test_pull_names_an_annotation_that_it_cannot_take_and_takes_the_others(
    real_queue: LabelStudioQueue, real_people: ApiPeople, clip_file: str
) -> None:
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    bad = real_people.answer(
        "u0",
        {"emotion": ("bored",)},
        annotator="person-1@voxdata.local",
    )
    good = real_people.answer(
        "u0",
        {"emotion": ("angry",)},
        annotator="person-2@voxdata.local",
    )
    pulled = real_queue.pull(since=None)
    assert [a.annotation_id for a in pulled.annotations] == [good]
    (refusal,) = pulled.refused
    assert refusal.annotation_id == bad
    assert refusal.utterance_id == "u0"
    assert "'bored' is not a label" in refusal.why


def test_pull_tells_who_wrote_in_the_name_of_another(
    label_studio: RunningServer,
    real_queue: LabelStudioQueue,
    real_people: ApiPeople,
    clip_file: str,
) -> None:
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    number = real_people.answer(
        "u0",
        {"emotion": ("angry",)},
        annotator="person-1@voxdata.local",
    )
    assert real_queue.pull(since=None).annotations[0].author == ""
    real_people.change(number, {"emotion": ("neutral",)})
    (annotations,) = real_queue.pull(since=None).annotations
    assert annotations.annotator == "person-1@voxdata.local"
    assert annotations.author == label_studio.credentials.email


def test_queue_raises_transient_error_when_no_server_answers(tmp_path: Path) -> None:
    queue = LabelStudioQueue(
        url="http://127.0.0.1:9",
        token="0" * 40,
        project_title="none",
        schemes=QUEUE_SCHEMES,
        media_dir=tmp_path,
    )
    with pytest.raises(TransientError, match="does not answer"):
        queue.counts()


def test_queue_raises_annotation_error_when_the_token_is_wrong(label_studio: RunningServer) -> None:
    queue = LabelStudioQueue(
        url=label_studio.url,
        token="0" * 40,
        project_title="none",
        schemes=QUEUE_SCHEMES,
        media_dir=label_studio.media_dir,
    )
    with pytest.raises(AnnotationError, match="401"):
        queue.counts()


def test_ensure_annotator_makes_an_account_once(
    label_studio: RunningServer, real_queue: LabelStudioQueue
) -> None:
    for _ in range(2):
        real_queue.server.ensure_annotator("once@voxdata.local", "some long password")
    with label_studio.as_admin() as client:
        emails = [user["email"] for user in client.get("/api/users/").json()]
    assert emails.count("once@voxdata.local") == 1


def test_page_opens_the_clip(real_queue: LabelStudioQueue, clip_file: str) -> None:
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    assert (
        real_queue.page("u0")
        == f"{real_queue.page()}?task={real_queue.find_clips(['u0'])['u0'].number}"
    )
