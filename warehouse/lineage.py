"""Lineage in SQL: why an utterance has its label, and what came of it; what a model was made of."""

from __future__ import annotations

import json
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from warehouse.rows import read_rows

Table = list[dict[str, object]]
Story = dict[str, Table]
"""Heading -> rows for people, in the order in which things happened."""

MIN_PREFIX = 6

# What else carries the recording's id, such as the drop of another utterance, is no drop of this
# one.
_DROPS_OF_UTTERANCE = """
  subject = $key
  or (recording_id in (select recording_id from utterance where utterance_id = $key)
    and (subject = recording_id or subject in (select uri from source where source.recording_id = ledger.recording_id)))
  or subject in (select 'voice ' || voice from utterances where utterance_id = $key)
  or subject in (select 'voice ' || recording_id || '/' || speaker from utterance where utterance_id = $key)"""
_DROPS_OF_RECORDING = """
  recording_id = $key or subject = $key
  or subject in (select utterance_id from utterance where recording_id = $key)
  or subject in (select 'voice ' || voice from utterances where recording_id = $key)
  or subject in (select 'voice ' || recording_id || '/' || speaker from utterance where recording_id = $key)"""


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
    found = [
        (kind, str(row["id"]))
        for kind, query in kinds.items()
        for row in read_rows(
            con,
            f"""select id
            from ({query})
            where id = $ref or (length($ref) >= {MIN_PREFIX} and starts_with(id, $ref))""",
            {"ref": ref},
        )
    ]
    if len(found) != 1:
        trouble = ", ".join(f"{kind} {key}" for kind, key in found[:5]) if found else "nothing"
        raise NotFoundError(
            f"{ref!r} is the beginning of {trouble}; give the id of one utterance (Label Studio "
            "shows it), recording (`voxdata recordings`) or training run (`voxdata models`)"
        )
    kind, key = found[0]
    return (
        _explain_run(con, key)
        if kind == "training run"
        else _explain_sound(con, key, whole=kind == "recording")
    )


def _explain_sound(con: DuckDBPyConnection, key: str, *, whole: bool) -> Story:
    of = (
        "recording_id = $key"
        if whole
        else "recording_id in (select recording_id from utterance where utterance_id = $key)"
    )
    one = (
        "utterance_id in (select utterance_id from utterance where recording_id = $key)"
        if whole
        else "utterance_id = $key"
    )
    story = {
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
        "utterances": _table(
            con,
            f"""select utterance_id as utterance, channel, speaker, start_ms, end_ms, text, language
            from current_utterance
            where {one}
            order by start_ms, channel""",
            key,
        ),
        "predictions": _table(
            con,
            f"""select {"utterance_id as utterance, " if whole else ""}p.scheme, p.label,
              p.distribution, m.name as model, left(p.model_key, 12) as model_key, m.weak,
              p.created_at as at
            from prediction p
            left join (select distinct on (model_key) * from model) m using (model_key)
            where {one}
            order by p.seq""",
            key,
        ),
    }
    if not whole:
        story |= _votes(con, key)
    versions = _table(
        con,
        f"""select v.name || '@' || v.number as version, left(v.root, 16) as root,
          {"count(*) as examples, " if whole else ""}e.split,
          {"" if whole else "e.voice, e.gold, "}v.recipe->>'consensus' as consensus,
          v.created_at as at
        from example e
        join manifest m using (row_id)
        join dataset_version v using (manifest_key)
        where {one} {"group by all" if whole else ""}
        order by "at" """,
        key,
    )
    return {
        **story,
        "versions": versions,
        "models": _table(
            con,
            f"""select t.scheme, left(t.training_id, 12) as run, e.split as "heard as", t.state,
              t.promoted, t.reason, t.created_at as at
            from (
              select distinct manifest_key, split
              from example
              semi join (from utterance where {one}) using (utterance_id)
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
            f"""select {"subject, " if whole else ""}stage, reason, detail, created_at as at
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
    held = """(select e.* from current_training_run t join dataset_version v using (version_id) join manifest m using (manifest_key)
      join example e using (row_id) where t.training_id = $key group by all)"""
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
            from {held} e
            left join source s using (recording_id)
            group by e.recording_id
            order by recording""",
            key,
        ),
        "annotators": _table(
            con,
            f"""select annotator, count(distinct utterance_id) as utterances
            from current_annotation
            semi join {held} using (utterance_id)
            where not deleted and not skipped
            group by annotator
            order by annotator""",
            key,
        ),
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
    }


def _table(con: DuckDBPyConnection, sql: str, key: str) -> Table:
    rows: list[dict[str, Any]] = read_rows(con, sql, {"key": key})
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> object:
    """JSON values: what is stored as JSON text as what it says, times as text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value
