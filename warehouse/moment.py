"""Moments: what the append-only tables said when a dataset version was cut.

Every row has a number, and later rows have larger ones, so what was there is what has a smaller
one. What was erased since is gone from there, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.recipe import Recipe, decode_recipe
from warehouse.rows import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a version was cut, and by what.

    Attributes:
        before: The number of the version's own row.
        answers_through: The number of the last answer that counted.
        places_before: A number between the splits that the version gave and those that came later.
        scheme_versions: Of each of its schemes; empty when that is not on record.
    """

    before: int
    answers_through: int
    places_before: int
    recipe: Recipe
    scheme_versions: Mapping[str, int]


def find_moment(con: DuckDBPyConnection, version_id: str) -> Moment:
    """When a version was cut first: the same content may be cut again, under another name.

    Raises:
        NotFoundError: No version has this id.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select seq, recipe from dataset_version where version_id = ? order by seq limit 1",
        [version_id],
    )
    if not rows:
        raise NotFoundError(
            f"no dataset version has the id {version_id!r}; `voxdata versions` lists them"
        )
    before, stored = rows[0]["seq"], json.loads(rows[0]["recipe"])
    schemes = stored.get("schemes")
    return Moment(
        before=before,
        answers_through=_last_answer(con, stored, before),
        places_before=_next_version(con, before),
        recipe=decode_recipe(stored),
        scheme_versions=schemes if isinstance(schemes, dict) else {},
    )


def results_before(number: int | None) -> str:
    """The query of the newest result of each recording and stage before a row.

    None takes those that are in force.
    """
    if number is None:
        return "from current_result"
    return f"""select * from stage_result where seq < {number}
      qualify row_number() over (partition by recording_id, stage order by seq desc) = 1"""


def answers_through(number: int | None) -> str:
    """The query of the newest revision of each annotation up to a row.

    None takes those that stand.
    """
    if number is None:
        return "from current_annotation"
    return f"""select * from annotation where seq <= {number}
      qualify row_number() over (partition by project_id, annotation_id order by seq desc) = 1"""


def _last_answer(con: DuckDBPyConnection, stored: Mapping[str, Any], before: int) -> int:
    """By the head of the ledger that the recipe names; versions from before it had one take all
    answers that were there.
    """
    head = stored.get("ledger_head")
    if head == "":
        return 0
    rows: list[dict[str, Any]] = read_rows(
        con, "select annotation_seq as number from annotation_seal where hash = ?", [head]
    )
    return int(rows[0]["number"]) if rows else before


def _next_version(con: DuckDBPyConnection, before: int) -> int:
    """Splits are given right after the row of a version, in its transaction."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select coalesce(min(seq), 9223372036854775807) as n from dataset_version where seq > ?",
        [before],
    )
    return int(rows[0]["n"])
