"""Leaks across versions: one person on two sides of a split, as it is known today.

A version is cut by what is known of voices then. When two voices turn out to be one person later,
versions and the models that were trained and judged on them cannot be fixed, but the leak can be
reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.dataset import Split
from warehouse.rows import FRAME, read_rows
from warehouse.runs import TrainingRun, list_training_runs
from warehouse.voices import current_voices


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A person whose examples are in two splits or more.

    Attributes:
        voice: As the person is called today.
        versions: Split -> "name@number" of the versions that have it there, oldest first.
        num_examples: Split -> examples of the person there, each counted once.
        trained: Runs on a version that has the person in training or validation: what they are
            judged by elsewhere may be too good.
    """

    voice: str
    versions: Mapping[Split, tuple[str, ...]]
    num_examples: Mapping[Split, int]
    trained: tuple[TrainingRun, ...]


def find_leaks(con: DuckDBPyConnection) -> list[Leak]:
    """Everybody who is on two sides of a split in one version or in two, by voice."""
    by_voice: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _examples_in_two_splits(con):
        by_voice[row["voice"]].append(row)
    runs = [run for run in list_training_runs(con) if run.state == "done"]
    leaks = [_leak(voice, rows_of_voice, runs) for voice, rows_of_voice in sorted(by_voice.items())]
    return [leak for leak in leaks if len(leak.versions) > 1]


def _examples_in_two_splits(con: DuckDBPyConnection) -> list[dict[str, Any]]:
    """A row for each voice of today that has examples in two splits, split and version."""
    import polars as pl

    voices = [
        {"recording_id": recording_id, "channel": channel, "speaker": speaker, "now": voice}
        for (recording_id, channel, speaker), voice in sorted(current_voices(con).items())
    ]
    types = {"recording_id": pl.String, "channel": pl.Int32, "speaker": pl.String, "now": pl.String}
    con.register(FRAME, pl.DataFrame(voices, schema=types))
    try:
        return read_rows(
            con,
            f"""with heard as (
              select utterance_id, any_value(speaker) as speaker
              from utterance
              group by utterance_id
            ),
            placed_example as (
              select e.row_id, e.utterance_id, e.split, coalesce(f.now, e.voice) as voice
              from example e
              left join heard h using (utterance_id)
              left join {FRAME} f on f.recording_id = e.recording_id
                and f.channel = e.channel
                and f.speaker = h.speaker
            )
            select voice, split, v.name || '@' || v.number as ref, v.version_id,
              min(v.seq) as seq, list(distinct utterance_id) as utterances
            from placed_example
            join manifest m using (row_id)
            join dataset_version v using (manifest_key)
            where voice in (
              select voice
              from placed_example
              group by voice
              having count(distinct split) > 1
            )
            group by all
            order by voice, seq""",
        )
    finally:
        con.unregister(FRAME)


def _leak(voice: str, rows: list[dict[str, Any]], runs: list[TrainingRun]) -> Leak:
    versions: defaultdict[Split, list[str]] = defaultdict(list)
    heard: defaultdict[Split, set[str]] = defaultdict(set)
    learned = set()
    for row in rows:
        split = Split(row["split"])
        versions[split].append(row["ref"])
        heard[split] |= set(row["utterances"])
        if split is not Split.TEST:
            learned.add(row["version_id"])
    order = [split for split in Split if split in versions]
    return Leak(
        voice=voice,
        versions={split: tuple(versions[split]) for split in order},
        num_examples={split: len(heard[split]) for split in order},
        trained=tuple(run for run in runs if run.version_id in learned),
    )
