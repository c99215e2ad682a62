"""Pull: bring annotations from Label Studio into the warehouse, each revision once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from prefect import flow

from flows.say import tell
from flows.steps import call, show_table, step
from flows.wiring import build_queue
from flows.workspace import Say, Workspace, open_workspace
from voxdata.agreement import collect_votes, krippendorff_alpha
from voxdata.label import Annotation
from voxdata.ports import AnnotationQueue
from warehouse.annotations import add_annotations, current_annotations, newest_annotation_at

OVERLAP = timedelta(minutes=2)
"""The cursor stays this far behind, since the server's rows may appear out of order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSummary:
    """What a pull did.

    Attributes:
        seen: Annotations the server showed since the cursor.
        new_revisions: Of these, not known before.
        current: Annotations that stand now.
        alpha: Scheme -> Krippendorff's alpha, None where nobody doubled anybody's work.
    """

    seen: int
    new_revisions: int
    current: int
    alpha: dict[str, float | None]


@step("pull-annotations")
def pull_annotations(workspace: Workspace, queue: AnnotationQueue, project_id: int) -> tuple[int, int]:
    """Fetch what changed since the cursor and what vanished, and store new revisions.

    Returns:
        (annotations seen, new revisions).
    """
    with workspace.warehouse() as con:
        newest = newest_annotation_at(con, project_id=project_id)
        known = {a.annotation_id: a for a in current_annotations(con) if a.project_id == project_id and not a.deleted}
    annotations = queue.pull(since=None if newest is None else newest - OVERLAP)
    gone: list[Annotation] = queue.reconcile(known)
    with workspace.warehouse() as con:
        return len(annotations), add_annotations(con, [*annotations, *gone], run_id=workspace.run_id)


def pull_changes(workspace: Workspace, *, say: Say) -> PullSummary:
    """Pull once and say how far the annotators agree."""
    queue = build_queue(workspace)
    seen, new = call(pull_annotations, workspace, queue, queue.project_id)
    with workspace.warehouse() as con:
        current = [a for a in current_annotations(con) if not a.deleted]
    alpha = {s.name: krippendorff_alpha(collect_votes(current, scheme=s.name)) for s in workspace.schemes}
    say(f"pull: {new} new revisions, {len(current)} annotations stand; agreement " + ", ".join(f"{n} {_show(a)}" for n, a in alpha.items()))
    summary = PullSummary(seen=seen, new_revisions=new, current=len(current), alpha=alpha)
    show_table("pull", [{"seen": seen, "new_revisions": new, "current": len(current)}], description="Annotations of this pull")
    return summary


def _show(alpha: float | None) -> str:
    return "n/a" if alpha is None else f"{alpha:.2f}"


@flow(name="pull", flow_run_name="pull", validate_parameters=False, log_prints=True)
def pull(root: str) -> dict[str, object]:
    """Pull annotations into the workspace at `root`."""
    return asdict(pull_changes(open_workspace(Path(root)), say=tell))
