"""Forget: erase recordings wherever they are, prove it by searching the bytes, and keep them out.

In this order: bar the recordings, take their clips out of Label Studio, delete files, delete rows with a receipt, write the warehouse file
anew, and search every file of the workspace for what was said. A run that died is done again; each step finds what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.forget.files import delete_files, find_files, rewrite_manifests
from flows.forget.found import Left
from flows.forget.probes import make_probes
from flows.forget.search import Hit, search_folder
from flows.forget.services import scrub_services
from flows.forget.sources import settle_sources
from flows.wiring import build_queues
from flows.workspace import Say, Workspace
from voxdata.errors import NotFoundError, VoxdataError
from warehouse.compact import compact_warehouse
from warehouse.erase import (
    ErasurePlan,
    Kind,
    begin_erasure,
    erase_rows,
    plan_erasure,
    recordings_of_voice,
)
from warehouse.pushes import list_projects
from warehouse.recordings import list_recordings, list_uris
from warehouse.snapshot import take_snapshot
from warehouse.voices import used_voice_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What forgetting somebody did.

    Attributes:
        receipt_id: Under which it stands in the warehouse.
        counts: Table or place -> how much went.
        searched: Strings looked for in every file of the workspace.
        hits: Where one of them was found; none when all is gone.
        left_sources: Where the recordings came from, as far as it may still hold them.
        left_files: What else stays: files that voxdata did not write, or that were changed since, and copies elsewhere.
    """

    receipt_id: str
    plan: ErasurePlan
    counts: dict[str, int]
    searched: int = 0
    hits: tuple[Hit, ...] = ()
    left_sources: tuple[Left, ...] = ()
    left_files: tuple[Left, ...] = ()


def find_recordings(con: DuckDBPyConnection, kind: Kind, ref: str) -> set[str]:
    """The recordings that a voice, a recording or a source means.

    Args:
        ref: An id or its first characters; of a source the path or URL as `voxdata recordings` shows it, or a folder of them.

    Raises:
        NotFoundError: None, or several, match.
    """
    if kind == "recording":
        return {_one([s.recording.recording_id for s in list_recordings(con)], ref, what="recording")}
    if kind == "voice":
        return recordings_of_voice(con, _one(sorted(used_voice_ids(con)), ref, what="voice"))
    found = {recording_id for recording_id, uris in list_uris(con).items() if any(_lies_at(uri, ref) for uri in uris)}
    if not found:
        raise NotFoundError(f"no recording came from {ref!r}; `voxdata recordings` shows where each came from")
    return found


def plan_forgetting(workspace: Workspace, kind: Kind, ref: str) -> ErasurePlan:
    """What `forget` would erase; writes nothing."""
    with workspace.warehouse() as con:
        return plan_erasure(con, find_recordings(con, kind, ref))


def forget(workspace: Workspace, kind: Kind, ref: str, *, reason: str, say: Say, delete_sources: bool = False) -> Forgotten:
    """Erase everything about some recordings.

    Args:
        reason: Stays on record; keep names out of it.
        delete_sources: Delete the local files that the recordings came from, too, where they still are what was ingested.

    Raises:
        NotFoundError: Nothing matches.
        MachineError: A storage folder is away; nothing was deleted yet.
        AnnotationError, ServiceError: Clips lie in Label Studio, and it cannot be reached; nothing was deleted yet.
    """
    # What lies on a disk that is away is not gone.
    workspace.require_folders()
    with workspace.warehouse() as con:
        plan = plan_erasure(con, find_recordings(con, kind, ref))
        pushed = bool(list_projects(con)) and "push" in plan.counts
    queues = [queue for queue, _ in build_queues(workspace)] if pushed else []
    with workspace.warehouse() as con:
        receipt_id = begin_erasure(con, plan, kind=kind, subject=ref, reason=reason, run_id=workspace.run_id)
    say(f"forget: {len(plan.recording_ids)} recordings, {len(plan.utterance_ids)} utterances; receipt {receipt_id[:12]}")
    erased = {"Label Studio clips": sum(queue.erase(plan.keys) for queue in queues)}
    files = delete_files(workspace, find_files(workspace, plan))
    sources = settle_sources(plan, delete=delete_sources)
    erased |= {**files.counts, "source files": len(sources.gone)}
    with workspace.warehouse() as con:
        erase_rows(con, plan, receipt_id=receipt_id, kind=kind, subject=ref, reason=reason, run_id=workspace.run_id)
        rewrite_manifests(con, workspace, plan)
    say(f"forget: {sum(plan.counts.values())} rows deleted; writing the warehouse file anew")
    compact_warehouse(workspace.warehouse_path)
    if "snapshots" in erased:
        take_snapshot(workspace.warehouse_path, workspace.snapshots_dir, batches=workspace.batches_dir, now=datetime.now(UTC))
    scrub_services(workspace, plan)
    probes = make_probes(workspace, plan)
    say(f"forget: searching every file of the workspace for {len(probes)} strings")
    hits = search_folder(workspace.root, probes, skip=[Path(left.place) for left in sources.left])
    return Forgotten(
        receipt_id=receipt_id,
        plan=plan,
        counts={**plan.counts, **{name: count for name, count in erased.items() if count}},
        searched=len(probes),
        hits=hits,
        left_sources=sources.left,
        left_files=files.left,
    )


def require_gone(found: Forgotten) -> None:
    """Refuse to call somebody forgotten while bytes are left.

    Raises:
        VoxdataError: Something was found, or could not be deleted; the message names the files.
    """
    if found.hits:
        places = ", ".join(sorted({str(hit.path) for hit in found.hits}))
        raise VoxdataError(f"receipt {found.receipt_id[:12]}: {len(found.hits)} strings are still in {places}; delete these files by hand")
    if stuck := [left for left in found.left_files if left.ours]:
        named = "; ".join(f"{left.place} {left.why}" for left in stuck)
        raise VoxdataError(f"receipt {found.receipt_id[:12]}: {len(stuck)} files hold something of them still: {named}")


def _one(names: Sequence[str], ref: str, *, what: str) -> str:
    found = [name for name in names if name == ref] or [name for name in names if ref and name.startswith(ref)]
    if len(found) != 1:
        trouble = f"{len(found)} begin like that; give more of it" if found else f"`voxdata {what}s` lists what there is"
        raise NotFoundError(f"no {what} {ref!r}: {trouble}")
    return found[0]


def _lies_at(uri: str, ref: str) -> bool:
    where = ref if "://" in ref else str(Path(ref).absolute())
    return uri in (ref, where) or uri.startswith(where.rstrip("/") + "/")
