"""What was given out to the annotators, and in which Label Studio project."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.identity import canonical_json
from warehouse.rows import insert_new, insert_rows, read_rows, utc_aware

GONE = ""
"""The digest of a clip that was found missing on the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedClip:
    """How a clip stands on the server.

    Attributes:
        utterance_id: Its key there.
        clip_digest: Identity of proposals, text and clip.
        hidden: (kind, characters) that its text masks.
        arm: "active" or "random" when it was chosen among others, else "".
        blind: Its proposed labels are withheld.
        votes_wanted: People who should hear it.
        proposal: Which models made the proposals that tick a label (or would, were the clip not
            blind), as the server names them.
    """

    utterance_id: str
    clip_digest: str
    hidden: tuple[tuple[str, str], ...] = ()
    arm: str = ""
    blind: bool = False
    votes_wanted: int = 1
    proposal: str = ""

    @property
    def gone(self) -> bool:
        """Whether it was found missing on the server."""
        return self.clip_digest == GONE


def record_pushes(
    con: DuckDBPyConnection, clips: Sequence[PushedClip], *, project_id: int, run_id: str
) -> int:
    """Note what each clip shows on the server.

    Returns:
        How many differ from what was noted last.
    """
    rows: list[dict[str, object]] = [
        {
            "project_id": project_id,
            "utterance_id": clip.utterance_id,
            "predictions_key": clip.clip_digest,
            "hidden": canonical_json([list(part) for part in clip.hidden]),
            "arm": clip.arm,
            "blind": clip.blind,
            "votes_wanted": clip.votes_wanted,
            "proposal": clip.proposal,
            "run_id": run_id,
        }
        for clip in sorted(clips, key=lambda clip: clip.utterance_id)
    ]
    return insert_new(
        con,
        "push",
        rows,
        key=("project_id", "utterance_id", "predictions_key"),
        existing="current_push",
    )


def record_missing(
    con: DuckDBPyConnection, utterance_ids: Collection[str], *, project_id: int, run_id: str
) -> None:
    """Note that clips are no longer on the server; the next push brings them back as they were
    given out.
    """
    there = list_pushed(con, project_id=project_id)
    rows: list[dict[str, object]] = [
        {
            "project_id": project_id,
            "utterance_id": key,
            "predictions_key": GONE,
            "arm": there[key].arm,
            "blind": there[key].blind,
            "votes_wanted": there[key].votes_wanted,
            "run_id": run_id,
        }
        for key in sorted(utterance_ids)
    ]
    insert_rows(con, "push", rows)


def list_pushed(
    con: DuckDBPyConnection, *, project_id: int, keys: Collection[str] | None = None
) -> dict[str, PushedClip]:
    """Key -> clip as it was last noted, for every clip ever pushed; missing ones are `gone`.

    Args:
        keys: Only these; all when None.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select utterance_id, predictions_key as clip_digest, hidden, arm, blind, votes_wanted,
          proposal
        from current_push
        where project_id = $project_id
          and ($keys is null or utterance_id in (select unnest($keys::varchar[])))
        order by utterance_id""",
        {"project_id": project_id, "keys": None if keys is None else sorted(keys)},
    )
    return {
        row["utterance_id"]: PushedClip(
            **{**row, "hidden": tuple(map(tuple, json.loads(row["hidden"])))}
        )
        for row in rows
    }


def list_present(con: DuckDBPyConnection, *, project_id: int) -> list[str]:
    """Keys of the clips that are on record as being in a project, sorted."""
    rows = read_rows(
        con,
        """select utterance_id from current_push
        where project_id = ? and predictions_key <> ? order by utterance_id""",
        [project_id, GONE],
    )
    return [str(row["utterance_id"]) for row in rows]


def first_pushed_at(con: DuckDBPyConnection, *, project_id: int) -> list[datetime]:
    """When each clip of a project was first given out, UTC, in order."""
    sql = """select min(created_at) as moment
    from push
    where project_id = ?
    group by utterance_id
    order by moment"""
    rows = read_rows(con, sql, [project_id])
    return [utc_aware(row["moment"]) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationProject:
    """A Label Studio project.

    Attributes:
        project_id: Our number of it.
        server_id: The server's.
        made_at: When the server made it.
        purpose: "label" or "adjudicate".
        current: The newest of its purpose; what older ones held is lost, or was written again into
            this one.
    """

    project_id: int
    server_id: int
    made_at: str
    purpose: str
    title: str
    current: bool


def note_project(
    con: DuckDBPyConnection, *, server_id: int, made_at: str, purpose: str, title: str, run_id: str
) -> int:
    """Our number of a project; one that was not seen before is noted.

    The server's own number when it is free. A server that was set up anew counts from 1 again, and
    its projects are not the old ones.
    """
    known = list_projects(con)
    for project in known:
        if (project.server_id, project.made_at) == (server_id, made_at):
            return project.project_id
    taken = {project.project_id for project in known}
    project_id = server_id if server_id not in taken else max(taken) + 1_000_000
    row: dict[str, object] = {
        "project_id": project_id,
        "server_id": server_id,
        "made_at": made_at,
        "purpose": purpose,
        "title": title,
        "run_id": run_id,
    }
    insert_rows(con, "annotation_project", [row])
    return project_id


def list_projects(con: DuckDBPyConnection) -> list[AnnotationProject]:
    """Every project there ever was, oldest first."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select project_id, server_id, made_at, purpose, title,
          seq = max(seq) over (partition by purpose) as current
        from annotation_project
        order by seq""",
    )
    return [AnnotationProject(**row) for row in rows]
