"""Rebuild: write a lost Label Studio project again, clips and annotations, from the warehouse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from annotation.label_studio import LabelStudioQueue
from flows.labelling.pull import pull_changes
from flows.labelling.push import push_while_alone
from flows.labelling.queues import build_queue, open_project
from flows.labelling.reconcile import recorded_keys, standing_annotations
from flows.locks import pushing
from flows.services.label_studio_server import label_studio_credentials
from flows.workspace import Say, Workspace
from voxdata.counted import counted
from voxdata.label import Annotation
from voxdata.progress import Progress
from warehouse.annotations import current_annotations, moved_annotations, record_moves
from warehouse.pushes import list_projects


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildSummary:
    """What a rebuild brought back.

    Attributes:
        clips: Pushed again.
        annotations: Written again, in the names of those who made them.
        left: Annotations of clips that are no longer cut; they stay on record.
    """

    clips: int
    annotations: int
    left: int


def rebuild_project(
    workspace: Workspace, *, vanished: bool, say: Say, queue: LabelStudioQueue | None = None
) -> RebuildSummary:
    """Bring back what is on record and no longer in Label Studio.

    Safe to repeat, also after being killed.

    Args:
        vanished: Also bring back annotations that somebody deleted in the project that is there.
        queue: Where people label; None for the Label Studio project of the settings.
    """
    # From what is read to what is written: who is forgotten meanwhile would come back.
    with pushing(workspace, say=say):
        wanted = build_queue(workspace) if queue is None else queue
        return _rebuild(workspace, wanted, vanished=vanished, say=say)


def _rebuild(
    workspace: Workspace, queue: LabelStudioQueue, *, vanished: bool, say: Say
) -> RebuildSummary:
    project_id = open_project(workspace, queue).project_id
    with workspace.warehouse() as con:
        lost = find_lost(con, project_id, vanished=vanished)
    if not lost:
        say("rebuild: no annotation on record is missing in Label Studio")
    answers: defaultdict[str, list[Annotation]] = defaultdict(list)
    for annotation in lost:
        answers[annotation.utterance_id].append(annotation)
    credentials = label_studio_credentials(workspace)
    for annotator in sorted({annotation.annotator for annotation in lost}):
        queue.server.ensure_annotator(annotator, credentials.password_for(annotator))
    pushed = push_while_alone(workspace, queue=queue, answers=answers, budget=None, say=say)
    pull_changes(workspace, say=say)
    with workspace.warehouse() as con:
        recorded = recorded_keys(con, project_id)
        present = _by_person(standing_annotations(con, project_id).values())
    # Their clips were there before, so they could not come with them.
    absent = [a for a in lost if (a.utterance_id, a.annotator) not in present]
    rest = [a for a in absent if a.utterance_id in recorded]
    if rest:
        say(Progress(f"rebuild: writing {counted(len(rest), 'annotation')} one by one"))
        queue.restore(rest)
        pull_changes(workspace, say=say)
    with workspace.warehouse() as con:
        present = _by_person(standing_annotations(con, project_id).values())
        moves = []
        for old in lost:
            new = present.get((old.utterance_id, old.annotator))
            if new is not None:
                moves.append((old, new))
        record_moves(con, moves, run_id=workspace.run_id)
    left = len(lost) - len(moves)
    clips, annotations = counted(pushed.pushed, "clip"), counted(len(moves), "annotation")
    say(f"rebuild: {clips} and {annotations} are back")
    if left:
        of_old_clips = counted(
            left,
            "annotation is of a clip that is no longer cut",
            "annotations are of clips that are no longer cut",
        )
        say(f"rebuild: {of_old_clips}; kept on record")
    return RebuildSummary(clips=pushed.pushed, annotations=len(moves), left=left)


def find_lost(con: DuckDBPyConnection, project_id: int, *, vanished: bool) -> list[Annotation]:
    """Annotations that stand on record in a project that is gone, the newest of each person for
    each clip.

    Args:
        vanished: Also those that were deleted in the project `project_id`.
    """
    moved = moved_annotations(con)
    labelling = {p.project_id for p in list_projects(con) if p.purpose == "label"}
    candidates = []
    for annotation in current_annotations(con):
        if (annotation.project_id, annotation.annotation_id) in moved:
            continue
        if annotation.project_id == project_id:
            is_lost = vanished and annotation.deleted
        else:
            is_lost = annotation.project_id in labelling and not annotation.deleted
        if is_lost:
            candidates.append(annotation)
    return sorted(_by_person(candidates).values(), key=lambda a: (a.utterance_id, a.annotator))


def _by_person(annotations: Iterable[Annotation]) -> dict[tuple[str, str], Annotation]:
    ordered = sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id))
    return {(a.utterance_id, a.annotator): a for a in ordered}
