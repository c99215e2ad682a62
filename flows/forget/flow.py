"""Forget: erase recordings wherever they are, prove it by searching everything, and keep them out.

What is to be done is written down first, and each step ticked off: bar the recordings, find out
what hangs on them, take their clips out of Label Studio, delete files, delete rows with a receipt,
write the warehouse file and a snapshot again, clear logs and leftovers, and search everything for
what was said. Whoever forgets next finishes what a process that died had begun. Only the search
makes a receipt proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.forget.erase_steps import STEPS, Ground, bar, clear_files
from flows.forget.found import Left
from flows.forget.probes import make_probes
from flows.forget.search import Area, Hit, Proof, Unread, prove_gone
from flows.forget.source_files import settle_sources
from flows.forget.work import (
    FINISH,
    FOLDER,
    Done,
    Work,
    begin_work,
    clear_ended,
    end_work,
    list_work,
    read_done,
    read_gone,
    read_left,
    read_plan,
    subject_digest,
    tick,
    wipe_work,
    write_done,
)
from flows.locks import alone
from flows.workspace import Say, Workspace
from voxdata.counted import counted
from voxdata.durable import scratch_folder
from voxdata.errors import NotFoundError, VoxdataError
from voxdata.progress import Progress
from warehouse.erase import (
    ErasurePlan,
    Kind,
    known_recordings,
    known_voices,
    list_receipts,
    note_proof,
    plan_erasure,
    recordings_of_voice,
)
from warehouse.recordings import list_uris
from warehouse.snapshot import list_snapshots

LONGEST_WAIT_S = 6 * 3600.0
"""A workspace is searched by one forgetting at a time; others wait so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What forgetting somebody did.

    Attributes:
        receipt_id: Under which it stands in the warehouse.
        plan: What hung on the recordings; without their ids when only the receipt was still to be
            marked as proven.
        counts: Table or place -> how much went.
        searched: Strings looked for in every file of the workspace.
        hits: Where one of them was found; none when all is gone.
        unread: Files that could not be searched; none when everything was.
        links: Symbolic links to folders of originals elsewhere.
        left_sources: Where the recordings came from, as far as it may still hold them.
        left_files: What else stays: files that voxdata did not write, or that were changed since,
            and copies elsewhere.
    """

    receipt_id: str
    plan: ErasurePlan
    counts: Mapping[str, int]
    searched: int = 0
    hits: tuple[Hit, ...] = ()
    unread: tuple[Unread, ...] = ()
    links: tuple[Path, ...] = ()
    left_sources: tuple[Left, ...] = ()
    left_files: tuple[Left, ...] = ()

    @property
    def proven(self) -> bool:
        """Whether the receipt says that nothing is left."""
        return not self.hits and not self.unread and not any(left.ours for left in self.left_files)


def find_recordings(con: DuckDBPyConnection, kind: Kind, ref: str) -> set[str]:
    """The recordings that a voice, a recording or a source means.

    Args:
        ref: An id or its first characters; of a source the path or URL as `voxdata recordings`
            shows it, or a folder of them.

    Raises:
        NotFoundError: None, or several, match.
    """
    if kind == "recording":
        return {_one(known_recordings(con), ref, what="recording")}
    if kind == "voice":
        return recordings_of_voice(con, _one(known_voices(con), ref, what="voice"))
    recordings = {
        recording_id for recording_id, uris in list_uris(con).items() if _any_lies_at(uris, ref)
    }
    if not recordings:
        raise NotFoundError(
            f"no recording came from {ref!r}; `voxdata recordings` shows where each came from"
        )
    return recordings


def plan_forgetting(workspace: Workspace, kind: Kind, ref: str) -> ErasurePlan:
    """What `forget` would erase; writes nothing."""
    with workspace.warehouse() as con:
        return plan_erasure(con, find_recordings(con, kind, ref))


def forget(
    workspace: Workspace,
    kind: Kind,
    ref: str,
    *,
    reason: str,
    say: Say,
    delete_sources: bool = False,
) -> Forgotten:
    """Erase everything about some recordings, once what was begun before is finished.

    When these recordings are what was begun before, to finish that is all there is to do.

    Args:
        reason: Stays on record; keep names out of it.
        delete_sources: Delete the local files that the recordings came from, too, where they still
            are what was ingested.

    Raises:
        NotFoundError: Nothing matches.
        MachineError: A storage folder is away; nothing was deleted yet.
        AnnotationError, ServiceError: Clips lie in Label Studio, and it cannot be reached; nothing
            was deleted yet, and it goes on from there when it is forgotten again.
    """
    # What lies on a disk that is away is not gone.
    workspace.require_folders()
    with _alone(workspace, say):
        same: list[Forgotten] = []
        for work in list_work(workspace.state_dir):
            asked = (work.kind, work.subject) == (kind, subject_digest(ref))
            finished = (
                _finish(workspace, work, say=say)
                if asked
                else _try_to_finish(workspace, work, say=say)
            )
            same += [finished] if asked and finished is not None else []
        with workspace.warehouse() as con:
            try:
                recordings = find_recordings(con, kind, ref)
            except NotFoundError:
                if same:
                    return same[-1]
                raise
        work = begin_work(
            workspace.state_dir,
            kind=kind,
            ref=ref,
            reason=reason,
            run_id=workspace.run_id,
            recording_ids=sorted(recordings),
            delete_sources=delete_sources,
        )
        return _finish(workspace, work, say=say)


def finish_forgetting(workspace: Workspace, *, say: Say) -> list[Forgotten]:
    """Finish what was begun: by a process that died, or by one that found something left.

    Raises:
        AnnotationError, ServiceError: Clips lie in Label Studio, and it cannot be reached.
        MachineError: A storage folder is away.
    """
    workspace.require_folders()
    with _alone(workspace, say):
        return [_finish(workspace, work, say=say) for work in list_work(workspace.state_dir)]


def require_gone(found: Forgotten) -> None:
    """Refuse to call somebody forgotten while anything is left, or was not looked at.

    Raises:
        VoxdataError: The message names the files.
    """
    trouble = []
    if found.hits:
        places = ", ".join(sorted({_place_of(hit) for hit in found.hits}))
        trouble.append(
            f"{counted(len(found.hits), 'string is', 'strings are')} still in {places}; "
            "delete what is named here by hand"
        )
    if found.unread:
        named = ", ".join(f"{one.path} ({one.why})" for one in found.unread)
        trouble.append(
            f"not searched: {named}; look into them yourself, "
            "and delete them or move them out of the workspace"
        )
    if stuck := [left for left in found.left_files if left.ours]:
        named = "; ".join(f"{left.place} {left.why}" for left in stuck)
        trouble.append(
            f"{counted(len(stuck), 'file holds', 'files hold')} something of them still: {named}"
        )
    if trouble:
        raise VoxdataError(
            f"receipt {found.receipt_id[:12]} is not proven: {'; '.join(trouble)}; "
            f"then run `{FINISH}`"
        )


def require_finished(workspace: Workspace) -> None:
    """Refuse to end well while something that was begun is not proven.

    Raises:
        VoxdataError: The message says how to go on.
    """
    left = list_work(workspace.state_dir)
    if left:
        raise VoxdataError(f"{len(left)} erasures are not proven yet; `{FINISH}` goes on with them")


@contextmanager
def _alone(workspace: Workspace, say: Say) -> Iterator[None]:
    with alone(workspace, say=say, timeout_s=LONGEST_WAIT_S):
        clear_ended(workspace.state_dir)
        yield


def _try_to_finish(workspace: Workspace, work: Work, *, say: Say) -> Forgotten | None:
    """Finish another forgetting first.

    What stands in its way must not stand in the way of this one.
    """
    try:
        return _finish(workspace, work, say=say)
    except VoxdataError as error:
        say(f"forget: what was begun before is not finished ({error}); `{FINISH}` goes on with it")
        return None


def _finish(workspace: Workspace, work: Work, *, say: Say) -> Forgotten:
    done = read_done(work)
    if done.steps and work.run_id != workspace.run_id:
        say(
            f"forget: going on with receipt {done.receipt_id[:12]} after its step "
            f"{done.steps[-1]!r}"
        )
    if not done.receipt_id:
        done = replace(done, receipt_id=bar(workspace, work))
        write_done(work, done)
    for name, step in STEPS.items():
        if name not in done.steps:
            ground = Ground(workspace=workspace, work=work, receipt_id=done.receipt_id, say=say)
            done = tick(done, name, step(ground))
            write_done(work, done)
    forgotten = _describe(workspace, work, done)
    if "search" not in done.steps:
        forgotten, done = _search(workspace, forgotten, done, work=work, say=say)
        write_done(work, done)
    if forgotten.proven:
        work = wipe_work(work)
        with workspace.warehouse() as con:
            note_proof(
                con,
                done.receipt_id,
                num_texts=done.num_texts,
                num_files=done.num_files,
                run_id=work.run_id,
            )
        end_work(work)
    return forgotten


def _search(
    workspace: Workspace, forgotten: Forgotten, done: Done, *, work: Work, say: Say
) -> tuple[Forgotten, Done]:
    probes = make_probes(workspace, forgotten.plan)
    strings = counted(len(probes), "string")
    say(Progress(f"forget: searching every file of the workspace for {strings}"))
    # Once more, so that what stays is named though another process deleted what goes.
    clear_files(workspace, work, forgotten.plan)
    sources = settle_sources(forgotten.plan, delete=work.delete_sources)
    gone = read_gone(work)
    left = tuple(one for one in sources.left if one.place not in gone)
    proof = _prove(workspace, probes, [one.place for one in left])
    forgotten = replace(
        forgotten,
        searched=len(probes),
        hits=proof.hits,
        unread=proof.unread,
        links=proof.links,
        left_sources=left,
        left_files=read_left(work),
    )
    if forgotten.proven:
        return forgotten, replace(
            tick(done, "search", {}), num_texts=len(probes), num_files=proof.files
        )
    # Whatever brought it back may have brought more, so everything is done once more.
    return forgotten, replace(done, steps=())


def _prove(workspace: Workspace, probes: Sequence[str], left: Sequence[str]) -> Proof:
    # A folder of the settings may be a link as well.
    real = [folder.resolve() for folder in workspace.storage_dirs]
    outside = [folder for folder in real if not folder.is_relative_to(workspace.root)]
    area = Area(
        roots=(workspace.root, *dict.fromkeys(outside)),
        skip=frozenset({workspace.state_dir / FOLDER, *map(Path, left)}),
        sources=tuple(workspace.root / name for name in workspace.settings.sources.inbox),
        written_anew=frozenset(
            {workspace.warehouse_path, *list_snapshots(workspace.snapshots_dir)}
        ),
    )
    with scratch_folder(near=workspace.root) as scratch:
        return prove_gone(area, probes, scratch=scratch)


def _describe(workspace: Workspace, work: Work, done: Done) -> Forgotten:
    plan = read_plan(work) or _plan_on_record(workspace, done.receipt_id)
    return Forgotten(
        receipt_id=done.receipt_id, plan=plan, counts=done.counts, searched=done.num_texts
    )


def _plan_on_record(workspace: Workspace, receipt_id: str) -> ErasurePlan:
    """What is still known of a plan that was wiped."""
    with workspace.warehouse() as con:
        receipts = [receipt for receipt in list_receipts(con) if receipt.receipt_id == receipt_id]
    versions: dict[str, int] = {}
    models: dict[str, bool] = {}
    for receipt in receipts:
        versions |= receipt.versions
        models |= dict.fromkeys(receipt.models, False)
    counts = dict(receipts[-1].counts) if receipts else {}
    return ErasurePlan(
        recording_ids=(),
        utterance_ids=(),
        keys=(),
        uris=(),
        audio_files=(),
        texts=(),
        versions=versions,
        models=models,
        counts=counts,
    )


def _one(names: Sequence[str], ref: str, *, what: str) -> str:
    matches = [name for name in names if name == ref] or [
        name for name in names if ref and name.startswith(ref)
    ]
    if len(matches) != 1:
        trouble = (
            f"{len(matches)} begin like that; give more of it"
            if matches
            else f"`voxdata {what}s` lists what there is"
        )
        raise NotFoundError(f"no {what} {ref!r}: {trouble}")
    return matches[0]


def _place_of(hit: Hit) -> str:
    return f"{hit.path} ({hit.where})" if hit.where else str(hit.path)


def _any_lies_at(uris: Iterable[str], ref: str) -> bool:
    return any(_lies_at(uri, ref) for uri in uris)


def _lies_at(uri: str, ref: str) -> bool:
    where = ref if "://" in ref else str(Path(ref).absolute())
    return uri in (ref, where) or uri.startswith(where.rstrip("/") + "/")
