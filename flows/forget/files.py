"""The files of a workspace that hold anything of erased recordings: deleting them, or writing them anew without it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.forget.lines import keep_lines
from flows.known import is_mark
from flows.workspace import Workspace
from training.features import cached_features
from warehouse.batches import MERGED, REJECTED
from warehouse.erase import ErasurePlan
from warehouse.export import write_version_manifest
from warehouse.runs import list_training_runs
from warehouse.versions import list_versions


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
            keep_lines(path, lambda line: json.loads(line).get("utterance_id") not in gone)
        manifest = folder / "manifest.jsonl"
        if manifest.exists() and any(key in manifest.read_text(encoding="utf-8") for key in plan.recording_ids):
            manifest.unlink()  # of a run that failed: nothing else needs it


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not is_mark(path)]
