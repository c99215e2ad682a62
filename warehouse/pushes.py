"""What was given out to the annotators, and in which Label Studio project."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.identity import canonical_json
from warehouse.rows import insert_new, insert_rows, read_rows

GONE = ""
"""The key of a clip that was found missing on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedClip:
    """How a clip stands on the server.

    Attributes:
        utterance_id: Its key there.
        key: Identity of proposals, text and clip.
        hidden: (kind, characters) that its text masks.
        arm: "active" or "random" when it was chosen among others, else "".
        blind: Its proposed labels are withheld.
        votes_wanted: People who should hear it.
        proposal: Which models made the proposal, as the server names them.
    """

    utterance_id: str
    key: str
    hidden: tuple[tuple[str, str], ...] = ()
    arm: str = ""
    blind: bool = False
    votes_wanted: int = 1
    proposal: str = ""


def record_pushes(con: DuckDBPyConnection, clips: Sequence[PushedClip], *, project_id: int, run_id: str) -> int:
    """Note what each clip shows on the server.

    Returns:
        How many differ from what was noted last.
    """
    rows: list[dict[str, object]] = [
        {
            "project_id": project_id, "utterance_id": clip.utterance_id, "predictions_key": clip.key,
            "hidden": canonical_json([list(part) for part in clip.hidden]), "arm": clip.arm, "blind": clip.blind,
            "votes_wanted": clip.votes_wanted, "proposal": clip.proposal, "run_id": run_id,
        }
        for clip in sorted(clips, key=lambda clip: clip.utterance_id)
    ]  # fmt: skip
    return insert_new(con, "push", rows, key=("project_id", "utterance_id", "predictions_key"), existing="current_push")


def record_missing(con: DuckDBPyConnection, utterance_ids: Collection[str], *, project_id: int, run_id: str) -> None:
    """Note that clips are no longer on the server; the next push brings them back as they were given out."""
    there = list_pushed(con, project_id=project_id)
    rows: list[dict[str, object]] = [
        {
            "project_id": project_id, "utterance_id": key, "predictions_key": GONE, "arm": there[key].arm, "blind": there[key].blind,
            "votes_wanted": there[key].votes_wanted, "run_id": run_id,
        }
        for key in sorted(utterance_ids)
    ]  # fmt: skip
    insert_rows(con, "push", rows)


def list_pushed(con: DuckDBPyConnection, *, project_id: int) -> dict[str, PushedClip]:
    """Key -> clip as it was last noted, for every clip that was ever pushed; missing ones have the key `GONE`."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select utterance_id, predictions_key as key, hidden, arm, blind, votes_wanted, proposal from current_push"
        " where project_id = ? order by utterance_id",
        [project_id],
    )
    return {row["utterance_id"]: PushedClip(**{**row, "hidden": tuple(map(tuple, json.loads(row["hidden"])))}) for row in rows}


def record_project(con: DuckDBPyConnection, *, project_id: int, purpose: str, title: str, run_id: str) -> None:
    """Note what a Label Studio project is for: "label" or "adjudicate"."""
    row: dict[str, object] = {"project_id": project_id, "purpose": purpose, "title": title, "run_id": run_id}
    insert_new(con, "annotation_project", [row], key=("project_id", "purpose", "title"))


def list_projects(con: DuckDBPyConnection) -> dict[int, str]:
    """Project id -> what it is for."""
    rows = read_rows(
        con, "select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id order by project_id"
    )
    return {int(str(row["project_id"])): str(row["purpose"]) for row in rows}
