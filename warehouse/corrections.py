"""Corrected transcripts: what people made of the texts that they were shown, in a set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.draft import corrected_texts
from voxdata.label import Annotation
from warehouse.moment import answers_through
from warehouse.privacy import list_hidden
from warehouse.rows import read_frame, read_rows, utc_aware

if TYPE_CHECKING:
    import polars as pl

_CORRECTED = """
  with deciding as (
    select project_id, arg_max(purpose, seq) = 'adjudicate' as is_decision
    from annotation_project group by project_id),
  masked as (
    select distinct project_id, utterance_id, true as is_masked from push
    where coalesce(hidden::varchar, '[]') <> '[]')
  select a.utterance_id, a.project_id, a.annotation_id, a.updated_at, a.text,
    coalesce(m.is_masked, false) as is_masked
  from ({annotations}) a left join deciding using (project_id)
  left join masked m using (project_id, utterance_id)
  where not a.deleted and not a.skipped and a.text is not null
    and (coalesce(is_decision, false) or a.utterance_id not in (select key from check_clip))
  qualify row_number() over (
    partition by a.utterance_id
    order by a.updated_at desc, a.annotation_id desc, coalesce(is_decision, false) desc,
      a.project_id desc) = 1"""


def list_corrections(con: DuckDBPyConnection, *, through: int | None = None) -> pl.DataFrame:
    """Columns utterance_id and corrected: each transcript as last corrected by a person.

    What was masked for that person is put back.

    Args:
        through: As people had answered up to the row of this number; None takes all answers.
    """
    import polars as pl

    corrected = _CORRECTED.format(annotations=answers_through(through))
    plain = read_frame(
        con, f"select utterance_id, text as corrected from ({corrected}) where not is_masked"
    )
    rows: list[dict[str, Any]] = read_rows(con, f"from ({corrected}) where is_masked")
    if not rows:
        return plain
    hidden = list_hidden(con, [row["utterance_id"] for row in rows])
    restored = corrected_texts([_annotation(row) for row in rows], hidden)
    frame = pl.DataFrame(
        {"utterance_id": list(restored), "corrected": list(restored.values())}, schema=plain.schema
    )
    return pl.concat([plain, frame])


def _annotation(row: Mapping[str, Any]) -> Annotation:
    return Annotation(
        annotation_id=row["annotation_id"],
        project_id=row["project_id"],
        utterance_id=row["utterance_id"],
        annotator="",
        labels={},
        text=row["text"],
        updated_at=utc_aware(row["updated_at"]),
    )
