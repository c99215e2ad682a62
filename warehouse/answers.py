"""Answers in sets: what people said about each utterance, without an object for each answer.

Many annotations say the same in the same words, and many utterances were heard by the same people
with the same outcome. What is said is decoded, and seen through the changes of its scheme, once for
each distinct text. Utterances on which the same people voted alike share a ballot, and are settled
once: `voxdata.agreement` and `annotation.settle` take ballots, of which there are few, in place of
utterances.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.agreement import Vote
from voxdata.label import Annotation
from voxdata.scheme_history import SchemeHistory, find_orphans, migrate, without_orphans
from warehouse.rows import make_lookup, read_rows

Labels = Mapping[str, tuple[str, ...]]
"""Scheme -> labels, the main one first."""

ANSWERS = "standing_answer"
"""The temporary table of `open_answers`."""

_READINGS = "answer_readings"
_CHOICES = "answer_choices"
_PEOPLE = "answer_people"

_MAKE = f"""
  create or replace temp table {ANSWERS} as
  with purposes as (
    select project_id, arg_max(purpose, seq) as purpose from annotation_project group by project_id)
  select a.utterance_id, n.person, a.skipped, a.updated_at, a.project_id, a.annotation_id,
    r.reading, coalesce(p.purpose = 'adjudicate', false) as is_decision,
    a.utterance_id in (select key from check_clip) as is_check
  from current_annotation a
  join {_READINGS} r
    on r.labels = a.labels::varchar and r.scheme_versions = a.scheme_versions::varchar
  join {_PEOPLE} n using (annotator)
  left join purposes p using (project_id)
  where not a.deleted"""

_PERSON = "utterance_id, person, is_decision, is_check"
_KEEP_NEWEST = f"""
  delete from {ANSWERS} where rowid in (
    select rowid from (
      select rowid, row_number() over (
        partition by {_PERSON}
        order by updated_at desc, annotation_id desc, project_id desc) as place
      from {ANSWERS} where hash({_PERSON}) in (
        select hash({_PERSON}) as asked from {ANSWERS} group by asked having count(*) > 1))
    where place > 1)"""
"""Few people answer twice about an utterance, so only those answers are put in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballots:
    """The votes under one scheme, each ballot once.

    Attributes:
        votes: Sorted by ballot, then annotator; `utterance_id` is the number of the ballot.
        times: Ballot -> how many utterances were voted on like that.
        table: A table with the columns utterance_id and ballot, a number, while the answers are
            open.
    """

    votes: tuple[Vote, ...]
    times: Mapping[str, int]
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCounts:
    """How many annotations stand, by what they are for.

    Attributes:
        labels: Ordinary work.
        checks: About check clips.
        decisions: By experts, in the adjudication project.
    """

    labels: int
    checks: int
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingAnswers:
    """The annotations that stand, in the warehouse, seen in today's labels.

    Attributes:
        counts: All that stand; in the table only the newest of each person is left.
        people: Login names, sorted; a person is known by the place in it.
        readings: What annotations say, by number; a scheme whose vote is undecided, or whose label
            nobody knows, is left out.
        orphans: (scheme, label) in use that the scheme no longer has, without a word about it ->
            how many annotations.
    """

    con: DuckDBPyConnection
    counts: AnswerCounts
    people: Sequence[str]
    readings: Sequence[Labels]
    orphans: Mapping[tuple[str, str], int]

    def cast_ballots(self, scheme: str, *, alike: bool = True) -> Ballots:
        """The votes of ordinary work under one scheme: the newest answer of each person counts.

        Args:
            alike: Utterances on which the same people said the same share a ballot; else each has
                one of its own.
        """
        choices = self._register(scheme)
        table = f'"ballot_{scheme}"'
        text = "string_agg(person || ':' || choice, ' ' order by person)"
        name = text if alike else "utterance_id"
        self.con.execute(
            f"""create or replace temp table cast_vote as
            select utterance_id, {name} as name, {text} as cast_as
            from {ANSWERS} join {_CHOICES} using (reading)
            where not skipped and not is_decision and not is_check and choice is not null
            group by utterance_id"""
        )
        # Numbers, since the texts of a million utterances would be moved about.
        self.con.execute(
            """create or replace temp table cast_ballot as
            select (row_number() over (order by name))::integer as ballot, *
            from (select name, any_value(cast_as) as cast_as, count(*) as times
                  from cast_vote group by name)"""
        )
        self.con.execute(
            f"""create or replace temp table {table} as
            select utterance_id, ballot from cast_vote join cast_ballot using (name)"""
        )
        rows: list[dict[str, Any]] = read_rows(
            self.con, "select ballot, cast_as, times from cast_ballot order by ballot"
        )
        self.con.execute("drop table cast_vote")
        self.con.execute("drop table cast_ballot")
        votes = []
        for row in rows:
            for part in row["cast_as"].split():
                person, _, choice = part.partition(":")
                vote = Vote(
                    utterance_id=str(row["ballot"]),
                    annotator=self.people[int(person)],
                    labels=choices[int(choice)],
                )
                votes.append(vote)
        return Ballots(
            votes=tuple(votes),
            times={str(row["ballot"]): row["times"] for row in rows},
            table=table,
        )

    def list_decisions(self, scheme: str) -> list[Vote]:
        """The votes of experts under one scheme, sorted by utterance, then annotator."""
        choices = self._register(scheme)
        rows: list[dict[str, Any]] = read_rows(
            self.con,
            f"""select utterance_id, person, choice
            from {ANSWERS} join {_CHOICES} using (reading)
            where not skipped and is_decision and choice is not null
            order by utterance_id, person""",
        )
        return [
            Vote(
                utterance_id=row["utterance_id"],
                annotator=self.people[row["person"]],
                labels=choices[row["choice"]],
            )
            for row in rows
        ]

    def count_votes(self, scheme: str, *, table: str) -> None:
        """Make a temporary table of how many people voted on each utterance under one scheme.

        Args:
            table: Its name; its columns are utterance, `hash(utterance_id)`, and votes.
        """
        self._register(scheme)
        self.con.execute(
            f"""create or replace temp table {table} as
            select hash(utterance_id) as utterance, count(*) as votes
            from {ANSWERS} join {_CHOICES} using (reading)
            where not skipped and not is_decision and not is_check and choice is not null
            group by utterance"""
        )

    def list_voters(self) -> set[str]:
        """Login names of all whose answers count, skips among them."""
        rows = read_rows(
            self.con,
            f"select distinct person from {ANSWERS} where is_decision or not is_check",
        )
        return {self.people[int(str(row["person"]))] for row in rows}

    def _register(self, scheme: str) -> list[tuple[str, ...]]:
        """Number what is chosen under a scheme; readings without a choice are no votes."""
        choices = sorted({labels[scheme] for labels in self.readings if labels.get(scheme)})
        number_of = {choice: number for number, choice in enumerate(choices)}
        chosen = [number_of.get(labels.get(scheme, ())) for labels in self.readings]
        make_lookup(
            self.con,
            _CHOICES,
            {"reading": ("integer", range(len(chosen))), "choice": ("integer", chosen)},
        )
        return choices


@contextmanager
def open_answers(
    con: DuckDBPyConnection, histories: Mapping[str, SchemeHistory]
) -> Iterator[StandingAnswers]:
    """Read the annotations that stand into a temporary table.

    Args:
        histories: Scheme name -> history; schemes without one are left as they are.
    """
    texts = _list_texts(con)
    readings, orphans = _read_texts(texts, histories)
    people = sorted(set(chain.from_iterable(row["annotators"] for row in texts)))
    make_lookup(
        con,
        _READINGS,
        {
            "labels": ("varchar", [row["labels"] for row in texts]),
            "scheme_versions": ("varchar", [row["scheme_versions"] for row in texts]),
            "reading": ("integer", range(len(texts))),
        },
    )
    make_lookup(
        con,
        _PEOPLE,
        {"annotator": ("varchar", people), "person": ("integer", range(len(people)))},
    )
    try:
        con.execute(_MAKE)
        counts = _count(con)
        con.execute(_KEEP_NEWEST)
        yield StandingAnswers(
            con=con, counts=counts, people=people, readings=readings, orphans=orphans
        )
    finally:
        for lookup in (_READINGS, _PEOPLE, _CHOICES):
            con.execute(f"drop table if exists {lookup}")
        for row in read_rows(
            con,
            "select table_name from duckdb_tables() where temporary and table_name like 'ballot_%'",
        ):
            con.execute(f'drop table "{row["table_name"]}"')
        con.execute(f"drop table if exists {ANSWERS}")


def lost_labels(
    con: DuckDBPyConnection, histories: Mapping[str, SchemeHistory]
) -> dict[tuple[str, str], int]:
    """(scheme, label) in use that the scheme no longer has -> how many annotations."""
    _, orphans = _read_texts(_list_texts(con), histories)
    return orphans


def _list_texts(con: DuckDBPyConnection) -> list[dict[str, Any]]:
    """What annotations that stand say, each text once, with how often and by whom it is said."""
    return read_rows(
        con,
        """select labels, scheme_versions, sum(times)::bigint as times,
          list(annotator order by annotator) as annotators
        from (
          select labels::varchar as labels, scheme_versions::varchar as scheme_versions,
            annotator, count(*) as times
          from current_annotation where not deleted group by all)
        group by labels, scheme_versions order by labels, scheme_versions""",
    )


def _read_texts(
    texts: Sequence[Mapping[str, Any]], histories: Mapping[str, SchemeHistory]
) -> tuple[list[Labels], dict[tuple[str, str], int]]:
    """What each distinct text says in today's labels, and the orphans of all."""
    annotations = [
        _speak(row["labels"], json.loads(row["scheme_versions"] or "{}")) for row in texts
    ]
    orphans: Counter[tuple[str, str]] = Counter()
    for annotation, row in zip(annotations, texts, strict=True):
        for label, count in find_orphans([annotation], histories).items():
            orphans[label] += count * row["times"]
    readings: list[Labels] = [
        without_orphans(annotation.labels, orphans)
        for annotation in migrate(annotations, histories).annotations
    ]
    return readings, dict(orphans)


def _speak(labels: str, scheme_versions: Mapping[str, int]) -> Annotation:
    """An annotation that says this, by nobody about nothing."""
    chosen = {scheme: tuple(names) for scheme, names in json.loads(labels).items()}
    return Annotation(
        annotation_id=0,
        project_id=0,
        utterance_id="",
        annotator="",
        labels=chosen,
        scheme_versions=scheme_versions,
        updated_at=datetime.fromtimestamp(0, UTC),
    )


def _count(con: DuckDBPyConnection) -> AnswerCounts:
    (row,) = read_rows(
        con,
        f"""select count(*) filter (not is_decision and not is_check) as labels,
          count(*) filter (is_check) as checks,
          count(*) filter (is_decision) as decisions
        from {ANSWERS}""",
    )
    return AnswerCounts(**{name: int(str(count)) for name, count in row.items()})
