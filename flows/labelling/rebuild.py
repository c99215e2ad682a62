"""Rebuild: write a lost Label Studio project again, clips and annotations, from the warehouse."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from flows.labelling.pull import pull_changes
from flows.labelling.push import push_while_alone
from flows.labelling.queues import build_queue, note_queue
from flows.labelling.reconcile import recorded_keys, standing_annotations
from flows.locks import pushing
from flows.services.label_studio_server import label_studio_credentials
from flows.workspace import Say, Workspace
from voxdata.counted import counted
from voxdata.label import Annotation
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


def rebuild_project(workspace: Workspace, *, vanished: bool, say: Say) -> RebuildSummary:
    """Bring back what is on record and no longer in Label Studio. Safe to repeat, also after being killed.

    Args:
        vanished: Also bring back annotations that somebody deleted in the project that is there.
    """
    # From what is read to what is written: who is forgotten meanwhile would come back.
    with pushing(workspace, say=say):
        return _rebuild(workspace, vanished=vanished, say=say)


def _rebuild(workspace: Workspace, *, vanished: bool, say: Say) -> RebuildSummary:
    queue = build_queue(workspace)
    project_id = note_queue(workspace, queue)
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
    pushed = push_while_alone(workspace, answers=answers, budget=None, say=say)
    pull_changes(workspace, say=say)
    with workspace.warehouse() as con:
        recorded = recorded_keys(con, project_id)
        there = _by_person(standing_annotations(con, project_id).values())
    # Their clips were there before, so they could not come with them.
    rest = [a for a in lost if a.utterance_id in recorded and (a.utterance_id, a.annotator) not in there]
    if rest:
        say(f"rebuild: writing {counted(len(rest), 'annotation')} one by one")
        queue.restore(rest)
        pull_changes(workspace, say=say)
    with workspace.warehouse() as con:
        there = _by_person(standing_annotations(con, project_id).values())
        moves = [(old, there[old.utterance_id, old.annotator]) for old in lost if (old.utterance_id, old.annotator) in there]
        record_moves(con, moves, run_id=workspace.run_id)
    left = len(lost) - len(moves)
    say(f"rebuild: {counted(pushed.pushed, 'clip')} and {counted(len(moves), 'annotation')} are back")
    if left:
        of_old_clips = counted(left, "annotation is of a clip that is no longer cut", "annotations are of clips that are no longer cut")
        say(f"rebuild: {of_old_clips}; kept on record")
    return RebuildSummary(clips=pushed.pushed, annotations=len(moves), left=left)


def find_lost(con: DuckDBPyConnection, project_id: int, *, vanished: bool) -> list[Annotation]:
    """Annotations that stand on record in a project that is gone, the newest of each person for each clip.

    Args:
        vanished: Also those that were deleted in the project `project_id`.
    """
    moved = moved_annotations(con)
    gone = {p.project_id for p in list_projects(con) if p.purpose == "label" and p.project_id != project_id}
    candidates = [
        a
        for a in current_annotations(con)
        if (a.project_id, a.annotation_id) not in moved
        and ((a.project_id in gone and not a.deleted) or (vanished and a.project_id == project_id and a.deleted))
    ]
    return sorted(_by_person(candidates).values(), key=lambda a: (a.utterance_id, a.annotator))


def _by_person(annotations: Iterable[Annotation]) -> dict[tuple[str, str], Annotation]:
    ordered = sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id))
    return {(a.utterance_id, a.annotator): a for a in ordered}
