"""Lineage in SQL: why an utterance has its label, and what came of it; what a model was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from warehouse.rows import read_rows

Table = list[dict[str, object]]
Story = dict[str, Table]
"""Heading -> rows for people, in the order in which things happened."""

MIN_PREFIX = 6

# The drop of another utterance carries the recording's id, too, and is no drop of this one.
_DROPS_OF_UTTERANCE = """
  subject = $key
  or (
    recording_id in (select recording_id from utterance where utterance_id = $key)
    and (
      subject = recording_id
      or subject in (select uri from source where source.recording_id = ledger.recording_id)
    )
  )
  or subject in (select 'voice ' || voice from utterances where utterance_id = $key)
  or subject in (
    select 'voice ' || recording_id || '/' || speaker
    from utterance
    where utterance_id = $key
  )"""
_DROPS_OF_RECORDING = """
  recording_id = $key or subject = $key
  or subject in (select utterance_id from utterance where recording_id = $key)
  or subject in (select 'voice ' || voice from utterances where recording_id = $key)
  or subject in (
    select 'voice ' || recording_id || '/' || speaker
    from utterance
    where recording_id = $key
  )"""
_TRAINED_ON = """(
  select e.*
  from current_training_run t
  join dataset_version v using (version_id)
  join manifest m using (manifest_key)
  join example e using (row_id)
  where t.training_id = $key
  group by all
)"""
"""The examples of the version that the training run $key was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What a story is about.

    Attributes:
        key: The id of an utterance, or of a recording.
        whole: It is a recording, with all its utterances.
    """

    key: str
    whole: bool

    @property
    def of_recording(self) -> str:
        """The condition of rows about the recording."""
        if self.whole:
            return "recording_id = $key"
        return "recording_id in (select recording_id from utterance where utterance_id = $key)"

    @property
    def of_utterance(self) -> str:
        """The condition of rows about the utterance, or the recording's utterances."""
        if self.whole:
            return "utterance_id in (select utterance_id from utterance where recording_id = $key)"
        return "utterance_id = $key"


def explain(con: DuckDBPyConnection, ref: str) -> Story:
    """The story of an utterance, a recording or a training run.

    Args:
        ref: An id, or its first 6 or more characters.

    Returns:
        Of an utterance: recording, stages, predictions, pushes, annotations, versions with its gold
        label there, models, drops. Of a recording the same for all its utterances, without
        annotations one by one. Of a training run: its version with recipe and root, the recordings
        behind it and who labelled them, and its promotion.

    Raises:
        NotFoundError: Nothing, or more than one thing, has an id that begins so.
    """
    kinds = {
        "utterance": "select distinct utterance_id as id from utterance",
        "recording": "select recording_id as id from recording",
        "training run": "select distinct training_id as id from training_run",
    }
    subjects: list[tuple[str, str]] = []
    for kind, query in kinds.items():
        rows = read_rows(
            con,
            f"""select id
            from ({query})
            where id = $ref or (length($ref) >= {MIN_PREFIX} and starts_with(id, $ref))""",
            {"ref": ref},
        )
        subjects += [(kind, str(row["id"])) for row in rows]
    if len(subjects) != 1:
        trouble = ", ".join(f"{kind} {key}" for kind, key in subjects[:5]) or "nothing"
        raise NotFoundError(
            f"{ref!r} is the beginning of {trouble}; give the id of one utterance (Label Studio "
            "shows it), recording (`voxdata recordings`) or training run (`voxdata models`)"
        )
    kind, key = subjects[0]
    if kind == "training run":
        return _explain_run(con, key)
    scope = _Scope(key=key, whole=kind == "recording")
    votes = {} if scope.whole else _votes(con, key)
    return _sound(con, scope) | _heard(con, scope) | votes | _outcome(con, scope)


def _sound(con: DuckDBPyConnection, scope: _Scope) -> Story:
    """Where the sound came from, and what was done with it."""
    of, key = scope.of_recording, scope.key
    return {
        "recording": _table(
            con,
            f"""select r.recording_id as recording, placed(s.uri) as file, r.codec,
              r.num_samples / r.sample_rate_hz as seconds, r.layout, s.created_at as "seen at",
              s.run_id as run
            from recording r
            left join source s using (recording_id)
            where {of}
            order by s.seq""",
            key,
        ),
        "said by manifests": _table(
            con,
            f"""select name, value, placed(manifest) as manifest, created_at as at
            from recording_metadata
            where {of}
            order by seq""",
            key,
        ),
        "remarks": _table(
            con,
            f"""select stage, kind, detail, amount_ms, created_at as at from remark
            where {of} order by seq""",
            key,
        ),
        "stages": _table(
            con,
            f"""select s.stage, m.name as model, left(m.revision, 12) as revision,
              left(s.key, 12) as key, s.reused, s.created_at as at, s.run_id as run,
              c.key is not null as "in force"
            from stage_result s
            left join (select distinct on (model_key) * from model) m using (model_key)
            left join current_result c using (recording_id, stage, key)
            where {of.replace("recording_id", "s.recording_id", 1)}
            order by s.seq""",
            key,
        ),
    }


def _heard(con: DuckDBPyConnection, scope: _Scope) -> Story:
    """What was heard in it, and what models took it for."""
    named = "utterance_id as utterance, " if scope.whole else ""
    return {
        "utterances": _table(
            con,
            f"""select utterance_id as utterance, channel, speaker, start_ms, end_ms, text, language
            from current_utterance
            where {scope.of_utterance}
            order by start_ms, channel""",
            scope.key,
        ),
        "predictions": _table(
            con,
            f"""select {named}p.scheme, p.label,
              p.distribution, m.name as model, left(p.model_key, 12) as model_key, m.weak,
              p.created_at as at
            from prediction p
            left join (select distinct on (model_key) * from model) m using (model_key)
            where {scope.of_utterance}
            order by p.seq""",
            scope.key,
        ),
    }


def _outcome(con: DuckDBPyConnection, scope: _Scope) -> Story:
    """Which versions and models it went into, and what was dropped."""
    key, whole = scope.key, scope.whole
    held_as = "count(*) as examples, e.split" if whole else "e.split, e.voice, e.gold"
    grouped = "group by all" if whole else ""
    subject = "subject, " if whole else ""
    return {
        "versions": _table(
            con,
            f"""select v.name || '@' || v.number as version, left(v.root, 16) as root,
              {held_as}, v.recipe->>'consensus' as consensus, v.created_at as at
            from example e
            join manifest m using (row_id)
            join dataset_version v using (manifest_key)
            where {scope.of_utterance} {grouped}
            order by "at" """,
            key,
        ),
        "models": _table(
            con,
            f"""select t.scheme, left(t.training_id, 12) as run, e.split as "heard as", t.state,
              t.promoted, t.reason, t.created_at as at
            from (
              select distinct manifest_key, split
              from example
              semi join (from utterance where {scope.of_utterance}) using (utterance_id)
              join manifest using (row_id)
            ) e
            join dataset_version v using (manifest_key)
            join current_training_run t on t.version_id = v.version_id
            group by all
            order by "at" """,
            key,
        ),
        "dropped": _table(
            con,
            f"""select {subject}stage, reason, detail, created_at as at
            from ledger
            where {_DROPS_OF_RECORDING if whole else _DROPS_OF_UTTERANCE}
            order by seq""",
            key,
        ),
    }


def _votes(con: DuckDBPyConnection, key: str) -> Story:
    return {
        "given out": _table(
            con,
            """select project_id as project, arm, blind, proposal, votes_wanted, created_at as at,
              run_id as run
            from push
            where utterance_id = $key
            order by seq""",
            key,
        ),
        "annotations": _table(
            con,
            """select a.annotator, coalesce(p.purpose, 'label') as purpose, a.labels, a.text,
              a.flags, a.skipped, a.deleted, a.proposal, a.updated_at as at,
              a.annotation_id as id, s.hash[:12] as seal
            from annotation a
            left join (
              select project_id, arg_max(purpose, seq) as purpose
              from annotation_project
              group by 1
            ) p using (project_id)
            left join annotation_seal s on s.annotation_seq = a.seq
            where a.utterance_id = $key
            order by a.seq""",
            key,
        ),
    }


def _explain_run(con: DuckDBPyConnection, key: str) -> Story:
    return _made_from(con, key) | _since(con, key)


def _made_from(con: DuckDBPyConnection, key: str) -> Story:
    """A training run, its version, and whose recordings and labels are in it."""
    runs = _table(
        con,
        """select t.scheme, t.training_id as run, t.state, t.promoted, t.reason,
          t.model_name as model, left(t.model_key, 12) as model_key,
          t.checkpoint_dir as checkpoint, t.created_at as at
        from current_training_run t
        where t.training_id = $key""",
        key,
    )
    return {
        "training run": runs,
        "dataset version": _table(
            con,
            """select v.name || '@' || v.number as version, v.root, v.num_examples as examples,
              v.recipe, v.created_at as at
            from dataset_version v
            join current_training_run t using (version_id)
            where t.training_id = $key
            order by v.seq""",
            key,
        ),
        "recordings": _table(
            con,
            f"""select e.recording_id as recording, placed(any_value(s.uri)) as file,
              count(distinct e.utterance_id) as examples,
              string_agg(distinct e.split, ' ' order by e.split) as splits
            from {_TRAINED_ON} e
            left join source s using (recording_id)
            group by e.recording_id
            order by recording""",
            key,
        ),
        "annotators": _table(
            con,
            f"""select annotator, count(distinct utterance_id) as utterances
            from current_annotation
            semi join {_TRAINED_ON} using (utterance_id)
            where not deleted and not skipped
            group by annotator
            order by annotator""",
            key,
        ),
    }


def _since(con: DuckDBPyConnection, key: str) -> Story:
    """What was erased of a training run's version since, and what its model proposed."""
    return {
        "erased since": _table(
            con,
            """select left(x.receipt_id, 12) as receipt, sum(x.num_rows)::bigint as examples
            from manifest_erasure x
            join dataset_version v using (manifest_key)
            join current_training_run t using (version_id)
            where t.training_id = $key
            group by all""",
            key,
        ),
        "proposed since": _table(
            con,
            """select count(*) as predictions, count(distinct p.utterance_id) as utterances,
              min(p.created_at) as first, max(p.created_at) as last
            from prediction p
            join current_training_run t using (model_key)
            where t.training_id = $key and t.model_key <> ''
            having count(*) > 0""",
            key,
        ),
        "promotions of its role": _table(
            con,
            """select p.role, left(p.training_id, 12) as run, p.decided_by, p.reason,
              p.created_at as at
            from promotion p
            join current_training_run t using (role)
            where t.training_id = $key
            order by p.seq""",
            key,
        ),
    }


def _table(con: DuckDBPyConnection, sql: str, key: str) -> Table:
    return list(map(_plain_row, read_rows(con, sql, {"key": key})))


def _plain_row(row: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> object:
    """JSON values: what is stored as JSON text as what it says, times as text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value
