"""Passes of pushes: through what a push went, and what has changed since then, in sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from warehouse.rows import insert_rows, read_frame, read_rows

if TYPE_CHECKING:
    import polars as pl

_BARRED, _QUESTIONED = "barred_recordings", "questioned_recordings"

_STANDING = f"""
  create or replace temp table clip_standing as
  with present as (
    select utterance_id, true as is_present from current_push
    where project_id = $project_id and predictions_key <> ''),
  scanned as (
    select recording_id, true as is_scanned from stage_result where stage in ('scan', 'cut')
    group by recording_id
    having max(seq) filter (stage = 'scan') > max(seq) filter (stage = 'cut'))
  select u.utterance_id, u.recording_id, b.why,
    coalesce(p.is_present, false) as is_present,
    u.end_ms - u.start_ms < $min_clip_ms as is_short,
    not $masked or coalesce(s.is_scanned, false) as is_scanned
  from current_utterance u
  left join present p using (utterance_id)
  left join scanned s using (recording_id)
  left join {_BARRED} b using (recording_id)"""

_IN_QUESTION = """
  select recording_id from stage_result where seq > $through_seq
  union
  select recording_id from clip_standing
  where not is_present and not is_short and is_scanned and why is null
  union
  select recording_id from clip_standing
  where is_present and utterance_id not in (
    select utterance_id from current_annotation where not deleted and not skipped)
  union
  select recording_id from clip_standing
  where utterance_id in (select utterance_id from check_clip)
  union
  select recording_id from clip_standing
  where not is_present and recording_id in (select unnest($to_clear::varchar[]))"""
"""What came since, what may go out, what people are still to hear, what is heard twice, and what
lies there cut though it may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPass:
    """That a push went through everything.

    Attributes:
        context: Digest of the settings and models that decided.
        through_seq: The last row that it knew of.
    """

    context: str
    through_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What an earlier push dealt with, and nothing has happened to since; counted in clips.

    Attributes:
        unchanged: There as they are to be.
        no_consent: Why a release would refuse clips that are not there -> how many.
        barred: Why a release would refuse clips that are there -> how many.
    """

    unchanged: int = 0
    too_short: int = 0
    not_scanned: int = 0
    no_consent: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, int] = field(default_factory=dict)


def last_seq(con: DuckDBPyConnection) -> int:
    """The number of the newest result of a stage: what is stored later has a larger one."""
    (row,) = read_rows(con, "select coalesce(max(seq), 0) as seq from stage_result")
    return int(str(row["seq"]))


def record_pass(con: DuckDBPyConnection, passed: PushPass, *, project_id: int, run_id: str) -> None:
    """Note that a push went through everything."""
    row: dict[str, object] = {
        "project_id": project_id,
        "context": passed.context,
        "through_seq": passed.through_seq,
        "run_id": run_id,
    }
    insert_rows(con, "push_pass", [row])


def find_pass(con: DuckDBPyConnection, *, project_id: int, context: str) -> PushPass | None:
    """The last pass of a project, if it was under this context; after another one, all is to be
    looked at again."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select context, through_seq from push_pass
        where project_id = ? order by seq desc limit 1""",
        [project_id],
    )
    if not rows or rows[0]["context"] != context:
        return None
    return PushPass(context=context, through_seq=rows[0]["through_seq"])


def divide_clips(
    con: DuckDBPyConnection,
    *,
    project_id: int,
    through_seq: int,
    masked: bool,
    min_clip_ms: int,
    barred: pl.DataFrame,
    to_clear: Sequence[str] = (),
) -> tuple[list[str], Passed]:
    """Divide the recordings: those that a push has to look at, and what it may pass over.

    Args:
        through_seq: Of the last pass.
        masked: Clips wait until somebody has looked for personal data in them.
        barred: Columns recording_id and why.
        to_clear: Those of them of which clips are cut.

    Returns:
        Ids of the recordings in question, sorted, and the clips of all others.
    """
    con.register(_BARRED, barred)
    try:
        con.execute(
            _STANDING, {"project_id": project_id, "min_clip_ms": min_clip_ms, "masked": masked}
        )
        questioned = read_frame(
            con,
            f"select recording_id from ({_IN_QUESTION}) order by recording_id",
            {"through_seq": through_seq, "to_clear": list(to_clear)},
        )
        con.register(_QUESTIONED, questioned)
        passed = _count_passed(con)
    finally:
        con.unregister(_BARRED)
        con.unregister(_QUESTIONED)
        con.execute("drop table if exists clip_standing")
    return questioned["recording_id"].to_list(), passed


def _count_passed(con: DuckDBPyConnection) -> Passed:
    others = f"from clip_standing anti join {_QUESTIONED} using (recording_id)"
    (counts,) = read_rows(
        con,
        f"""select count(*) filter (is_short) as too_short,
          count(*) filter (not is_short and (is_present or why is null) and not is_scanned)
            as not_scanned,
          count(*) filter (not is_short and is_present and is_scanned) as unchanged
        {others}""",
    )
    whys: list[dict[str, Any]] = read_rows(
        con,
        f"""select why, is_present, count(*) as clips {others}
        where why is not null and not is_short group by all order by all""",
    )
    return Passed(
        unchanged=int(str(counts["unchanged"])),
        too_short=int(str(counts["too_short"])),
        not_scanned=int(str(counts["not_scanned"])),
        no_consent={row["why"]: row["clips"] for row in whys if not row["is_present"]},
        barred={row["why"]: row["clips"] for row in whys if row["is_present"]},
    )
