"""What forgetting would do, to the last file; writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.forget.files import check_files, find_files
from flows.forget.found import Doomed, Left
from flows.forget.source_files import settle_sources
from flows.workspace import Workspace
from warehouse.erase import ErasurePlan
from warehouse.pushes import PushedClip, list_projects, list_pushed


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would go, and what would stay.

    Attributes:
        plan: Rows by table among it.
        files: Those that would be deleted.
        clips: Keys of clips in Label Studio, as the warehouse knows it.
        sources: Files that the recordings came from and that would be deleted.
        left_sources: Those that would stay.
        left_files: Other files that would stay, and may hold something of the recordings.
    """

    plan: ErasurePlan
    files: tuple[Doomed, ...]
    clips: tuple[str, ...]
    sources: tuple[Path, ...]
    left_sources: tuple[Left, ...]
    left_files: tuple[Left, ...]


def preview_forgetting(workspace: Workspace, plan: ErasurePlan, *, delete_sources: bool) -> Preview:
    """List what erasing a plan would do, by what lies there now."""
    files = check_files(find_files(workspace, plan))
    sources = settle_sources(plan, delete=delete_sources, dry=True)
    return Preview(
        plan=plan,
        files=tuple(doomed for doomed in files.doomed if doomed.path.exists()),
        clips=_pushed_clips(workspace, plan),
        sources=sources.gone,
        left_sources=sources.left,
        left_files=files.left,
    )


def _pushed_clips(workspace: Workspace, plan: ErasurePlan) -> tuple[str, ...]:
    keys = set(plan.keys)
    with workspace.warehouse() as con:
        pushed: list[PushedClip] = []
        for project in list_projects(con):
            pushed += list_pushed(con, project_id=project.project_id).values()
    pushed_ids = {clip.utterance_id for clip in pushed if not clip.gone}
    return tuple(sorted(pushed_ids & keys))
