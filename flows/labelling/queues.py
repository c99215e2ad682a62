"""Wiring: build the annotation queues that the settings ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from annotation.label_studio import LabelStudioQueue
from annotation.webhooks import WEBHOOK_PATH, ensure_webhook
from flows.services.label_studio_server import label_studio_access, label_studio_credentials
from flows.services.supervisor import read_services
from flows.workspace import Say, Workspace
from voxdata.errors import AnnotationError, TransientError
from voxdata.ports import AnnotationQueue
from warehouse.pushes import list_projects, note_project

Purpose = Literal["label", "adjudicate"]


class ProjectQueue(AnnotationQueue, Protocol):
    """A queue that is a project on a server, or stands for one."""

    title: str

    @property
    def project_id(self) -> int:
        """The server's id of the project."""

    @property
    def made_at(self) -> str:
        """When the server made it; one that was set up anew counts its projects from 1 again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project in which people label, or experts decide, and the workspace whose clips it holds.

    Attributes:
        project_id: Our number of it; the server's may stand for another after it was set up anew.
    """

    workspace: Workspace
    queue: ProjectQueue
    project_id: int


def build_queue(workspace: Workspace, purpose: Purpose = "label") -> LabelStudioQueue:
    """A Label Studio project of the workspace, made when absent.

    Args:
        purpose: "label" for the one in which people label, "adjudicate" for that of the experts.
    """
    url, token = label_studio_access(workspace)
    settings = workspace.settings.annotation
    return LabelStudioQueue(
        url=url,
        token=token,
        project_title=workspace.settings.project.name
        + ("" if purpose == "label" else " adjudication"),
        schemes=workspace.schemes,
        histories=workspace.histories,
        media_dir=workspace.media_dir,
        guidelines=settings.guidelines,
        language=settings.language,
        votes_wanted=settings.votes_wanted if purpose == "label" else 1,
    )


def open_project(workspace: Workspace, queue: ProjectQueue, purpose: Purpose = "label") -> Project:
    """A queue's project under the number that the warehouse has for it; a new one is noted."""
    with workspace.warehouse() as con:
        project_id = note_project(
            con,
            server_id=queue.project_id,
            made_at=queue.made_at,
            purpose=purpose,
            title=queue.title,
            run_id=workspace.run_id,
        )
    return Project(workspace=workspace, queue=queue, project_id=project_id)


def connect_receiver(project: Project, *, say: Say) -> bool:
    """Have a project tell the receiver that somebody answered; without one the schedule finds out.

    Returns:
        Whether it will.
    """
    workspace, queue = project.workspace, project.queue
    if not isinstance(queue, LabelStudioQueue) or workspace.secrets.label_studio_url is not None:
        return False
    service = read_services(workspace.state_dir).get("receiver")
    if service is None or service.url is None or not service.alive:
        return False
    secret = label_studio_credentials(workspace).webhook_secret
    hook = f"{service.url}{WEBHOOK_PATH}"
    try:
        ensure_webhook(queue.server, queue.project_id, url=hook, secret=secret)
    except (AnnotationError, TransientError) as error:
        say(
            "Label Studio will send no notice when somebody answers, so only the schedule finds "
            f"it: {error}"
        )
        return False
    return True


def open_projects(workspace: Workspace) -> list[Project]:
    """The project in which people label, and the one for adjudication when it was ever used."""
    with workspace.warehouse() as con:
        used = {project.purpose for project in list_projects(con)}
    projects = [open_project(workspace, build_queue(workspace))]
    if "adjudicate" in used:
        experts = build_queue(workspace, "adjudicate")
        projects.append(open_project(workspace, experts, "adjudicate"))
    return projects
