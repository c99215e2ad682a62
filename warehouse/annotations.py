"""What people said: an append-only, hash-chained ledger of annotations.

Every revision is a row. The rows are chained: each seal holds the hash of the seal before it and of the row's content, so a row
that is changed, removed or slipped in breaks the chain from there on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.identity import canonical_json
from voxdata.label import Annotation
from warehouse.connection import transaction
from warehouse.rows import insert_new, insert_rows, read_rows, utc_aware, utc_naive

_CONTENT = (
    "annotation_id, project_id, utterance_id, annotator, labels, ratings, flags, text, skipped, deleted, lead_time_ms, updated_at,"
    " author, proposal, scheme_versions, simulated"
)
_SINCE = ("simulated",)
"""Content that rows from before it do not have; where it is null it is no part of the seal, so that their seals hold."""

_FIRST = "0" * 64
"""What stands for the hash before the first."""


def add_annotations(con: DuckDBPyConnection, annotations: Sequence[Annotation], *, run_id: str) -> int:
    """Add revisions and seal them: new is what has not been seen with this project, id, time of change and deletion.

    Returns:
        How many were new.

    Raises:
        ValueError: An annotation's time has no time zone.
    """
    rows: list[dict[str, object]] = [
        {
            "annotation_id": a.annotation_id, "project_id": a.project_id, "utterance_id": a.utterance_id, "annotator": a.annotator,
            "labels": canonical_json({name: list(chosen) for name, chosen in a.labels.items()}), "ratings": canonical_json(dict(a.ratings)),
            "flags": canonical_json(list(a.flags)), "text": a.text, "skipped": a.skipped, "deleted": a.deleted,
            "lead_time_ms": a.lead_time_ms, "updated_at": utc_naive(a.updated_at), "author": a.author, "proposal": a.proposal,
            "scheme_versions": canonical_json(dict(a.scheme_versions)), "simulated": a.simulated, "run_id": run_id,
        }
        for a in annotations
    ]  # fmt: skip
    with transaction(con):
        added = insert_new(con, "annotation", rows, key=("project_id", "annotation_id", "updated_at", "deleted"))
        _seal(con, run_id=run_id)  # also what was there before there were seals
    return added


def current_annotations(con: DuckDBPyConnection, *, project_id: int | None = None) -> list[Annotation]:
    """The newest revision of each annotation, by project and id; skipped and deleted ones are there, flagged."""
    return [
        _annotation(row)
        for row in read_rows(
            con,
            f"select {_CONTENT} from current_annotation where ?::bigint is null or project_id = ? order by project_id, annotation_id",
            [project_id, project_id],
        )
    ]


def list_simulated(con: DuckDBPyConnection) -> dict[str, float]:
    """Login -> error rate of those whose every standing answer and skip was given by a script.

    An account with which a person answered, too, is no script's.
    """
    rows = read_rows(
        con,
        """select annotator, max(coalesce(simulated, simulated_before)) as error_rate from current_annotation where not deleted
        group by annotator having count(*) = count(coalesce(simulated, simulated_before)) order by annotator""",
    )
    return {str(row["annotator"]): float(str(row["error_rate"])) for row in rows}


def list_revisions(con: DuckDBPyConnection, utterance_id: str) -> list[Annotation]:
    """Every revision about one utterance, in the order in which they arrived."""
    rows = read_rows(con, f"select {_CONTENT} from annotation where utterance_id = ? order by seq", [utterance_id])
    return [_annotation(row) for row in rows]


def last_read_at(con: DuckDBPyConnection, *, project_id: int) -> datetime | None:
    """When a project was last read for changes, by the server's clock, UTC; None when it never was."""
    rows = read_rows(con, "select read_at from queue_read where project_id = ? order by seq desc limit 1", [project_id])
    return utc_aware(rows[0]["read_at"]) if rows else None


def record_read(con: DuckDBPyConnection, *, project_id: int, read_at: datetime, marks: Mapping[str, str], run_id: str) -> None:
    """Note when a project was read for changes, and the state in which its changed clips were read."""
    rows: list[dict[str, object]] = [
        {"project_id": project_id, "utterance_id": key, "mark": mark, "run_id": run_id} for key, mark in marks.items()
    ]
    with transaction(con):
        insert_rows(con, "clip_mark", rows)
        insert_rows(con, "queue_read", [{"project_id": project_id, "read_at": utc_naive(read_at), "run_id": run_id}])


def read_marks(con: DuckDBPyConnection, *, project_id: int) -> dict[str, str]:
    """Clip -> the state in which it was last read."""
    rows = read_rows(con, "select utterance_id, arg_max(mark, seq) as mark from clip_mark where project_id = ? group by all", [project_id])
    return {str(row["utterance_id"]): str(row["mark"]) for row in rows}


def record_moves(con: DuckDBPyConnection, moves: Sequence[tuple[Annotation, Annotation]], *, run_id: str) -> None:
    """Note that annotations were written again into another project: (as it was, as it is)."""
    rows: list[dict[str, object]] = [
        {
            "project_id": old.project_id, "annotation_id": old.annotation_id,
            "to_project_id": new.project_id, "to_annotation_id": new.annotation_id, "run_id": run_id,
        }
        for old, new in moves
    ]  # fmt: skip
    with transaction(con):
        insert_new(con, "annotation_move", rows, key=("project_id", "annotation_id"))
        add_annotations(con, [replace(old, deleted=True) for old, _ in moves], run_id=run_id)


def moved_annotations(con: DuckDBPyConnection) -> set[tuple[int, int]]:
    """(project, annotation) of all that were written again elsewhere."""
    rows: list[dict[str, Any]] = read_rows(con, "select project_id, annotation_id from annotation_move")
    return {(row["project_id"], row["annotation_id"]) for row in rows}


def find_oddities(con: DuckDBPyConnection) -> list[dict[str, object]]:
    """Revisions somebody should look at: written in another's name, vanished, changed after adjudication; oldest first."""
    return read_rows(
        con,
        "select oddity, project_id, annotation_id, utterance_id, annotator, author, updated_at from annotation_oddity order by seq, oddity",
    )


def check_chain(con: DuckDBPyConnection) -> list[str]:
    """Recompute the chain over all annotations; of those that were erased on record only the seals are left, which still chain.

    Returns:
        What is wrong, a line for each entry; empty when every entry is as it was written.
    """
    wrong: list[str] = []
    entries = {int(str(row["seq"])): row for row in read_rows(con, f"select seq, run_id, {_CONTENT} from annotation order by seq")}
    erased = {int(str(row["annotation_seq"])) for row in read_rows(con, "select annotation_seq from erased_annotation")}
    previous, sealed = _FIRST, set()
    for seal in read_rows(con, "select annotation_seq, previous, hash from annotation_seal order by seq"):
        number = int(str(seal["annotation_seq"]))
        sealed.add(number)
        if seal["previous"] != previous:
            wrong.append(f"ledger entry {number}: the entry before it is not the one it was chained to")
        if number not in entries:
            if number not in erased:
                wrong.append(f"ledger entry {number} is gone")
        elif _hash(str(seal["previous"]), entries[number]) != seal["hash"]:
            wrong.append(f"ledger entry {number} (annotation {entries[number]['annotation_id']}) is not as it was written")
        previous = str(seal["hash"])
    for number in sorted(set(entries) - sealed):
        wrong.append(f"ledger entry {number} (annotation {entries[number]['annotation_id']}) was never sealed")
    return wrong


def chain_head(con: DuckDBPyConnection) -> str:
    """The hash of the newest entry, which stands for the whole ledger up to it; "" when there is none."""
    rows = read_rows(con, "select hash from annotation_seal order by seq desc limit 1")
    return str(rows[0]["hash"]) if rows else ""


def _seal(con: DuckDBPyConnection, *, run_id: str) -> None:
    previous = chain_head(con) or _FIRST
    seals: list[dict[str, object]] = []
    unsealed = "select a.* from annotation a anti join annotation_seal s on s.annotation_seq = a.seq"
    for row in read_rows(con, f"select seq, run_id, {_CONTENT} from ({unsealed}) order by seq"):
        sealed = _hash(previous, row)
        seals.append({"annotation_seq": row["seq"], "previous": previous, "hash": sealed, "run_id": run_id})
        previous = sealed
    insert_rows(con, "annotation_seal", seals)


def _hash(previous: str, row: dict[str, object]) -> str:
    sealed = {name: value for name, value in row.items() if value is not None or name not in _SINCE}
    content = canonical_json({name: str(value) for name, value in sealed.items()})
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()


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
