"""Wiring: build the annotation queue that the settings ask for."""

from __future__ import annotations

from annotation.label_studio import LabelStudioQueue
from flows.services import label_studio_access
from flows.workspace import Workspace


def build_queue(workspace: Workspace) -> LabelStudioQueue:
    """The Label Studio project of the workspace, made when absent."""
    url, token = label_studio_access(workspace)
    return LabelStudioQueue(
        url=url,
        token=token,
        project_title=workspace.settings.project.name,
        schemes=workspace.schemes,
        media_dir=workspace.media_dir,
        guidelines=workspace.settings.annotation.guidelines,
        votes_wanted=workspace.settings.annotation.votes_wanted,
    )
