"""Reconcile: keep what is in Label Studio and what is on record the same, and prove that it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from duckdb import DuckDBPyConnection

from annotation.reconcile import Difference, compare_content, compare_keys
from flows.labelling.queues import Project, open_projects
from flows.workspace import Say, Workspace
from voxdata.label import Annotation
from voxdata.progress import Progress
from warehouse.annotations import current_annotations, find_oddities
from warehouse.chain import check_chain
from warehouse.checks import list_checks
from warehouse.pushes import list_present, record_missing
from warehouse.utterances import utterance_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Whether Label Studio and the warehouse say the same.

    Attributes:
        clips: Compared.
        annotations: Compared, field by field.
        differences: What they do not agree about.
        oddities: What they agree about and somebody should look at.
        broken: Entries of the ledger that are not as they were written.
    """

    clips: int
    annotations: int
    differences: tuple[Difference, ...]
    oddities: tuple[dict[str, object], ...]
    broken: tuple[str, ...]

    @property
    def unexplained(self) -> int:
        """Differences and broken entries."""
        return len(self.differences) + len(self.broken)


def mend_clips(project: Project, *, say: Say) -> frozenset[str]:
    """Compare the number of clips with the record; when it differs find out why, and fix it.

    Clips that were deleted in Label Studio are pushed again, copies that nobody worked on are
    removed.

    Returns:
        Keys that are on the server and on record.
    """
    workspace, queue, project_id = project.workspace, project.queue, project.project_id
    with workspace.warehouse() as con:
        recorded = recorded_keys(con, project_id)
    if queue.counts().clips == len(recorded):
        return recorded
    with workspace.warehouse() as con:
        standing = {
            number: a.utterance_id for number, a in standing_annotations(con, project_id).items()
        }
        ours = known_keys(con)
    keys = compare_keys(queue.list_copies(), recorded=recorded, ours=ours, standing=standing)
    removed = queue.remove_doubles(keys.doubled)
    if keys.missing:
        with workspace.warehouse() as con:
            record_missing(con, keys.missing, project_id=project_id, run_id=workspace.run_id)
    for fate, clips in (
        ("had been deleted in Label Studio and are pushed again", keys.missing),
        ("are there without a note, since an earlier push died", keys.unrecorded),
        ("in the project are not ours; they are left alone", keys.foreign),
        ("were copies that nobody worked on; they are removed", removed),
    ):
        if clips:
            more = ", ..." if len(clips) > 3 else ""
            say(f"push: {len(clips)} clips {fate} ({', '.join(clips[:3])}{more})")
    return recorded - set(keys.missing)


def verify_annotations(workspace: Workspace, *, say: Say) -> Proof:
    """Read everything that Label Studio has, and compare it with the warehouse clip by clip and
    field by field."""
    clips, annotations, differences, oddities = 0, 0, list[Difference](), list[dict[str, object]]()
    for project in open_projects(workspace):
        queue, project_id = project.queue, project.project_id
        say(Progress(f"verify: reading {queue.title!r} in Label Studio"))
        copies = queue.list_copies()
        pulled = queue.pull(since=None)
        with workspace.warehouse() as con:
            standing = standing_annotations(con, project_id)
            keys = compare_keys(
                copies,
                recorded=recorded_keys(con, project_id),
                ours=known_keys(con),
                standing={number: a.utterance_id for number, a in standing.items()},
            )
        oddities += [
            {"oddity": "clip that is not ours", "utterance_id": key} for key in keys.foreign
        ]
        ours = [a for a in pulled.annotations if a.utterance_id not in keys.foreign]
        pulled = replace(pulled, annotations=tuple(ours))
        differences += compare_content(pulled, standing=standing, keys=keys)
        clips += len(copies)
        annotations += len(pulled.annotations) + len(pulled.refused)
    with workspace.warehouse() as con:
        return Proof(
            clips=clips,
            annotations=annotations,
            differences=tuple(differences),
            oddities=(*oddities, *find_oddities(con)),
            broken=tuple(check_chain(con)),
        )


def recorded_keys(con: DuckDBPyConnection, project_id: int) -> frozenset[str]:
    """Keys of the clips that are on record as being in a project."""
    return frozenset(list_present(con, project_id=project_id))


def standing_annotations(con: DuckDBPyConnection, project_id: int) -> dict[int, Annotation]:
    """Annotation id -> newest revision, of those in a project that were not deleted."""
    annotations = current_annotations(con, project_id=project_id)
    return {a.annotation_id: a for a in annotations if not a.deleted}


def known_keys(con: DuckDBPyConnection) -> frozenset[str]:
    """Every key that is ours: of an utterance, also one from an earlier cut, or of a check clip."""
    return frozenset(utterance_ids(con)) | frozenset(list_checks(con))
