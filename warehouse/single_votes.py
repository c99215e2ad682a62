"""Single votes: what each person answered about an utterance, under a pseudonym."""

from __future__ import annotations

import json
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.context_row import CastVote
from voxdata.identity import digest
from voxdata.scheme_history import SchemeHistory
from warehouse.moment import Moment, answers_through
from warehouse.rows import insert_rows, make_lookup, read_rows

VOTES = "single_vote"
"""The temporary table of `list_single_votes`."""

_PEOPLE, _SAYINGS = "vote_people", "vote_sayings"
_SALT_BYTES = 16
_PSEUDONYM = "voxdata-annotator"

Sayings = list[tuple[CastVote, ...]]
"""What answers say, by number, of nobody: who said it stands in the table."""

_ANSWER = """
  with purposes as (
    select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id)
  select a.utterance_id, a.annotator, a.labels::varchar as labels,
    a.scheme_versions::varchar as scheme_versions, coalesce(a.proposal, '') as proposal, a.skipped,
    coalesce(p.purpose = 'adjudicate', false) as is_decision
  from ({annotations}) a left join purposes p using (project_id)
  where not a.deleted
    and (p.purpose = 'adjudicate' or a.utterance_id not in (select key from check_clip))
  qualify row_number() over (
    partition by a.utterance_id, a.annotator, is_decision
    order by a.updated_at desc, a.annotation_id desc, a.project_id desc) = 1"""
"""The newest answer of each person to each utterance; answers to check clips are about people."""


def version_salt(con: DuckDBPyConnection, version_id: str, *, run_id: str) -> str:
    """The secret of a version's pseudonyms, 32 hex characters; made when there is none yet."""
    query = "select salt from pseudonym_salt where version_id = ? order by seq limit 1"
    rows = read_rows(con, query, [version_id])
    if rows:
        return str(rows[0]["salt"])
    salt = token_hex(_SALT_BYTES)
    row: dict[str, object] = {"version_id": version_id, "salt": salt, "run_id": run_id}
    insert_rows(con, "pseudonym_salt", [row])
    return salt


def list_single_votes(
    con: DuckDBPyConnection,
    moment: Moment,
    histories: Mapping[str, SchemeHistory],
    *,
    salt: str,
) -> Sayings:
    """Make a temporary table of who answered what when a version was cut.

    Its columns are utterance_id, annotator, a pseudonym, is_decision, and saying, a number.

    Args:
        histories: Scheme name -> history; labels are translated up to the version's scheme.
        salt: See `version_salt`.

    Returns:
        What the answers say. A vote that a change of its scheme left open is left out, as it is
        of the gold labels.
    """
    answers = _ANSWER.format(annotations=answers_through(moment.answers_through))
    con.execute(f"create or replace temp table {VOTES} as {answers}")
    con.execute(f"delete from {VOTES} where skipped")
    _name_people(con, salt)
    texts: list[dict[str, Any]] = read_rows(
        con,
        f"select distinct labels, scheme_versions, proposal from {VOTES} order by all",
    )
    columns = ("labels", "scheme_versions", "proposal")
    lookup = {name: ("varchar", [row[name] for row in texts]) for name in columns}
    make_lookup(con, _SAYINGS, {**lookup, "saying": ("integer", range(len(texts)))})
    con.execute(
        f"""create or replace temp table {VOTES} as
        select v.utterance_id, p.pseudonym as annotator, v.is_decision, s.saying
        from {VOTES} v join {_PEOPLE} p using (annotator)
        join {_SAYINGS} s
          on s.labels = v.labels and s.proposal = v.proposal
          and s.scheme_versions is not distinct from v.scheme_versions"""
    )
    for table in (_PEOPLE, _SAYINGS):
        con.execute(f"drop table {table}")
    return [_read_saying(row, moment, histories) for row in texts]


def _name_people(con: DuckDBPyConnection, salt: str) -> None:
    rows = read_rows(con, f"select distinct annotator from {VOTES} order by annotator")
    people = [str(row["annotator"]) for row in rows]
    pseudonyms = [digest(_PSEUDONYM, salt, person) for person in people]
    columns = {"annotator": ("varchar", people), "pseudonym": ("varchar", pseudonyms)}
    make_lookup(con, _PEOPLE, columns)


def _read_saying(
    row: Mapping[str, Any], moment: Moment, histories: Mapping[str, SchemeHistory]
) -> tuple[CastVote, ...]:
    versions = json.loads(row["scheme_versions"] or "{}")
    votes = []
    for scheme, chosen in sorted(json.loads(row["labels"]).items()):
        if moment.scheme_versions and scheme not in moment.scheme_versions:
            continue
        until = moment.scheme_versions.get(scheme)
        shown_version = versions.get(scheme, 1)
        labels = _translate(chosen, histories.get(scheme), shown_version, until)
        if labels:
            vote = CastVote(
                annotator="",
                scheme=scheme,
                labels=labels,
                proposal_shown=_was_shown(row["proposal"], scheme),
            )
            votes.append(vote)
    return tuple(votes)


def _translate(
    chosen: list[str], history: SchemeHistory | None, version: int, until: int | None
) -> tuple[str, ...]:
    """Labels as they were called in the version `until`; none when one may mean several."""
    if history is None:
        return tuple(chosen)
    meanings = [history.translate(label, version=version, until=until) for label in chosen]
    if any(len(meaning) != 1 for meaning in meanings):
        return ()
    return tuple(dict.fromkeys(meaning[0] for meaning in meanings))


def _was_shown(proposal: str, scheme: str) -> bool:
    """Whether a label of a scheme was ticked beforehand.

    A proposal is "scheme:model" for each scheme, or a model alone in older answers.
    """
    if ":" not in proposal:
        return bool(proposal)
    return f" {scheme}:" in f" {proposal}"
