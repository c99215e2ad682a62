"""Measures of utterances, and what a threshold on them would cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from voxdata.measure import LARGER_IS_WORSE, MEASURES, Quality
from warehouse.rows import insert_rows, read_rows


def store_measures(
    con: DuckDBPyConnection,
    recording_id: str,
    measures: Mapping[str, Quality],
    *,
    key: str,
    run_id: str,
) -> None:
    """Store the measures of a recording's utterances; `key` is the measuring's."""
    rows: list[dict[str, object]] = [
        {
            "utterance_id": utterance_id,
            "recording_id": recording_id,
            "key": key,
            "run_id": run_id,
            **asdict(quality),
        }
        for utterance_id, quality in sorted(measures.items())
    ]
    insert_rows(con, "measure", rows)


def list_measures(con: DuckDBPyConnection) -> dict[str, Quality]:
    """Utterance id -> its newest measures, for the utterances in force that were measured."""
    columns = ", ".join(MEASURES)
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select utterance_id, {columns}
        from current_measure
        semi join current_utterance using (utterance_id)
        order by utterance_id""",
    )
    return {row.pop("utterance_id"): Quality(**row) for row in rows}


def _fails(measure: str) -> str:
    """The SQL of an utterance beyond the limit of a measure, which is a parameter of its name."""
    worse = ">" if measure in LARGER_IS_WORSE else "<"
    return f"coalesce(m.{measure} {worse} ${measure}, false)"


def count_removed(con: DuckDBPyConnection, limits: Mapping[str, float]) -> list[dict[str, object]]:
    """What thresholds would remove, by language and source; nothing is removed.

    Args:
        limits: Measure -> the least it may be, or the most where larger is worse
            (`LARGER_IS_WORSE`).

    Returns:
        Rows with language, source (the folder of the recording's first uri, or the host),
        utterances and minutes, of all and of what would go; the last row, of language "all", is the
        sum. An utterance without the measure stays.

    Raises:
        ConfigError: A measure is unknown, or there is no limit.
    """
    unknown = sorted(set(limits) - set(MEASURES))
    if unknown or not limits:
        raise ConfigError(
            f"no measure is called {', '.join(unknown) or repr('')}; there are "
            f"{', '.join(MEASURES)}"
        )
    fails = " or ".join(map(_fails, sorted(limits)))
    return read_rows(
        con,
        f"""with first as (
          select recording_id, placed(arg_min(uri, seq)) as uri
          from source
          where recording_id is not null
          group by recording_id
        ),
        origin as (
          select recording_id,
            case
              when uri like '%://%' then regexp_extract(uri, '^[^/]*//[^/]*')
              else regexp_replace(uri, '/[^/]*$', '')
            end as source
          from first
        ),
        judged as (
          select u.language, coalesce(o.source, '') as source,
            (u.end_ms - u.start_ms) / 60000 as minutes, {fails} as goes
          from current_utterance u
          left join current_measure m using (utterance_id)
          left join origin o on o.recording_id = u.recording_id
        )
        select case when grouping(language) = 1 then 'all' else language end as language,
          coalesce(source, '') as source, count(*) as utterances,
          coalesce(sum(minutes), 0) as minutes,
          count(*) filter (goes) as utterances_removed,
          coalesce(sum(minutes) filter (goes), 0) as minutes_removed
        from judged
        group by grouping sets ((language, source), ())
        order by grouping(language), 1, 2""",
        dict(limits),
    )
