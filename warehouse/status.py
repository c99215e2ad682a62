"""How much there is at every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from warehouse.answers import StandingAnswers
from warehouse.rows import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts at every stage of the loop.

    Attributes:
        sources: Files dealt with.
        recording_minutes: The minutes of the originals.
        utterances: The number of utterances of the newest result of each recording.
        predictions: By every model so far.
        pushed: Utterances on the annotation server, counted for each project.
        annotations: That stand: neither deleted nor skipped.
        annotators: People behind them.
        drops: (stage, reason) -> ledger rows.
        remarks: Things to know about recordings that were kept.
        versions: The number of versions of all names.
        promoted: Role -> training_id of the run whose model is in use.
    """

    sources: int
    recordings: int
    recording_minutes: float
    utterances: int
    utterance_minutes: float
    predictions: int
    pushed: int
    annotations: int
    annotators: int
    drops: Mapping[tuple[str, str], int]
    remarks: int
    versions: int
    training_runs: int
    promoted: Mapping[str, str]


def count_rows(con: DuckDBPyConnection) -> Counts:
    """Count everything."""
    totals: dict[str, Any] = read_rows(
        con,
        """select * from
          (select count(*) as recordings,
            coalesce(sum(num_samples / sample_rate_hz), 0) / 60 as recording_minutes
            from recording),
          (select count(*) as utterances,
            coalesce(sum(end_ms - start_ms), 0) / 60000 as utterance_minutes
            from current_utterance),
          (select count(*) as annotations, count(distinct annotator) as annotators
            from current_annotation where not deleted and not skipped),
          (select count(*) as pushed from current_push where predictions_key <> ''),
          (select count(*) as sources from source),
          (select count(*) as predictions from prediction),
          (select count(*) as remarks from remark),
          (select count(*) as versions from dataset_version),
          (select count(*) as training_runs from current_training_run)""",
    )[0]
    drops: list[dict[str, Any]] = read_rows(
        con, "select stage, reason, count(*) as n from ledger group by all order by all"
    )
    promoted: list[dict[str, Any]] = read_rows(
        con,
        """select role, training_id as id
        from current_promotion
        where training_id <> ''
        order by role""",
    )
    return Counts(
        **totals,
        drops={(r["stage"], r["reason"]): r["n"] for r in drops},
        promoted={r["role"]: r["id"] for r in promoted},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits, in recordings and utterances.

    Attributes:
        to_prelabel: Recordings without utterances, and without a drop that explains it.
        without_proposal: Utterances that lack a prediction under some scheme.
        to_scan: Utterances in which nobody has looked for personal data.
        to_push: Utterances that are not in Label Studio and may go there.
        to_hear: Those that may be there and have fewer votes than wanted.
        held_back: Utterances that consent keeps away.
    """

    to_prelabel: int
    without_proposal: int
    to_scan: int
    to_push: int
    to_hear: int
    held_back: int


_VOTES = "utterance_votes"

_HEARD = """
  create or replace temp table heard_utterance as
  select hash(utterance_id) as utterance, hash(recording_id) as recording,
    end_ms - start_ms >= $min_clip_ms as is_long, b.why is not null as is_barred
  from current_utterance left join {barred} b using (recording_id)"""

_WAITING = f"""
  with given_out as (
    select hash(utterance_id) as utterance from current_push
    where predictions_key <> '' and project_id in (
      select arg_max(project_id, seq) from annotation_project where purpose = 'label')),
  scanned as (
    select hash(recording_id) as recording from stage_result
    where stage in ('scan', 'cut') group by recording
    having max(seq) filter (stage = 'scan') > max(seq) filter (stage = 'cut')),
  explained as (
    select recording from heard_utterance
    union all select hash(recording_id) from ledger where recording_id is not null),
  judged as (
    select *, utterance in (from given_out) as is_given_out from heard_utterance where is_long)
  select
    (select count(*) from recording where hash(recording_id) not in (from explained))
      as to_prelabel,
    (select count(*) from heard_utterance where not ({{proposed}})) as without_proposal,
    (select count(*) from judged anti join scanned using (recording)) as to_scan,
    count(*) filter (not is_barred and not is_given_out) as to_push,
    (select count(*) from judged left join {_VOTES} using (utterance)
      where not is_barred and coalesce(votes, 0) < $votes_wanted) as to_hear,
    count(*) filter (is_barred and not is_given_out) as held_back
  from judged"""
"""Ids are compared by 64-bit hashes: among a million the chance of one mistake is 10^-7."""

_PROPOSED = """utterance in (
      select hash(utterance_id) from prediction where scheme = $schemes[{number}])"""


def count_waiting(
    con: DuckDBPyConnection,
    answers: StandingAnswers,
    *,
    schemes: Sequence[str],
    votes_wanted: int,
    min_clip_ms: int,
    barred: str,
) -> Waiting:
    """Count what waits for models, for a push and for people.

    Args:
        schemes: All of the workspace; votes are counted under the first.
        barred: A table with the columns recording_id and why: consent keeps it away.
    """
    answers.count_votes(schemes[0], table=_VOTES)
    try:
        con.execute(_HEARD.format(barred=barred), {"min_clip_ms": min_clip_ms})
        proposed = " and ".join(_PROPOSED.format(number=n) for n in range(1, len(schemes) + 1))
        values = {"schemes": list(schemes), "votes_wanted": votes_wanted}
        (row,) = read_rows(con, _WAITING.format(proposed=proposed), values)
    finally:
        con.execute(f"drop table if exists {_VOTES}")
        con.execute("drop table if exists heard_utterance")
    return Waiting(**{name: int(str(count)) for name, count in row.items()})
