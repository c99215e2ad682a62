"""Wiring: build the annotation queues that the settings ask for."""

from __future__ import annotations

from typing import Literal

from annotation.label_studio import LabelStudioQueue
from flows.services import label_studio_access
from flows.workspace import Workspace
from warehouse.pushes import list_projects

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
        media_dir=workspace.media_dir,
        guidelines=settings.guidelines,
        votes_wanted=settings.votes_wanted if purpose == "label" else 1,
    )


def build_queues(workspace: Workspace) -> list[LabelStudioQueue]:
    """The project in which people label, and the one for adjudication when it was ever used."""
    with workspace.warehouse() as con:
        used = set(list_projects(con).values())
    return [build_queue(workspace, purpose) for purpose in ("label", "adjudicate") if purpose == "label" or purpose in used]
