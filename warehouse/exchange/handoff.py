"""What a training run is handed of a version: its manifest, and beside it its context."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from duckdb import DuckDBPyConnection

from voxdata.context import context_path
from voxdata.scheme_history import SchemeHistory
from warehouse.exchange.context import write_version_context
from warehouse.exchange.table import write_version_manifest

MANIFEST_FILE = "manifest.jsonl"


def write_handoff(
    con: DuckDBPyConnection,
    version_id: str,
    *,
    audio_root: Path,
    histories: Mapping[str, SchemeHistory],
    folder: Path,
    today: date,
    run_id: str,
    seconds: float = 300.0,
    with_context: bool = True,
) -> Path:
    """Write the manifest and the context of a version into the folder of a training run.

    Args:
        audio_root: Folder of the canonical recordings.
        histories: Scheme name -> history.
        folder: Files that are there are replaced.
        today, run_id, seconds: See `write_version_context`.
        with_context: False for the folder of an earlier release, which has none.

    Returns:
        The manifest.

    Raises:
        NotFoundError: No version has this id.
    """
    labels = {name: history.scheme.label_names for name, history in histories.items()}
    manifest = folder / MANIFEST_FILE
    write_version_manifest(con, version_id, audio_root=audio_root, schemes=labels, path=manifest)
    if with_context:
        write_version_context(
            con,
            version_id,
            histories=histories,
            path=context_path(manifest),
            today=today,
            run_id=run_id,
            seconds=seconds,
        )
    return manifest
