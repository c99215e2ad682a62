"""The sync between a warehouse and a real Label Studio that dies, loses, doubles and is tampered
with.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

import flows.labelling.push
from annotation.encode import RIVALS, encode_labels
from annotation.label_studio import LabelStudioQueue
from annotation.settle import settle, settle_all
from annotation.webhooks import WEBHOOK_PATH
from benchmarks import annotation_workspace
from benchmarks.annotation_workspace import make_workspace
from flows.forget.flow import forget
from flows.forget.search import search_folder
from flows.labelling.adjudicate import find_contested, push_cases
from flows.labelling.answers import read_answers
from flows.labelling.pull import pull_changes
from flows.labelling.push import push_pending
from flows.labelling.queues import build_queue
from flows.labelling.rebuild import rebuild_project
from flows.labelling.reconcile import verify_annotations
from flows.services.label_studio_server import label_studio_credentials, label_studio_spec
from flows.services.start import receiver_spec
from flows.services.supervisor import ensure_running, read_services, stop_all
from flows.services.webhook_inbox import WebhookInbox
from flows.workspace import Workspace
from voxdata.errors import TransientError
from voxdata.label import Annotation
from voxdata.ports import PullResult
from warehouse.annotations import current_annotations
from warehouse.utterances import list_utterances

pytestmark = pytest.mark.slow

CLIPS = 60
Moment = Literal["unheard", "unanswered"]
"""Whether the server dies before a request reaches it, or after it has done what was asked, its
answer unheard.
"""


def quiet(_line: str) -> None:
    return None


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with clips to push, and a server of its own."""
    workspace = make_workspace(tmp_path, clips=CLIPS, name="calls")
    start(workspace)
    yield workspace
    stop_all(workspace.state_dir, say=quiet, grace_s=3)


def start(workspace: Workspace) -> None:
    ensure_running(
        workspace.state_dir,
        label_studio_spec(workspace, receiver=None, say=quiet),
        say=quiet,
    )


def start_receiver(workspace: Workspace) -> None:
    """As `voxdata up` does it: Label Studio is told where the receiver is."""
    receiver = ensure_running(workspace.state_dir, receiver_spec(workspace), say=quiet)
    spec = label_studio_spec(
        workspace,
        receiver=f"{receiver.url}{WEBHOOK_PATH}",
        say=quiet,
    )
    ensure_running(workspace.state_dir, spec, say=quiet)


def kill_server(workspace: Workspace) -> None:
    """Kill it, and wait until it is gone: a large process takes a moment to die."""
    server = read_services(workspace.state_dir)["label-studio"]
    os.killpg(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.05)


def die_at(
    monkeypatch: pytest.MonkeyPatch,
    workspace: Workspace,
    asked: str,
    *,
    number: int,
    moment: Moment,
) -> list[str]:
    """Kill the server at a known request of whoever talks to it from now on.

    Args:
        asked: Part of "METHOD URL".
        number: The how many-th such request, from 1.

    Returns:
        Fills with the requests that match; when the server was killed at one, it is the last.
    """
    seen: list[str] = []
    send = httpx.HTTPTransport.handle_request

    def send_or_die(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        line = f"{request.method} {request.url}"
        fatal = asked in line and len(seen) == number - 1
        if asked in line and len(seen) < number:
            seen.append(line)
        if fatal and moment == "unheard":
            kill_server(workspace)
        response = send(transport, request)
        if fatal:
            response.read()
            kill_server(workspace)
            raise httpx.ReadError("the connection broke", request=request)
        return response

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", send_or_die)
    return seen


def answer(
    queue: LabelStudioQueue,
    workspace: Workspace,
    person: str,
    keys: list[str],
    label: str = "ask",
) -> dict[str, int]:
    """Answer clips as a person with an account; key -> the server's id of the annotation."""
    password = label_studio_credentials(workspace).password_for(person)
    queue.server.ensure_annotator(person, password)
    made = {}
    with httpx.Client(
        base_url=queue.url,
        timeout=60,
        trust_env=False,
    ) as session:
        session.get("/user/login/")
        form = {
            "email": person,
            "password": password,
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
        }
        assert (
            session.post(
                "/user/login/",
                data=form,
                headers={"Referer": f"{queue.url}/user/login/"},
            ).status_code
            == 302
        )
        headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": queue.url}
        for key, clip in queue.find_clips(keys).items():
            body = {
                "result": encode_labels({"intent": (label,), "emotion": ("neutral",)}),
                "lead_time": 3.0,
            }
            reply = session.post(
                f"/api/tasks/{clip.number}/annotations/",
                json=body,
                headers=headers,
            )
            assert reply.status_code == 201, reply.text
            made[key] = int(reply.json()["id"])
    return made


def standing(workspace: Workspace) -> list[Annotation]:
    with workspace.warehouse() as con:
        return [a for a in current_annotations(con) if not a.deleted]


@pytest.mark.parametrize(
    ("moment", "there"),
    [("unheard", 20), ("unanswered", 40)],
)
def test_push_into_a_dying_server_loses_and_doubles_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moment: Moment, there: int
) -> None:
    queue = build_queue(workspace)
    assert queue.counts().clips == 0
    monkeypatch.setattr("annotation.label_studio.IMPORT_CHUNK", 20)
    with monkeypatch.context() as patch:
        seen = die_at(
            patch,
            workspace,
            f"/api/projects/{queue.project_id}/import?",
            number=2,
            moment=moment,
        )
        with pytest.raises(TransientError):
            push_pending(workspace, say=quiet)
        assert len(seen) == 2
    assert not read_services(workspace.state_dir)["label-studio"].alive
    start(workspace)
    assert len(build_queue(workspace).list_copies()) == there
    summary = push_pending(workspace, say=quiet)
    assert summary.pushed == CLIPS - there
    assert summary.unchanged == 20
    copies = build_queue(workspace).list_copies()
    assert len(copies) == CLIPS
    assert all(len(several) == 1 for several in copies.values())
    proof = verify_annotations(workspace, say=quiet)
    assert proof.clips == CLIPS
    assert proof.unexplained == 0


def test_sync_mends_and_names_what_was_done_behind_its_back(workspace: Workspace) -> None:
    lines: list[str] = []
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    keys = sorted(queue.list_copies())
    ann = answer(queue, workspace, "ann@voxdata.local", keys[:20])
    bob = answer(queue, workspace, "bob@voxdata.local", keys[10:30])
    assert pull_changes(workspace, say=quiet).new_revisions == 40

    request = queue.server.request
    numbers = {key: clip.number for key, clip in queue.find_clips(keys).items()}
    request("DELETE", f"/api/annotations/{ann[keys[0]]}/")  # deleted
    request(
        "PATCH",
        f"/api/annotations/{ann[keys[1]]}/",
        json={"result": encode_labels({"intent": ("tell",), "emotion": ("angry",)})},
    )
    accounts = {email: number for number, email in queue.server.emails().items()}
    forged = {
        "result": encode_labels({"intent": ("tell",), "emotion": ("happy",)}),
        "completed_by": accounts["bob@voxdata.local"],
    }
    request(
        "POST",
        f"/api/tasks/{numbers[keys[40]]}/annotations/",
        json=forged,
    )  # written as somebody else
    request("DELETE", f"/api/tasks/{numbers[keys[2]]}/")  # a clip with an annotation
    request("DELETE", f"/api/tasks/{numbers[keys[50]]}/")  # a clip without
    copy = next(
        task
        for task in queue.server.list_tasks(queue.project_id)
        if task["data"]["vox_id"] == keys[51]
    )
    for _ in range(2):  # deliveries repeated
        request(
            "POST",
            f"/api/projects/{queue.project_id}/import",
            json=[{"data": copy["data"]}],
        )
    request(
        "POST",
        f"/api/projects/{queue.project_id}/import",
        json=[{"data": {**copy["data"], "vox_id": "a stranger's"}}],
    )

    before = verify_annotations(workspace, say=quiet)
    changes = Counter(difference.what for difference in before.differences)
    assert changes == {
        "clip is missing in Label Studio": 2,
        "clip is there twice": 1,
        "annotation has vanished": 2,
        "annotation differs": 1,
        "annotation was not pulled yet": 1,
    }
    utterance_ids = [row["utterance_id"] for row in before.oddities]
    assert utterance_ids == ["a stranger's"]

    summary = pull_changes(workspace, say=quiet)
    assert summary.new_revisions == 4
    assert summary.vanished == 2
    push_pending(workspace, say=lines.append)
    assert any("2 clips had been deleted" in line for line in lines)
    assert any("2 clips were copies" in line for line in lines)
    after = verify_annotations(workspace, say=quiet)
    assert after.clips == CLIPS + 1
    assert after.annotations == 39
    assert after.unexplained == 0
    assert after.broken == ()
    oddities = Counter(str(row["oddity"]) for row in after.oddities)
    assert oddities == {
        "clip that is not ours": 1,
        "vanished from Label Studio": 2,
        "written in the name of another": 2,
    }
    utterance_ids = {
        a.utterance_id for a in standing(workspace) if a.annotator == "bob@voxdata.local"
    }
    assert utterance_ids == {
        *bob,
        keys[40],
    }
    (edited,) = [a for a in standing(workspace) if a.annotation_id == ann[keys[1]]]
    assert edited.labels["intent"] == ("tell",)
    assert pull_changes(workspace, say=quiet).new_revisions == 0


@pytest.mark.parametrize(
    ("asked", "number", "moment", "stored"),
    [("lead_time", 2, "unanswered", 0), ("/api/projects/counts/", 1, "unheard", 25)],
    ids=["while clips are read", "after they were stored"],
)
def test_pull_from_a_dying_server_goes_on_where_it_stopped(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    number: int,
    moment: Moment,
    stored: int,
) -> None:
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    answer(
        queue,
        workspace,
        "ann@voxdata.local",
        sorted(queue.list_copies())[:25],
    )
    monkeypatch.setattr("annotation.label_studio.LOOK_UP_CHUNK", 10)
    with monkeypatch.context() as patch:
        seen = die_at(patch, workspace, asked, number=number, moment=moment)
        with pytest.raises(TransientError):
            pull_changes(workspace, say=quiet)
        assert len(seen) == number
    assert len(standing(workspace)) == stored
    start(workspace)
    assert pull_changes(workspace, say=quiet).new_revisions == 25 - stored
    assert len(standing(workspace)) == 25
    assert verify_annotations(workspace, say=quiet).unexplained == 0


@pytest.mark.parametrize("loss", ["project", "server"])
def test_rebuild_brings_clips_and_annotations_back(workspace: Workspace, loss: str) -> None:
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    keys = sorted(queue.list_copies())
    answer(queue, workspace, "ann@voxdata.local", keys[:20])
    answer(
        queue,
        workspace,
        "bob@voxdata.local",
        keys[10:30],
        label="tell",
    )
    pull_changes(workspace, say=quiet)
    before = {
        (a.utterance_id, a.annotator): (dict(a.labels), a.lead_time_ms) for a in standing(workspace)
    }
    assert len(before) == 40

    if loss == "project":
        queue.server.request("DELETE", f"/api/projects/{queue.project_id}/")
    else:
        stop_all(workspace.state_dir, say=quiet, grace_s=3)
        shutil.rmtree(workspace.state_dir / "label-studio")
        start(workspace)
    if loss == "server":
        push_pending(
            workspace, say=quiet
        )  # a scheduled push may come first: then the clips are there without annotations
    summary = rebuild_project(workspace, vanished=False, say=quiet)
    assert summary.annotations == 40
    assert summary.left == 0
    after = {
        (a.utterance_id, a.annotator): (dict(a.labels), a.lead_time_ms) for a in standing(workspace)
    }
    assert after == before
    proof = verify_annotations(workspace, say=quiet)
    assert proof.clips == CLIPS
    assert proof.annotations == 40
    assert proof.unexplained == 0
    assert proof.oddities == ()
    assert rebuild_project(workspace, vanished=False, say=quiet).annotations == 0


def test_rebuild_brings_back_what_somebody_deleted_when_asked(workspace: Workspace) -> None:
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    made = answer(
        queue,
        workspace,
        "ann@voxdata.local",
        sorted(queue.list_copies())[:5],
    )
    pull_changes(workspace, say=quiet)
    for number in list(made.values())[:3]:
        queue.server.request("DELETE", f"/api/annotations/{number}/")
    assert pull_changes(workspace, say=quiet).vanished == 3
    assert rebuild_project(workspace, vanished=False, say=quiet).annotations == 0
    assert rebuild_project(workspace, vanished=True, say=quiet).annotations == 3
    assert len(standing(workspace)) == 5
    assert verify_annotations(workspace, say=quiet).unexplained == 0


def test_experts_decide_what_people_do_not_agree_about(workspace: Workspace) -> None:
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    keys = sorted(queue.list_copies())
    for person, label in (("ann", "ask"), ("bob", "tell"), ("cid", "complain")):
        answer(
            queue,
            workspace,
            f"{person}@voxdata.local",
            keys[:1],
            label=label,
        )
        answer(
            queue,
            workspace,
            f"{person}@voxdata.local",
            keys[1:3],
        )
    pull_changes(workspace, say=quiet)
    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
    cases = find_contested(answers, settle_all(answers, workspace.schemes))
    assert [case.utterance_id for case in cases] == keys[:1]
    assert push_cases(workspace, cases, say=quiet) == 1
    assert push_cases(workspace, cases, say=quiet) == 0

    experts = build_queue(workspace, "adjudicate")
    (clip,) = experts.server.list_tasks(experts.project_id)
    tabs = [prediction["model_version"] for prediction in clip["predictions"]]
    assert tabs == ["Listener A", "Listener B", "Listener C", RIVALS]
    assert not any(person in str(clip["predictions"]) for person in ("ann", "bob", "cid"))
    answer(experts, workspace, "expert@voxdata.local", keys[:1], label="tell")
    assert pull_changes(workspace, say=quiet).new_revisions == 1
    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
    assert len(answers.decisions) == 1
    gold = settle(answers, workspace.schemes[0]).gold
    assert gold[keys[0]].label == "tell"
    assert gold[keys[0]].standing == "decided"
    assert set(gold[keys[0]].distribution) == {"ask", "tell", "complain"}
    assert gold[keys[1]].standing == "clear"
    assert find_contested(answers, settle_all(answers, workspace.schemes)) == []
    assert verify_annotations(workspace, say=quiet).unexplained == 0

    (late,) = [
        a
        for a in answers.labels
        if a.utterance_id == keys[0] and a.annotator == "ann@voxdata.local"
    ]
    changed = {"result": encode_labels({"intent": ("tell",), "emotion": ("neutral",)})}
    queue.server.request(
        "PATCH",
        f"/api/annotations/{late.annotation_id}/",
        json=changed,
    )
    pull_changes(workspace, say=quiet)
    oddities = {str(row["oddity"]) for row in verify_annotations(workspace, say=quiet).oddities}
    assert "changed after adjudication" in oddities


def test_an_answer_is_pulled_by_itself_also_when_the_receiver_died_in_between(
    workspace: Workspace,
) -> None:
    start_receiver(workspace)
    push_pending(workspace, say=quiet)
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    hooks = queue.server.request(
        "GET",
        "/api/webhooks/",
        params={"project": queue.project_id},
    ).json()
    assert len(hooks) == 1
    keys = sorted(queue.list_copies())

    answer(queue, workspace, "ann@voxdata.local", keys[:2])
    assert eventually(lambda: len(standing(workspace)) == 2)
    os.killpg(read_services(workspace.state_dir)["receiver"].pid, signal.SIGKILL)
    answer(queue, workspace, "ann@voxdata.local", keys[2:4])  # its event is lost with the receiver
    WebhookInbox(workspace.state_dir / "webhooks").put(
        {"action": "ANNOTATION_CREATED"}
    )  # one that was noted before it died
    start_receiver(workspace)
    assert eventually(lambda: len(standing(workspace)) == 4)
    push_pending(workspace, say=quiet)  # leads the webhook to where the receiver listens now
    for _ in range(3):  # the same delivery again and again
        queue.server.request(
            "PATCH",
            f"/api/annotations/{standing(workspace)[0].annotation_id}/",
            json={"lead_time": 9.0},
        )
    assert eventually(lambda: any(a.lead_time_ms == 9_000 for a in standing(workspace)))
    assert verify_annotations(workspace, say=quiet).unexplained == 0


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.5)
    return False


def test_nobody_comes_back_from_a_real_server_who_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotation_workspace, "PER_RECORDING", 3)
    workspace = make_workspace(tmp_path, clips=6, name="forgetting")
    start(workspace)
    try:
        with monkeypatch.context() as patch:
            # The push dies after the server took the clips and before that is noted.
            patch.setattr(
                flows.labelling.push,
                "record_pushes",
                lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt),
            )
            with pytest.raises(KeyboardInterrupt):
                push_pending(workspace, say=quiet)
        queue = build_queue(workspace)
        assert queue.counts().clips == 6
        with workspace.warehouse() as con:
            said = {u.utterance_id: u.recording_id for u in list_utterances(con)}
        gone = min(said.values())
        answer(queue, workspace, "ann@voxdata.local", sorted(said))
        real = LabelStudioQueue.pull

        def pull_and_forget(self: LabelStudioQueue, **options: Any) -> PullResult:
            pulled = real(self, **options)
            if gone in said.values():
                forget(workspace, "recording", gone, reason="asked", say=quiet)
                for key in [key for key, recording_id in said.items() if recording_id == gone]:
                    del said[key]
            return pulled

        monkeypatch.setattr(LabelStudioQueue, "pull", pull_and_forget)
        pulled = pull_changes(workspace, say=quiet)
        assert pulled.seen == 6
        assert pulled.new_revisions == 3
        assert pulled.current == 3
        assert set(queue.list_copies()) == set(said)
        assert push_pending(workspace, say=quiet).pushed == 0
        assert queue.counts().clips == 3
        assert queue.counts().annotations == 3
        assert verify_annotations(workspace, say=quiet).broken == ()
        assert search_folder(workspace.root, [gone]) == ()
    finally:
        stop_all(workspace.state_dir, say=quiet, grace_s=3)
