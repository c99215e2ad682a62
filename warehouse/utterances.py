"""What the models heard: turns, utterances with their words, and measures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import canonical_json
from voxdata.prelabel import Prelabels
from voxdata.quality import Quality
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Utterance, Word
from warehouse.connection import transaction
from warehouse.labels import add_models, add_predictions
from warehouse.rows import insert_new, read_rows

_FIELDS = "recording_id, channel, speaker, start_ms, end_ms, text, language, words"
_MEASURES = ("level_db", "snr_db", "clipping_ratio", "bandwidth_hz")


def store_prelabels(con: DuckDBPyConnection, prelabels: Prelabels, *, key: str, scheme_versions: Mapping[str, int], run_id: str) -> None:
    """Store everything the models said about one recording, in one transaction; again with the same key changes nothing.

    Args:
        key: The computation (models, revisions and parameters) that gave it.
        scheme_versions: Scheme name -> version, for every scheme predicted.
    """
    ids = {"recording_id": prelabels.recording_id, "key": key, "run_id": run_id}
    result = {
        "num_turns": len(prelabels.turns),
        "num_utterances": len(prelabels.utterances),
        "models": canonical_json({stage: model.key for stage, model in prelabels.models.items()}),
    }
    turns = [
        {
            "position": position, "channel": turn.channel, "speaker": turn.speaker,
            "start_ms": turn.segment.start_ms, "end_ms": turn.segment.end_ms,
        }
        for position, turn in enumerate(prelabels.turns)
    ]  # fmt: skip
    with transaction(con):
        if insert_new(con, "prelabel_result", [ids | result], key=("recording_id", "key")):
            insert_new(con, "turn", [ids | turn for turn in turns], key=("recording_id", "key", "position"))
            rows = [ids | _utterance_row(u, prelabels.quality.get(u.utterance_id)) for u in prelabels.utterances]
            insert_new(con, "utterance", rows, key=("utterance_id", "key"))
        add_models(con, prelabels.models.values(), run_id=run_id)
        add_predictions(con, prelabels.predictions, scheme_versions=scheme_versions, run_id=run_id)


def list_turns(con: DuckDBPyConnection, recording_id: str) -> list[Turn]:
    """The turns of a recording's newest result, by start; empty when it has none."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        "select recording_id, channel, speaker, start_ms, end_ms from current_turn where recording_id = ? order by position",
        [recording_id],
    )
    return [Turn(segment=Segment(start_ms=row.pop("start_ms"), end_ms=row.pop("end_ms")), **row) for row in rows]


def list_utterances(con: DuckDBPyConnection, recording_ids: Sequence[str] | None = None) -> list[Utterance]:
    """The utterances of the newest result of each recording, sorted by recording, start and channel.

    Args:
        recording_ids: Only these; all when None.
    """
    rows = read_rows(
        con,
        f"""select {_FIELDS} from current_utterance where $ids is null or recording_id in (select unnest($ids::varchar[]))
        order by recording_id, start_ms, end_ms, channel, speaker""",
        {"ids": None if recording_ids is None else list(recording_ids)},
    )
    return [_utterance(row) for row in rows]


def get_utterance(con: DuckDBPyConnection, utterance_id: str) -> Utterance:
    """One utterance as heard last, whether or not the newest result of its recording still has it.

    Raises:
        NotFoundError: There is none of that id.
    """
    rows = read_rows(con, f"select {_FIELDS} from utterance where utterance_id = ? order by seq desc limit 1", [utterance_id])
    if not rows:
        raise NotFoundError(f"no utterance {utterance_id!r} in the warehouse; `voxdata prelabel` makes them")
    return _utterance(rows[0])


def list_quality(con: DuckDBPyConnection) -> dict[str, Quality]:
    """Utterance id -> its measures, for the utterances of the newest results that were measured."""
    columns = ", ".join(_MEASURES)
    rows: list[dict[str, Any]] = read_rows(
        con, f"select utterance_id, {columns} from current_utterance where level_db is not null order by utterance_id"
    )
    return {row.pop("utterance_id"): Quality(**row) for row in rows}


def _utterance_row(utterance: Utterance, quality: Quality | None) -> dict[str, object]:
    words = [[w.text, w.segment.start_ms, w.segment.end_ms, w.probability] for w in utterance.words]
    return {
        "utterance_id": utterance.utterance_id, "channel": utterance.channel, "speaker": utterance.speaker,
        "start_ms": utterance.segment.start_ms, "end_ms": utterance.segment.end_ms,
        "text": utterance.text, "language": utterance.language, "words": canonical_json(words),
        **{name: None if quality is None else getattr(quality, name) for name in _MEASURES},
    }  # fmt: skip


def _utterance(row: dict[str, Any]) -> Utterance:
    words = tuple(
        Word(text=text, segment=Segment(start_ms=start_ms, end_ms=end_ms), probability=probability)
        for text, start_ms, end_ms, probability in json.loads(row.pop("words"))
    )
    return Utterance(segment=Segment(start_ms=row.pop("start_ms"), end_ms=row.pop("end_ms")), words=words, **row)
