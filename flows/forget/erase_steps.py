"""The steps of forgetting, in their order. Each may be done again: it finds what is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from flows.exchange.staging import clear_staging
from flows.forget.copies import keep_copies, replace_copies
from flows.forget.files import delete_files, find_files, rewrite_manifests
from flows.forget.server_traces import scrub_services
from flows.forget.source_files import settle_sources
from flows.forget.work import Work, note_gone, note_left, read_plan, write_plan
from flows.labelling.queues import open_projects
from flows.locks import hold_lock
from flows.workspace import Say, Workspace
from voxdata.counted import counted
from voxdata.errors import NotFoundError
from voxdata.scratch import sweep_beside
from warehouse.compact import compact_warehouse
from warehouse.erase import ErasurePlan, begin_erasure, count_erasures, erase_rows, plan_erasure
from warehouse.pushes import list_projects

Counts = Mapping[str, int]
"""Table or place -> how much went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a step works on.

    Attributes:
        receipt_id: Under which it stands in the warehouse; "" before the first step.
    """

    workspace: Workspace
    work: Work
    receipt_id: str
    say: Say

    @property
    def plan(self) -> ErasurePlan:
        """What hangs on the recordings.

        Raises:
            NotFoundError: The step that finds it out has not been done.
        """
        plan = read_plan(self.work)
        if plan is None:
            raise NotFoundError(
                f"{self.work.folder}: holds no plan; remove it and forget them once more"
            )
        return plan


def bar(workspace: Workspace, work: Work) -> str:
    """Keep the recordings out from now on.

    This comes before anything else, and before what hangs on them is looked up.

    Returns:
        The receipt's id.
    """
    with workspace.warehouse() as con:
        plan = plan_erasure(con, work.recording_ids)
        return begin_erasure(
            con, plan, kind=work.kind, subject=work.ref, reason=work.reason, run_id=work.run_id
        )


def _plan(ground: Ground) -> Counts:
    with ground.workspace.warehouse() as con:
        plan = plan_erasure(con, ground.work.recording_ids)
    write_plan(ground.work, plan)
    count = (
        f"{counted(len(plan.recording_ids), 'recording')}, "
        f"{counted(len(plan.utterance_ids), 'utterance')}"
    )
    ground.say(f"forget: {count}; receipt {ground.receipt_id[:12]}")
    return {}


def _clips(ground: Ground) -> Counts:
    with ground.workspace.warehouse() as con:
        asks = bool(list_projects(con))
    # Clips may lie there that no row knows of, since a push died; so the server is asked for all
    # keys.
    projects = open_projects(ground.workspace) if asks else []
    erased = [project.queue.erase(ground.plan.keys) for project in projects]
    return {"Label Studio clips": sum(erased)}


def _files(ground: Ground) -> Counts:
    return clear_files(ground.workspace, ground.work, ground.plan)


def _rows(ground: Ground) -> Counts:
    work = ground.work
    with ground.workspace.warehouse() as con:
        rest = plan_erasure(con, work.recording_ids)
        if not rest.counts and count_erasures(con, ground.receipt_id, run_id=work.run_id):
            return {}
        write_plan(work, rest)
        plan = replace(ground.plan, counts=rest.counts, versions=rest.versions, models=rest.models)
        erase_rows(
            con,
            plan,
            receipt_id=ground.receipt_id,
            kind=work.kind,
            subject=work.ref,
            reason=work.reason,
            run_id=work.run_id,
        )
    ground.say(
        f"forget: {counted(sum(rest.counts.values()), 'row')} deleted; "
        "writing the warehouse file again"
    )
    return rest.counts


def _manifests(ground: Ground) -> Counts:
    with ground.workspace.warehouse() as con:
        rewrite_manifests(con, ground.workspace, ground.plan)
    return {}


def _compact(ground: Ground) -> Counts:
    compact_warehouse(ground.workspace.warehouse_path)
    return {}


def _copies(ground: Ground) -> Counts:
    return replace_copies(
        ground.workspace, ground.plan, receipt_id=ground.receipt_id, run_id=ground.work.run_id
    )


def _services(ground: Ground) -> Counts:
    scrub_services(ground.workspace, ground.plan)
    return {}


def _sources(ground: Ground) -> Counts:
    settled = settle_sources(ground.plan, delete=ground.work.delete_sources)
    if settled.gone:
        note_gone(ground.work, set(ground.plan.uris) - {left.place for left in settled.left})
    return {"source files": len(settled.gone)}


def _leftovers(ground: Ground) -> Counts:
    workspace = ground.workspace
    with hold_lock(workspace.state_dir / "import.lock", doing="starting an import", say=ground.say):
        clear_staging(workspace)
    places = {workspace.root, *(folder for folder in workspace.storage_dirs if folder.is_dir())}
    return {
        "half-written files": workspace.sweep_scratch() + sum(map(sweep_beside, sorted(places)))
    }


STEPS: Mapping[str, Callable[[Ground], Counts]] = {
    "plan": _plan,
    "clips": _clips,
    "files": _files,
    "rows": _rows,
    "manifests": _manifests,
    "compact": _compact,
    "copies": _copies,
    "services": _services,
    "sources": _sources,
    "leftovers": _leftovers,
}
"""What is done between barring the recordings and the search."""


def clear_files(workspace: Workspace, work: Work, plan: ErasurePlan) -> Counts:
    """Delete the files that hold anything of it, all but copies of the warehouse, and note what
    stays; may be done again.
    """
    found = keep_copies(find_files(workspace, plan))
    deleted = delete_files(workspace, found)
    gone = {str(doomed.path) for doomed in found.doomed if not os.path.lexists(doomed.path)}
    note_left(work, deleted.left, gone=gone)
    return deleted.counts
