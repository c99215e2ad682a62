"""Forget: erase recordings wherever they are, prove it by searching the bytes, and keep them out.

In this order: bar the recordings, take their clips out of Label Studio, delete files, delete rows with a receipt, write the warehouse file
anew, and search every file of the workspace for what was said. A run that died is done again; each step finds what is left.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.search_bytes import Hit, search_folder
from flows.wiring import build_queues
from flows.workspace import Say, Workspace
from training.features import cached_features
from voxdata.errors import NotFoundError, VoxdataError
from warehouse.batches import MERGED, REJECTED
from warehouse.compact import compact_warehouse
from warehouse.erase import (
    ErasurePlan,
    Kind,
    begin_erasure,
    erase_rows,
    plan_erasure,
    recordings_of_voice,
)
from warehouse.export import write_version_manifest
from warehouse.places import keep_place
from warehouse.pushes import list_projects
from warehouse.recordings import list_recordings, list_uris
from warehouse.runs import list_training_runs
from warehouse.snapshot import take_snapshot
from warehouse.versions import list_versions
from warehouse.voices import used_voice_ids

MIN_PROBE = 8
"""Texts that are shorter, in bytes, occur by chance and prove nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What forgetting somebody did.

    Attributes:
        receipt_id: Under which it stands in the warehouse.
        counts: Table or place -> how much went.
        searched: Strings looked for in every file of the workspace.
        hits: Where one of them was found; none when all is gone.
        left_sources: Files outside the warehouse that still hold the recordings.
    """

    receipt_id: str
    plan: ErasurePlan
    counts: dict[str, int]
    searched: int = 0
    hits: tuple[Hit, ...] = ()
    left_sources: tuple[str, ...] = field(default_factory=tuple)


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
        delete_sources: Delete the local files that the recordings came from, too.

    Raises:
        NotFoundError: Nothing matches.
        AnnotationError, ServiceError: Clips lie in Label Studio, and it cannot be reached; nothing was deleted yet.
    """
    with workspace.warehouse() as con:
        plan = plan_erasure(con, find_recordings(con, kind, ref))
        pushed = bool(list_projects(con)) and "push" in plan.counts
    queues = [queue for queue, _ in build_queues(workspace)] if pushed else []
    with workspace.warehouse() as con:
        receipt_id = begin_erasure(con, plan, kind=kind, subject=ref, reason=reason, run_id=workspace.run_id)
    say(f"forget: {len(plan.recording_ids)} recordings, {len(plan.utterance_ids)} utterances; receipt {receipt_id[:12]}")
    erased = {"Label Studio clips": sum(queue.erase(plan.keys) for queue in queues)}
    erased |= delete_files(workspace, plan)
    with workspace.warehouse() as con:
        erase_rows(con, plan, receipt_id=receipt_id, kind=kind, subject=ref, reason=reason, run_id=workspace.run_id)
        rewrite_manifests(con, workspace, plan)
    say(f"forget: {sum(plan.counts.values())} rows deleted; writing the warehouse file anew")
    compact_warehouse(workspace.warehouse_path)
    if "snapshots" in erased:
        take_snapshot(workspace.warehouse_path, workspace.snapshots_dir, batches=workspace.batches_dir, now=datetime.now(UTC))
    scrub_services(workspace, plan)
    left = [uri for uri in plan.uris if "://" not in uri and Path(uri).exists()]
    if delete_sources:
        for uri in left:
            Path(uri).unlink()
        erased["source files"], left = len(left), []
    probes = make_probes(workspace, plan)
    say(f"forget: searching every file of the workspace for {len(probes)} strings")
    hits = search_folder(workspace.root, probes, skip=[Path(uri) for uri in left])
    return Forgotten(
        receipt_id=receipt_id,
        plan=plan,
        counts={**plan.counts, **{name: count for name, count in erased.items() if count}},
        searched=len(probes),
        hits=hits,
        left_sources=tuple(left),
    )


def delete_files(workspace: Workspace, plan: ErasurePlan) -> dict[str, int]:
    """Delete canonical audio, clips, features, exports and reports that hold any of it, and copies of the warehouse, which may.

    Returns:
        Kind of file -> how many were deleted.
    """
    clips = [path for key in plan.recording_ids for path in (workspace.media_dir / "clips" / key).glob("*")]
    keys = set(plan.keys)
    clips += [p for p in (workspace.media_dir / "clips").glob("*/*") if p.parent.name not in plan.recording_ids and p.name[:32] in keys]
    damaged = [p for p in workspace.warehouse_path.parent.glob(f"{workspace.warehouse_path.name}.*") if p.is_dir()]
    doomed = {
        "canonical files": [workspace.audio_dir / name for name in plan.audio_files],
        "clips": clips,
        "features": cached_features(workspace.models_dir, plan.utterance_ids),
        "exports": _affected_exports(workspace, plan),
        "reports": _files(workspace.reports_dir),
        "snapshots": _files(workspace.snapshots_dir),
        "merged batches": [path for name in (MERGED, REJECTED) for path in _files(workspace.batches_dir / name)],
        "damaged copies": [path for folder in damaged for path in _files(folder)],
    }
    counts: Counter[str] = Counter()
    for kind, paths in doomed.items():
        for path in paths:
            if path.exists():
                path.unlink()
                counts[kind] += 1
    emptied = [workspace.media_dir / "clips" / key for key in plan.recording_ids]
    emptied += [*damaged, workspace.batches_dir / MERGED, workspace.batches_dir / REJECTED]
    for folder in emptied:
        shutil.rmtree(folder, ignore_errors=True)
    for folder in sorted((p for p in workspace.exports_dir.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    return dict(counts)


def _affected_exports(workspace: Workspace, plan: ErasurePlan) -> list[Path]:
    """Everything in the exports folder but what is named after a version that holds nothing of it."""
    with workspace.warehouse() as con:
        untouched = [version.ref.replace("@", "-") for version in list_versions(con) if version.ref not in plan.versions]
    return [
        path
        for path in _files(workspace.exports_dir)
        if not any(path.relative_to(workspace.exports_dir).parts[0].partition(".")[0] == name for name in untouched)
    ]


def rewrite_manifests(con: DuckDBPyConnection, workspace: Workspace, plan: ErasurePlan) -> None:
    """Write the hand-off files of training runs anew from what is left, and take erased utterances out of their predictions."""
    schemes = {s.name: s.label_names for s in workspace.schemes}
    gone = set(plan.utterance_ids)
    versions = {run.checkpoint_dir: run.version_id for run in list_training_runs(con) if run.checkpoint_dir}
    for checkpoint, version_id in versions.items():
        folder = (workspace.root / checkpoint).parent
        if (folder / "manifest.jsonl").exists():
            write_version_manifest(con, version_id, audio_root=workspace.audio_dir, schemes=schemes, path=folder / "manifest.jsonl")
    for folder in (p for p in workspace.models_dir.glob("*") if p.is_dir()):
        for path in (folder / "predictions.jsonl", folder / "incumbent.jsonl"):
            _keep_lines(path, lambda line: json.loads(line).get("utterance_id") not in gone)
        manifest = folder / "manifest.jsonl"
        if manifest.exists() and any(key in manifest.read_text(encoding="utf-8") for key in plan.recording_ids):
            manifest.unlink()  # of a run that failed: nothing else needs it


def scrub_services(workspace: Workspace, plan: ErasurePlan) -> None:
    """Take what is left out of logs and of the databases of the local servers, which keep deleted rows in their files as well."""
    ids = {*plan.recording_ids, *plan.keys, *plan.uris, *(Path(uri).name for uri in plan.uris)}
    for path in (workspace.state_dir / "logs").glob("*.log"):
        _keep_lines(path, lambda line: not any(key in line for key in ids), in_place=True)
    for path in workspace.state_dir.glob("*/*"):
        if path.suffix in (".sqlite3", ".db"):
            _scrub_sqlite(path, sorted(ids))


def make_probes(workspace: Workspace, plan: ErasurePlan) -> list[str]:
    """What to look for in the bytes: what was said, where it came from, and the ids of it, unless others have the same."""
    with workspace.warehouse() as con:
        kept = {str(text) for (text,) in con.execute("select text from utterance union select value from recording_metadata").fetchall()}
        others = {uri for uris in list_uris(con).values() for uri in uris}
        uris = [uri for uri in plan.uris if uri not in others]
        stored = [keep_place(con, uri) for uri in uris]
    texts = [text for text in plan.texts if not any(text in other for other in kept)]
    found = [*texts, *uris, *stored, *plan.recording_ids, *plan.utterance_ids]
    return sorted({text for text in found if len(text.encode()) >= MIN_PROBE})


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _keep_lines(path: Path, keep: Callable[[str], bool], *, in_place: bool = False) -> None:
    """Take lines out of a text file; in place, when a server appends to it."""
    if not path.exists():
        return
    text = path.read_bytes().decode("utf-8", "replace")
    lines = [line + "\n" for line in text.removesuffix("\n").split("\n")] if text else []
    kept = [line for line in lines if keep(line)]
    if len(kept) == len(lines):
        return
    if in_place:
        with path.open("r+", encoding="utf-8") as file:
            file.writelines(kept)
            file.truncate()
        return
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)


def _scrub_sqlite(path: Path, names: Iterable[str]) -> None:
    """Delete the rows of a server's tables of events and messages that name what was erased, and overwrite what was deleted before."""
    with closing(sqlite3.connect(path, timeout=30)) as con:
        con.execute("pragma secure_delete = on")
        tables = {row[0] for row in con.execute("select name from sqlite_master where type = 'table'")}
        for table, column in (("log", "message"), ("artifact", "data"), ("flow_run", "parameters"), ("events", "payload")):
            if table not in tables:
                continue
            for name in names:
                con.execute(f"update {table} set {column} = replace({column}, ?, '[erased]') where instr({column}, ?)", (name, name))
        con.commit()
        con.execute("vacuum")
        con.execute("pragma wal_checkpoint(truncate)")


def _one(names: Sequence[str], ref: str, *, what: str) -> str:
    found = [name for name in names if name == ref] or [name for name in names if ref and name.startswith(ref)]
    if len(found) != 1:
        trouble = f"{len(found)} begin like that; give more of it" if found else f"`voxdata {what}s` lists what there is"
        raise NotFoundError(f"no {what} {ref!r}: {trouble}")
    return found[0]


def _lies_at(uri: str, ref: str) -> bool:
    where = ref if "://" in ref else str(Path(ref).absolute())
    return uri in (ref, where) or uri.startswith(where.rstrip("/") + "/")


def require_gone(found: Forgotten) -> None:
    """Refuse to call somebody forgotten while bytes are left.

    Raises:
        VoxdataError: Something was found; the message names the files.
    """
    if found.hits:
        places = ", ".join(sorted({str(hit.path) for hit in found.hits}))
        raise VoxdataError(f"receipt {found.receipt_id[:12]}: {len(found.hits)} strings are still in {places}; delete these files by hand")
