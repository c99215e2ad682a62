"""A version and what was known of its recordings when it was cut, as temporary tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from duckdb import DuckDBPyConnection

from warehouse.corrections import list_corrections
from warehouse.moment import Moment, results_before
from warehouse.rows import make_lookup
from warehouse.versions import manifest_key
from warehouse.voices import current_voices

if TYPE_CHECKING:
    from voxdata.voice import Speaker

EXAMPLES = "version_example"
"""The examples that were not erased."""

HOMES = "version_home"
"""Of each recording with an example: its split, another split where it has two, its group and
canonical file."""

RESULTS = "version_result"
"""The results of the stages that were in force."""

UTTERANCES, MEASURES, METADATA = "version_utterance", "version_measure", "version_metadata"
"""What was in force: views."""

HEARD = "version_heard"
"""Every utterance that was in force, labelled or not, with the split of its recording, its voice
and the name of its speaker."""

CORRECTED = "version_corrected"
"""Texts as people had corrected them."""

_VOICES = "version_voice"

_TABLES = (HEARD, _VOICES, RESULTS, HOMES, EXAMPLES)
_VIEWS = (UTTERANCES, MEASURES, METADATA)


@contextmanager
def version_tables(con: DuckDBPyConnection, version_id: str, moment: Moment) -> Iterator[None]:
    """Make the tables, while they are wanted.

    Raises:
        NotFoundError: No version has this id.
    """
    key = manifest_key(con, version_id)
    con.register(CORRECTED, list_corrections(con, through=moment.answers_through))
    try:
        _make_version(con, key)
        _make_views(con, moment)
        _name_voices(con, moment)
        con.execute(
            f"""create or replace temp table {HEARD} as
            select u.utterance_id, u.recording_id, u.channel, u.start_ms, u.end_ms,
              u.recording_id || '/' || u.speaker as speaker_name,
              coalesce(v.voice, speaker_name) as voice, h.split, h."group", h.audio_file
            from {UTTERANCES} u join {HOMES} h using (recording_id)
            left join {_VOICES} v using (recording_id, channel, speaker)"""
        )
        yield
    finally:
        for view in _VIEWS:
            con.execute(f"drop view if exists {view}")
        for table in _TABLES:
            con.execute(f"drop table if exists {table}")
        con.unregister(CORRECTED)


def _make_version(con: DuckDBPyConnection, key: int) -> None:
    con.execute(
        f"""create or replace temp table {EXAMPLES} as
        from example semi join (from manifest where manifest_key = {key}) using (row_id)"""
    )
    con.execute(
        f"""create or replace temp table {HOMES} as
        select recording_id, min(split) as split, max(split) as other_split,
          min("group") as "group", min(audio_file) as audio_file
        from {EXAMPLES} group by recording_id"""
    )


def _make_views(con: DuckDBPyConnection, moment: Moment) -> None:
    results = results_before(moment.before)
    con.execute(
        f"""create or replace temp table {RESULTS} as
        from ({results}) semi join {HOMES} using (recording_id)"""
    )
    con.execute(
        f"""create or replace temp view {UTTERANCES} as
        select u.* from utterance u
        semi join (from {RESULTS} where stage = 'cut') using (recording_id, key)"""
    )
    con.execute(
        f"""create or replace temp view {MEASURES} as
        select m.* from measure m
        left join (from {RESULTS} where stage = 'measure') r using (recording_id)
        where m.seq < {moment.before} and (r.key is null or r.key = m.key)
        qualify row_number() over (partition by m.utterance_id order by m.seq desc) = 1"""
    )
    con.execute(
        f"""create or replace temp view {METADATA} as
        from recording_metadata where seq < {moment.before}
        qualify row_number() over (partition by recording_id, name order by seq desc) = 1"""
    )


def _name_voices(con: DuckDBPyConnection, moment: Moment) -> None:
    voices: dict[Speaker, str] = current_voices(con, before=moment.before)
    make_lookup(
        con,
        _VOICES,
        {
            "recording_id": ("varchar", [recording_id for recording_id, _, _ in voices]),
            "channel": ("integer", [channel for _, channel, _ in voices]),
            "speaker": ("varchar", [speaker for _, _, speaker in voices]),
            "voice": ("varchar", list(voices.values())),
        },
    )
