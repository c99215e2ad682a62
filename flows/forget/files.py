"""The files of a workspace that hold anything of erased recordings: finding them, deleting what is
voxdata's, naming the rest.

Below the folders that voxdata alone fills, files are known by their names, which are digests.
Exports and reports lie where people lie things down too: of these only what the register of written
files names goes, and only while it is as voxdata wrote it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.forget.exports import find_written
from flows.forget.found import NOT_OURS, Doomed, FoundFiles, Left
from flows.forget.lines import keep_lines
from flows.labelling.clip_names import clip_key
from flows.workspace import Workspace
from training.feature_files import cached_features
from training.run_folder import state_file
from voxdata.context import CONTEXT_FILE
from voxdata.durable import remove
from voxdata.errors import MachineError
from voxdata.scratch import PARTIAL, find_scratch
from warehouse.batches import MERGED, REJECTED
from warehouse.erase import ErasurePlan
from warehouse.exchange.bundle import hash_file
from warehouse.exchange.handoff import MANIFEST_FILE, write_handoff
from warehouse.exchange.own_files import remove_empty, walk_files
from warehouse.runs import list_training_runs

_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")
_RUN = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What became of them.

    Attributes:
        counts: Kind of file -> how many were deleted.
    """

    counts: dict[str, int]
    left: tuple[Left, ...]


def find_files(workspace: Workspace, plan: ErasurePlan) -> FoundFiles:
    """Canonical audio, clips, features, exports and reports that hold any of it, and copies of the
    warehouse, which may.

    Deletes nothing.
    """
    return (
        _find_own(workspace, plan)
        + _find_clips(workspace, plan)
        + _find_damaged(workspace)
        + find_written(workspace, plan)
    )


def check_files(found: FoundFiles) -> FoundFiles:
    """Read every file that must be as it was written; what was changed since is left instead."""
    doomed: list[Doomed] = []
    left: list[Left] = []
    for one in found.doomed:
        if why := why_kept(one):
            left.append(Left(place=str(one.path), why=why))
        else:
            doomed.append(one)
    return FoundFiles(doomed=tuple(doomed), left=found.left + tuple(left), emptied=found.emptied)


def why_kept(doomed: Doomed) -> str:
    """Why a file must not be deleted; "" when nothing speaks against it."""
    path = doomed.path
    if path.is_dir() and not path.is_symlink():
        return "is a folder now, and voxdata wrote a file; look what is in it"
    if not doomed.sha256:
        return ""
    if path.is_symlink() or not path.is_file():
        return "is no file any more, and voxdata wrote one; look where it leads"
    try:
        same = hash_file(path) == doomed.sha256
    except OSError as error:
        return (
            f"cannot be read ({error.strerror}), so nobody knows whether it is what voxdata wrote; "
            "delete it by hand"
        )
    return (
        ""
        if same
        else "was changed since voxdata wrote it; take out of it what you need, "
        "and delete it by hand"
    )


def delete_files(workspace: Workspace, found: FoundFiles) -> Deleted:
    """Delete what was found, as long as it is still what was found.

    What does not let itself be deleted stops nothing.
    """
    counts: Counter[str] = Counter()
    left: list[Left] = []
    for doomed in found.doomed:
        if not os.path.lexists(doomed.path):
            continue
        if why := why_kept(doomed):
            left.append(Left(place=str(doomed.path), why=why))
            continue
        try:
            remove(doomed.path)
        except MachineError as error:
            left.append(
                Left(
                    place=str(doomed.path),
                    why=f"cannot be deleted ({os.strerror(error.number)}); delete it by hand",
                    ours=True,
                )
            )
            continue
        counts[doomed.kind] += 1
    for folder in found.emptied:
        remove_empty(folder)
    workspace.written.prune()
    return Deleted(counts=dict(counts), left=found.left + tuple(left))


def rewrite_manifests(con: DuckDBPyConnection, workspace: Workspace, plan: ErasurePlan) -> None:
    """Write the hand-off files of training runs anew from what is left, and take erased utterances
    out of their predictions.

    Runs of earlier releases have no context, and get none.
    """
    gone = set(plan.utterance_ids)
    versions = {
        run.checkpoint_dir: run.version_id for run in list_training_runs(con) if run.checkpoint_dir
    }
    for checkpoint, version_id in versions.items():
        folder = (workspace.root / checkpoint).parent
        if (folder / MANIFEST_FILE).exists():
            write_handoff(
                con,
                version_id,
                audio_root=workspace.audio_dir,
                histories=workspace.histories,
                folder=folder,
                today=datetime.now(UTC).date(),
                run_id=workspace.run_id,
                seconds=workspace.settings.warehouse.query_seconds,
                with_context=(folder / CONTEXT_FILE).exists(),
            )
    for folder in _run_folders(workspace):
        for name in ("predictions.jsonl", "incumbent.jsonl"):
            keep_lines(folder / name, _names_none_of(gone))


def _find_staged(audio_dir: Path, names: Sequence[str]) -> list[Path]:
    """Canonical audio that an ingestion has decoded at this moment, and will not place any more."""
    scratch = find_scratch(audio_dir)
    places = [audio_dir] if scratch is None else [audio_dir, scratch]
    staged: list[Path] = []
    for place in places:
        for name in names:
            staged += place.glob(f"*{PARTIAL}/*/{name}")
    return sorted(staged)


def _walk_all(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from walk_files(folder)


def _find_own(workspace: Workspace, plan: ErasurePlan) -> FoundFiles:
    """What lies where nobody but voxdata writes, or is named by a digest of ours."""
    batches = [workspace.batches_dir / name for name in (MERGED, REJECTED)]
    audio_paths = [workspace.audio_dir / name for name in plan.audio_files]
    kinds = {
        "canonical files": [
            *(path for path in audio_paths if path.exists()),
            *_find_staged(workspace.audio_dir, plan.audio_files),
        ],
        "features": cached_features(workspace.models_dir, plan.utterance_ids),
        "snapshots": list(walk_files(workspace.snapshots_dir)),
        "merged batches": list(_walk_all(batches)),
        "manifests of failed runs": _failed_manifests(workspace, plan),
        "states of runs": _find_states(workspace),
    }
    doomed: list[Doomed] = []
    for kind, paths in kinds.items():
        doomed += [Doomed(path=path, kind=kind) for path in paths]
    return FoundFiles(doomed=tuple(doomed), emptied=tuple(batches))


def _find_clips(workspace: Workspace, plan: ErasurePlan) -> FoundFiles:
    folder, keys = workspace.media_dir / "clips", set(plan.keys)
    clip_folders = [folder / key for key in plan.recording_ids]
    emptied = tuple(path for path in clip_folders if path.is_dir())
    doomed, left = [], []
    for path in _walk_all(emptied):
        if clip_key(path.name) or _PARTIAL.fullmatch(path.name):
            doomed.append(Doomed(path=path, kind="clips"))
        else:
            left.append(Left(place=str(path), why=NOT_OURS))
    elsewhere = [path for path in folder.glob("*/*.wav") if path.parent not in emptied]
    doomed += [Doomed(path=p, kind="clips") for p in elsewhere if clip_key(p.name) in keys]
    return FoundFiles(doomed=tuple(doomed), left=tuple(left), emptied=emptied)


def _find_damaged(workspace: Workspace) -> FoundFiles:
    """What `voxdata repair` put aside: the warehouse and the files beside it, in a folder of its
    own.
    """
    name = workspace.warehouse_path.name
    folders = [
        path
        for path in workspace.warehouse_path.parent.glob(f"{name}.damaged-*")
        if path.is_dir() and not path.is_symlink()
    ]
    doomed, left = [], []
    for path in _walk_all(folders):
        if path.name == name or path.name.startswith(f"{name}."):
            doomed.append(Doomed(path=path, kind="damaged copies"))
        else:
            left.append(Left(place=str(path), why=NOT_OURS))
    return FoundFiles(doomed=tuple(doomed), left=tuple(left), emptied=tuple(folders))


def _failed_manifests(workspace: Workspace, plan: ErasurePlan) -> list[Path]:
    """Hand-off files of runs without a model that name any of it: nothing else needs them."""
    with workspace.warehouse() as con:
        trained = {
            (workspace.root / run.checkpoint_dir).parent
            for run in list_training_runs(con)
            if run.checkpoint_dir
        }
    untrained = [folder for folder in _run_folders(workspace) if folder not in trained]
    handed = [folder / MANIFEST_FILE for folder in untrained]
    handed += [folder / CONTEXT_FILE for folder in untrained]
    return [path for path in handed if path.is_file() and _mentions(path, plan.recording_ids)]


def _find_states(workspace: Workspace) -> list[Path]:
    """How far runs had come that were killed: weights that may have heard it. A run without its
    state starts anew.
    """
    states = map(state_file, _run_folders(workspace))
    return [path for path in states if path.exists()]


def _mentions(path: Path, names: Collection[str]) -> bool:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        return any(_names_any(line, names) for line in lines)


def _names_any(line: str, names: Collection[str]) -> bool:
    return any(name in line for name in names)


def _run_folders(workspace: Workspace) -> Iterator[Path]:
    """Folders of training runs, known by their names."""
    yield from (
        path
        for path in sorted(workspace.models_dir.glob("*"))
        if path.is_dir() and _RUN.fullmatch(path.name)
    )


def _names_none_of(gone: Collection[str]) -> Callable[[str], bool]:
    def keep(line: str) -> bool:
        try:
            return json.loads(line)["utterance_id"] not in gone
        except (ValueError, KeyError, TypeError):
            return True  # no line of ours

    return keep
