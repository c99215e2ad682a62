"""Pull: bring annotations from Label Studio into the warehouse, each revision once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

from prefect import flow

from annotation.reconcile import compare_keys, find_vanished
from flows.labelling.answers import read_answers
from flows.labelling.queues import Project, open_projects
from flows.labelling.reconcile import known_keys, standing_annotations
from flows.locks import hold_lock
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.steps import call, show_table, step
from flows.workspace import Say, Workspace, open_workspace
from voxdata.agreement import collect_votes
from voxdata.counted import counted
from voxdata.errors import DropReason
from voxdata.label import Annotation
from voxdata.ports import PullResult
from voxdata.reliability import krippendorff_alpha
from warehouse.annotations import add_annotations, last_read_at, read_marks, record_read
from warehouse.ledger import record_drop

OVERLAP = timedelta(seconds=30)
"""The cursor stays this far behind, since a change is dated when it is made and seen when its
transaction ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSummary:
    """What a pull did.

    Attributes:
        seen: Annotations the server showed since the cursor.
        new_revisions: How many of these are new here.
        vanished: Annotations found deleted.
        refused: Annotations that cannot be taken as they are; in the ledger.
        current: Annotations that stand now.
        alpha: Scheme -> Krippendorff's alpha, None where nobody doubled anybody's work.
    """

    seen: int = 0
    new_revisions: int = 0
    vanished: int = 0
    refused: int = 0
    current: int = 0
    alpha: dict[str, float | None]


@step("pull-annotations")
def pull_annotations(project: Project) -> dict[str, int]:
    """Fetch what changed since the cursor and what vanished, and store new revisions.

    The cursor does not see a clip that was deleted with its annotations, so the number of
    annotations is compared with the record; only when it differs, all ids are.
    """
    workspace, queue, project_id = project.workspace, project.queue, project.project_id
    with workspace.warehouse() as con:
        cursor = last_read_at(con, project_id=project_id)
        standing, seen = (
            standing_annotations(con, project_id),
            read_marks(con, project_id=project_id),
        )
    pulled = queue.pull(since=None if cursor is None else cursor - OVERLAP, seen=seen)
    if cursor is not None and pulled.read_at is not None and pulled.read_at < cursor - OVERLAP:
        # The server's clock was set back: what changed since is dated before the cursor.
        pulled = queue.pull(since=None, seen=seen)
    counts = _store(project, pulled, find_vanished(standing.values(), pulled))
    with workspace.warehouse() as con:
        standing, ours = standing_annotations(con, project_id), known_keys(con)
    if queue.counts().annotations == len(standing) + counts["refused"]:
        return counts
    keys = compare_keys(
        queue.list_copies(),
        recorded=(),
        ours=ours,
        standing={number: a.utterance_id for number, a in standing.items()},
    )
    vanished = [replace(standing[number], deleted=True) for number in keys.vanished]
    more = _store(project, queue.pull_clips(keys.unread), vanished)
    return {name: counts[name] + more[name] for name in counts}


def _store(project: Project, pulled: PullResult, vanished: Iterable[Annotation]) -> dict[str, int]:
    workspace, project_id = project.workspace, project.project_id
    gone = list(vanished)
    with workspace.warehouse() as con:
        ours = known_keys(con)
        ours_pulled = [a for a in pulled.annotations if a.utterance_id in ours]
        numbered = [replace(a, project_id=project_id) for a in ours_pulled]
        new = add_annotations(con, [*numbered, *gone], run_id=workspace.run_id)
        if pulled.read_at is not None:
            record_read(
                con,
                project_id=project_id,
                read_at=pulled.read_at,
                marks=pulled.marks,
                run_id=workspace.run_id,
            )
        for refusal in pulled.refused:
            record_drop(
                con,
                stage="pull",
                subject=refusal.utterance_id,
                reason=DropReason.BAD_ANNOTATION,
                detail=refusal.why,
                key=str(refusal.annotation_id),
                run_id=workspace.run_id,
            )
    return {
        "seen": len(pulled.annotations),
        "new_revisions": new,
        "vanished": len(gone),
        "refused": len(pulled.refused),
    }


def pull_changes(workspace: Workspace, *, say: Say) -> PullSummary:
    """Pull once from every project, and say how far the annotators agree.

    One pull at a time: what is read last counts.
    """
    with hold_lock(workspace.state_dir / "pull.lock", doing="pulling annotations", say=say):
        counts: Counter[str] = Counter()
        for project in open_projects(workspace):
            part = call(pull_annotations, project)
            counts.update(part)
    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
    alpha = {
        scheme.name: krippendorff_alpha(collect_votes(answers.labels, scheme=scheme.name))
        for scheme in workspace.schemes
    }
    current = len(answers.labels) + len(answers.checks) + len(answers.decisions)
    summary = PullSummary(**counts, current=current, alpha=alpha)
    revisions = counted(summary.new_revisions, "new revision")
    standing = counted(current, "annotation stands", "annotations stand")
    agreement = ", ".join(f"{name} {_show(value)}" for name, value in alpha.items())
    say(f"pull: {revisions}, {standing}; agreement {agreement}")
    if summary.vanished:
        gone = counted(summary.vanished, "annotation has", "annotations have")
        say(
            f"pull: {gone} vanished from Label Studio; `voxdata annotation verify` lists what is "
            "missing"
        )
    if summary.refused:
        refused = counted(summary.refused, "annotation")
        say(f"pull: {refused} cannot be taken; `voxdata ledger` gives the reasons")
    show_table("pull", [{**counts, "current": current}], description="Annotations of this pull")
    return summary


def _show(alpha: float | None) -> str:
    return "n/a" if alpha is None else f"{alpha:.2f}"


@flow(
    name="pull",
    flow_run_name="pull",
    validate_parameters=False,
    log_prints=True,
)
def pull(root: str) -> dict[str, object]:
    """Pull annotations into the workspace at `root`."""
    quiet_child()
    return asdict(pull_changes(open_workspace(Path(root)), say=tell))
