"""Wiring: build the annotation queues that the settings ask for."""

from __future__ import annotations

from typing import Literal

from annotation.label_studio import LabelStudioQueue
from annotation.webhooks import WEBHOOK_PATH, ensure_webhook
from flows.services.label_studio_server import label_studio_access, label_studio_credentials
from flows.services.supervisor import read_services
from flows.workspace import Say, Workspace
from voxdata.errors import AnnotationError, TransientError
from warehouse.pushes import list_projects, note_project

Purpose = Literal["label", "adjudicate"]


def build_queue(workspace: Workspace, purpose: Purpose = "label") -> LabelStudioQueue:
    """A Label Studio project of the workspace, made when absent: the one in which people label, or the one in which experts decide."""
    url, token = label_studio_access(workspace)
    settings = workspace.settings.annotation
    return LabelStudioQueue(
        url=url,
        token=token,
        project_title=workspace.settings.project.name + ("" if purpose == "label" else " adjudication"),
        schemes=workspace.schemes,
        histories=workspace.histories,
        media_dir=workspace.media_dir,
        guidelines=settings.guidelines,
        language=settings.language,
        votes_wanted=settings.votes_wanted if purpose == "label" else 1,
    )


def note_queue(workspace: Workspace, queue: LabelStudioQueue, purpose: Purpose = "label") -> int:
    """Our number of a queue's project; it differs from the server's when the server was set up anew."""
    with workspace.warehouse() as con:
        return note_project(
            con, server_id=queue.project_id, made_at=queue.made_at, purpose=purpose, title=queue.title, run_id=workspace.run_id
        )


def connect_receiver(workspace: Workspace, queue: LabelStudioQueue, *, say: Say) -> bool:
    """Have a project tell the receiver that somebody answered; without a receiver the schedule finds out.

    Returns:
        Whether it will.
    """
    service = read_services(workspace.state_dir).get("receiver")
    if service is None or service.url is None or not service.alive or workspace.secrets.label_studio_url is not None:
        return False
    secret = label_studio_credentials(workspace).webhook_secret
    try:
        ensure_webhook(queue.server, queue.project_id, url=f"{service.url}{WEBHOOK_PATH}", secret=secret)
    except (AnnotationError, TransientError) as error:
        say(f"Label Studio will send no notice when somebody answers, so only the schedule finds it: {error}")
        return False
    return True


def build_queues(workspace: Workspace) -> list[tuple[LabelStudioQueue, int]]:
    """(queue, our number of its project): the project in which people label, and the one for adjudication when it was ever used."""
    with workspace.warehouse() as con:
        used = {project.purpose for project in list_projects(con)}
    purposes: tuple[Purpose, ...] = ("label", "adjudicate")
    queues = [(build_queue(workspace, purpose), purpose) for purpose in purposes if purpose == "label" or purpose in used]
    return [(queue, note_queue(workspace, queue, purpose)) for queue, purpose in queues]
