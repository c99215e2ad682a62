"""What people said: an append-only ledger of annotations. Every revision is a row, and a link of
the chain of `warehouse.chain`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.identity import canonical_json
from voxdata.label import Annotation
from warehouse.chain import ANNOTATION, seal_entries
from warehouse.connection import transaction
from warehouse.rows import insert_new, insert_rows, read_rows, utc_aware, utc_naive


def add_annotations(
    con: DuckDBPyConnection, annotations: Sequence[Annotation], *, run_id: str
) -> int:
    """Add revisions and seal them: new is what has not been seen with this project, id, time of
    change and deletion.

    Returns:
        How many were new.

    Raises:
        ValueError: An annotation's time has no time zone.
    """
    rows: list[dict[str, object]] = [
        {
            "annotation_id": a.annotation_id,
            "project_id": a.project_id,
            "utterance_id": a.utterance_id,
            "annotator": a.annotator,
            "labels": canonical_json({name: list(chosen) for name, chosen in a.labels.items()}),
            "ratings": canonical_json(dict(a.ratings)),
            "flags": canonical_json(list(a.flags)),
            "text": a.text,
            "skipped": a.skipped,
            "deleted": a.deleted,
            "lead_time_ms": a.lead_time_ms,
            "updated_at": utc_naive(a.updated_at),
            "author": a.author,
            "proposal": a.proposal,
            "scheme_versions": canonical_json(dict(a.scheme_versions)),
            "simulated": a.simulated,
            "run_id": run_id,
        }
        for a in annotations
    ]
    with transaction(con):
        added = insert_new(
            con, "annotation", rows, key=("project_id", "annotation_id", "updated_at", "deleted")
        )
        seal_entries(con, run_id=run_id)  # also what was there before there were seals
    return added


def current_annotations(
    con: DuckDBPyConnection, *, project_id: int | None = None
) -> list[Annotation]:
    """The newest revision of each annotation, by project and id; skipped and deleted ones are
    there, flagged.
    """
    return [
        _annotation(row)
        for row in read_rows(
            con,
            f"""select {ANNOTATION}
            from current_annotation
            where ?::bigint is null or project_id = ?
            order by project_id, annotation_id""",
            [project_id, project_id],
        )
    ]


def labelled_ids(
    con: DuckDBPyConnection, utterance_ids: Sequence[str] | None = None
) -> frozenset[str]:
    """Ids of utterances, and keys of check clips, that somebody labelled.

    Args:
        utterance_ids: Only of these; of all when None.
    """
    rows = read_rows(
        con,
        """select distinct utterance_id from current_annotation
        where not deleted and not skipped
          and ($ids is null or utterance_id in (select unnest($ids::varchar[])))""",
        {"ids": None if utterance_ids is None else list(utterance_ids)},
    )
    return frozenset(str(row["utterance_id"]) for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedAnswer:
    """How long somebody took over a clip, and what there was to hear and read."""

    lead_time_ms: int
    duration_ms: int
    text: str


def list_lead_times(con: DuckDBPyConnection) -> list[TimedAnswer]:
    """The times that people took over utterances that are in force, by project and annotation."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select a.lead_time_ms, u.end_ms - u.start_ms as duration_ms, u.text
        from current_annotation a join current_utterance u using (utterance_id)
        where a.lead_time_ms <> 0 and not a.deleted order by a.project_id, a.annotation_id""",
    )
    return [TimedAnswer(**row) for row in rows]


def list_simulated(con: DuckDBPyConnection) -> dict[str, float]:
    """Login -> error rate of those whose every standing answer and skip was given by a script.

    An account with which a person answered, too, is no script's.
    """
    rows = read_rows(
        con,
        """select annotator, max(coalesce(simulated, simulated_before)) as error_rate
        from current_annotation
        where not deleted
        group by annotator
        having count(*) = count(coalesce(simulated, simulated_before))
        order by annotator""",
    )
    return {str(row["annotator"]): float(str(row["error_rate"])) for row in rows}


def list_revisions(con: DuckDBPyConnection, utterance_id: str) -> list[Annotation]:
    """Every revision about one utterance, in the order in which they arrived."""
    rows = read_rows(
        con,
        f"select {ANNOTATION} from annotation where utterance_id = ? order by seq",
        [utterance_id],
    )
    return [_annotation(row) for row in rows]


def last_read_at(con: DuckDBPyConnection, *, project_id: int) -> datetime | None:
    """When a project was last read for changes, by the server's clock, UTC; None when never."""
    rows = read_rows(
        con,
        "select read_at from queue_read where project_id = ? order by seq desc limit 1",
        [project_id],
    )
    return utc_aware(rows[0]["read_at"]) if rows else None


def record_read(
    con: DuckDBPyConnection,
    *,
    project_id: int,
    read_at: datetime,
    marks: Mapping[str, str],
    run_id: str,
) -> None:
    """Note when a project was read for changes, and the state of its changed clips then."""
    rows: list[dict[str, object]] = [
        {"project_id": project_id, "utterance_id": key, "mark": mark, "run_id": run_id}
        for key, mark in marks.items()
    ]
    with transaction(con):
        insert_rows(con, "clip_mark", rows)
        insert_rows(
            con,
            "queue_read",
            [{"project_id": project_id, "read_at": utc_naive(read_at), "run_id": run_id}],
        )


def read_marks(con: DuckDBPyConnection, *, project_id: int) -> dict[str, str]:
    """Clip -> the state in which it was last read."""
    rows = read_rows(
        con,
        """select utterance_id, arg_max(mark, seq) as mark
        from clip_mark
        where project_id = ?
        group by all""",
        [project_id],
    )
    return {str(row["utterance_id"]): str(row["mark"]) for row in rows}


def record_moves(
    con: DuckDBPyConnection, moves: Sequence[tuple[Annotation, Annotation]], *, run_id: str
) -> None:
    """Note that annotations were written again into another project: (as it was, as it is)."""
    rows: list[dict[str, object]] = [
        {
            "project_id": old.project_id,
            "annotation_id": old.annotation_id,
            "to_project_id": new.project_id,
            "to_annotation_id": new.annotation_id,
            "run_id": run_id,
        }
        for old, new in moves
    ]
    with transaction(con):
        insert_new(con, "annotation_move", rows, key=("project_id", "annotation_id"))
        add_annotations(con, [replace(old, deleted=True) for old, _ in moves], run_id=run_id)


def moved_annotations(con: DuckDBPyConnection) -> set[tuple[int, int]]:
    """(project, annotation) of all that were written again elsewhere."""
    rows: list[dict[str, Any]] = read_rows(
        con, "select project_id, annotation_id from annotation_move"
    )
    return {(row["project_id"], row["annotation_id"]) for row in rows}


def find_oddities(con: DuckDBPyConnection) -> list[dict[str, object]]:
    """Revisions somebody should look at: written in another's name, vanished, changed after
    adjudication; oldest first.
    """
    return read_rows(
        con,
        """select oddity, project_id, annotation_id, utterance_id, annotator, author, updated_at
        from annotation_oddity
        order by seq, oddity""",
    )


def _annotation(row: dict[str, Any]) -> Annotation:
    return Annotation(
        **{
            **row,
            "labels": _labels(row["labels"]),
            "ratings": _mapping(row["ratings"]),
            "flags": _flags(row["flags"]),
            "scheme_versions": _mapping(row["scheme_versions"]),
            "updated_at": utc_aware(row["updated_at"]),
        }
    )


# Many annotations say the same, so what they say is decoded once and shared, read-only.
@lru_cache(maxsize=10_000)
def _labels(stored: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(chosen) for name, chosen in json.loads(stored).items()})


@lru_cache(maxsize=10_000)
def _mapping(stored: str) -> Mapping[str, int]:
    return MappingProxyType(json.loads(stored))


@lru_cache(maxsize=10_000)
def _flags(stored: str) -> tuple[str, ...]:
    return tuple(json.loads(stored))
