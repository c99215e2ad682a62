"""The context of a version, from the warehouse: see `voxdata.context`."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from duckdb import DuckDBPyConnection

from voxdata.context import ContextHeader, write_context
from voxdata.context_row import (
    SPEECH_MS,
    WORD_PROBABILITY,
    CastVote,
    ContextRow,
    OriginalSound,
    TextSource,
)
from voxdata.dataset import Split
from voxdata.increment import TRANSCRIBE
from voxdata.measure import MEASURES
from voxdata.scheme_history import SchemeHistory
from voxdata.segment import Segment
from voxdata.stated import NAMES, read_stated
from warehouse.moment import find_moment
from warehouse.rows import make_lookup
from warehouse.single_votes import VOTES, Sayings, list_single_votes, version_salt
from warehouse.unlabelled import UNLABELLED, find_unlabelled
from warehouse.version_tables import (
    CORRECTED,
    EXAMPLES,
    HEARD,
    METADATA,
    RESULTS,
    UTTERANCES,
    version_tables,
)
from warehouse.version_tables import MEASURES as MEASURED

_AT_ONCE = 1_000
_NAMES = "stated_names"

_ROWS = f"""
  with heard as (
    select utterance_id, language, text as machine_text, marks,
      list_sum(list_transform(spoken, lambda w: (w->>2)::bigint - (w->>1)::bigint))::bigint
        as {SPEECH_MS},
      round(list_avg(list_transform(spoken, lambda w: (w->>3)::double)), 4) as {WORD_PROBABILITY}
    from (select *, words::json::json[] as spoken from {UTTERANCES})
  ),
  chosen as (
    select utterance_id, recording_id, channel, start_ms, end_ms, voice, "group", audio_file, split,
      language, text, true as is_labelled
    from {EXAMPLES}
    union all
    select n.utterance_id, n.recording_id, n.channel, n.start_ms, n.end_ms, n.voice, n."group",
      n.audio_file, n.split, u.language, null as text, false as is_labelled
    from {UNLABELLED} n join heard u using (utterance_id)
  ),
  vote as (
    select utterance_id, list([annotator, is_decision::varchar, saying::varchar]
      order by annotator, is_decision) as votes
    from {VOTES} group by utterance_id
  ),
  crowd as (
    select recording_id, count(distinct voice) as num_voices from {HEARD} group by recording_id
  ),
  said as (
    select recording_id, list([name, value] order by name) as said
    from {METADATA} semi join {_NAMES} on lower(name) = {_NAMES}.stated_name
    group by recording_id
  ),
  transcriber as (select recording_id, model_key from {RESULTS} where stage = '{TRANSCRIBE}')
  select c.*, u.machine_text, u.marks, u.{SPEECH_MS}, u.{WORD_PROBABILITY}, k.corrected, v.votes,
    t.model_key, w.num_voices, s.said, r.codec, r.sample_rate_hz, r.num_channels,
    {", ".join(f"m.{name}" for name in MEASURES)}
  from chosen c
  left join heard u using (utterance_id)
  left join {CORRECTED} k using (utterance_id)
  left join {MEASURED} m using (utterance_id)
  left join vote v using (utterance_id)
  left join transcriber t on t.recording_id = c.recording_id
  left join crowd w on w.recording_id = c.recording_id
  left join said s on s.recording_id = c.recording_id
  left join recording r on r.recording_id = c.recording_id
  order by c.utterance_id"""


def write_version_context(
    con: DuckDBPyConnection,
    version_id: str,
    *,
    histories: Mapping[str, SchemeHistory],
    path: Path,
    today: date,
    run_id: str,
    seconds: float = 300.0,
) -> ContextHeader:
    """Write the context of a version.

    Texts, votes, measures, voices and what manifests state are as they were when the version was
    cut, so the file is the same whenever it is written. It differs later in this: what was erased
    is gone; recordings whose consent has ended or was refused since give no utterances without a
    gold label any more; and a label that a later version of its scheme renamed keeps its name only
    while voxdata.toml tells of the change.

    Args:
        histories: Scheme name -> history.
        path: Replaced when it exists.
        today: Consent may have ended.
        run_id: Written beside the salt of the pseudonyms, when it is made.
        seconds: After which the condition of the recipe is stopped.

    Raises:
        NotFoundError: No version has this id.
        WarehouseError: A row leads out of the audio folder.
    """
    moment = find_moment(con, version_id)
    salt = version_salt(con, version_id, run_id=run_id)
    with version_tables(con, version_id, moment):
        try:
            sayings = list_single_votes(con, moment, histories, salt=salt)
            left_out = find_unlabelled(con, moment, today=today, seconds=seconds)
            make_lookup(con, _NAMES, {"stated_name": ("varchar", sorted(NAMES))})
            with closing(_read_rows(con, sayings)) as rows:
                return write_context(path, rows, version_id=version_id, left_out=left_out)
        finally:
            for table in (VOTES, UNLABELLED, _NAMES):
                con.execute(f"drop table if exists {table}")


def _read_rows(con: DuckDBPyConnection, sayings: Sayings) -> Generator[ContextRow]:
    """The rows, some at a time, so that nobody holds all of them.

    The connection can do nothing else until it is closed.
    """
    with closing(con.sql(_ROWS).to_arrow_reader(_AT_ONCE)) as reader:
        for batch in reader:
            for row in pl.DataFrame(batch).iter_rows(named=True):
                yield _context_row(row, sayings)


def _context_row(row: Mapping[str, Any], sayings: Sayings) -> ContextRow:
    return ContextRow(
        utterance_id=row["utterance_id"],
        recording_id=row["recording_id"],
        channel=row["channel"],
        segment=Segment(start_ms=row["start_ms"], end_ms=row["end_ms"]),
        voice=row["voice"],
        group=row["group"],
        audio_file=row["audio_file"],
        split=Split(row["split"]),
        is_labelled=row["is_labelled"],
        language=row["language"],
        text_source=_text_source(row),
        machine_text=row["machine_text"],
        transcriber=row["model_key"] or "",
        marks=tuple(json.loads(row["marks"] or "[]")),
        person_text=row["corrected"],
        votes=_votes(row["votes"] or (), sayings),
        measures=_measures(row),
        num_voices=row["num_voices"] or 0,
        stated=read_stated(dict(row["said"] or ())),
        sound=_sound(row),
    )


def _text_source(row: Mapping[str, Any]) -> TextSource:
    """Whose text stands in the version; of an utterance that is not in it, whose would."""
    corrected, heard = row["corrected"], row["machine_text"]
    would_be = heard if corrected is None else corrected
    text = row["text"] if row["is_labelled"] else would_be
    if corrected is not None and text == corrected:
        return TextSource.PERSON
    if heard is not None and text == heard:
        return TextSource.MACHINE
    return TextSource.UNKNOWN


def _votes(cast: Any, sayings: Sayings) -> tuple[CastVote, ...]:
    votes: list[CastVote] = []
    for annotator, is_decision, saying in cast:
        for said in sayings[int(saying)]:
            is_expert = is_decision == "true"
            votes.append(replace(said, annotator=annotator, is_decision=is_expert))
    return tuple(sorted(votes, key=_vote_order))


def _vote_order(vote: CastVote) -> tuple[str, str, bool]:
    return vote.scheme, vote.annotator, vote.is_decision


def _measures(row: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in (*MEASURES, SPEECH_MS, WORD_PROBABILITY):
        value = row[name]
        if value is not None and math.isfinite(value):
            found[name] = value
    return found


def _sound(row: Mapping[str, Any]) -> OriginalSound | None:
    if row["codec"] is None:
        return None
    return OriginalSound(
        codec=row["codec"],
        sample_rate_hz=row["sample_rate_hz"],
        num_channels=row["num_channels"],
    )
