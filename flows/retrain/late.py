"""Work that takes long, and during which somebody whom it is about may be forgotten: it ends as if they had never been in it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.workspace import Workspace
from training.feature_files import cached_features
from voxdata.dataset import Example
from voxdata.durable import remove
from warehouse.gate import forgotten_among

MEANWHILE = "somebody in the version was forgotten while it ran, so what it made was thrown away; train again"


def forgotten_meanwhile(con: DuckDBPyConnection, examples: Sequence[Example]) -> list[str]:
    """Utterances among some examples whose recordings were forgotten since these were read."""
    forgotten = forgotten_among(con, {example.recording_id for example in examples})
    return [example.utterance_id for example in examples if example.recording_id in forgotten]


def throw_away(workspace: Workspace, output: Path, utterance_ids: Sequence[str]) -> None:
    """Delete what work on some utterances has written: its folder, and their features."""
    for path in cached_features(workspace.models_dir, utterance_ids):
        remove(path, missing_ok=True)
    shutil.rmtree(output, ignore_errors=True)


def throw_away_if_forgotten(
    workspace: Workspace, output: Path, examples: Sequence[Example]
) -> bool:
    """Delete what work has written that did not end well, if somebody in its examples was forgotten meanwhile.

    Returns:
        Whether somebody was.
    """
    with workspace.warehouse() as con:
        gone = forgotten_meanwhile(con, examples)
    if gone:
        throw_away(workspace, output, gone)
    return bool(gone)
