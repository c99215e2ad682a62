"""What the models heard: turns, transcripts, and utterances with their words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import ModelRef, canonical_json
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Passage, Transcript, Utterance, Word
from warehouse.rows import insert_rows, read_frame, read_rows

if TYPE_CHECKING:
    import polars as pl

_CHOSEN = "chosen_utterances"
_FIELDS = "recording_id, channel, speaker, start_ms, end_ms, text, language, words, marks"


def store_turns(
    con: DuckDBPyConnection, recording_id: str, turns: Sequence[Turn], *, key: str, run_id: str
) -> None:
    """Store the turns of a recording, sorted as given; `key` is the diarization's."""
    rows: list[dict[str, object]] = [
        {
            "recording_id": recording_id,
            "key": key,
            "run_id": run_id,
            "position": position,
            "channel": turn.channel,
            "speaker": turn.speaker,
            "start_ms": turn.segment.start_ms,
            "end_ms": turn.segment.end_ms,
        }
        for position, turn in enumerate(turns)
    ]
    insert_rows(con, "turn", rows)


def store_transcripts(
    con: DuckDBPyConnection,
    recording_id: str,
    transcripts: Sequence[Transcript],
    *,
    key: str,
    run_id: str,
) -> None:
    """Store a recording's transcripts, one per channel in order; `key` is the transcription's."""
    rows: list[dict[str, object]] = [
        {
            "recording_id": recording_id,
            "key": key,
            "run_id": run_id,
            "channel": channel,
            "passages": canonical_json([_passage_row(p) for p in transcript.passages]),
            "words": canonical_json([_word_row(w) for w in transcript.words]),
        }
        for channel, transcript in enumerate(transcripts)
    ]
    insert_rows(con, "transcript", rows)


def store_utterances(
    con: DuckDBPyConnection, utterances: Sequence[Utterance], *, key: str, run_id: str
) -> None:
    """Store the utterances of a recording; `key` is the cut's."""
    rows: list[dict[str, object]] = [
        {
            "recording_id": u.recording_id,
            "key": key,
            "run_id": run_id,
            "utterance_id": u.utterance_id,
            "channel": u.channel,
            "speaker": u.speaker,
            "start_ms": u.segment.start_ms,
            "end_ms": u.segment.end_ms,
            "text": u.text,
            "language": u.language,
            "words": canonical_json([_word_row(w) for w in u.words]),
            "marks": canonical_json(list(u.marks)),
        }
        for u in utterances
    ]
    insert_rows(con, "utterance", rows)


def list_transcripts(
    con: DuckDBPyConnection, recording_id: str, *, key: str, model: ModelRef
) -> list[Transcript]:
    """The transcripts of a recording under a key, by channel.

    Args:
        model: What made them; `key` names it already.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select passages, words
        from transcript
        where recording_id = ? and key = ?
        order by channel""",
        [recording_id, key],
    )
    return [
        Transcript(
            passages=tuple(
                Passage(
                    segment=Segment(start_ms=start_ms, end_ms=end_ms),
                    language=language,
                    language_probability=sure,
                    no_speech_probability=no_speech,
                    mean_log_probability=mean,
                )
                for start_ms, end_ms, language, sure, no_speech, mean in json.loads(row["passages"])
            ),
            words=_words(row["words"]),
            model=model,
        )
        for row in rows
    ]


def list_turns(con: DuckDBPyConnection, recording_id: str, *, key: str | None = None) -> list[Turn]:
    """The turns of a recording, by start; empty when it has none.

    Args:
        key: The key of one diarization; None takes the one in force.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select recording_id, channel, speaker, start_ms, end_ms
        from {"current_turn" if key is None else "turn"}
        where recording_id = $recording_id and ($key is null or key = $key)
        order by position""",
        {"recording_id": recording_id, "key": key},
    )
    return [
        Turn(segment=Segment(start_ms=row.pop("start_ms"), end_ms=row.pop("end_ms")), **row)
        for row in rows
    ]


def list_utterances(
    con: DuckDBPyConnection, recording_ids: Sequence[str] | None = None
) -> list[Utterance]:
    """The utterances of the newest result of each recording, sorted by recording, start and
    channel.

    Args:
        recording_ids: Only these; all when None.
    """
    rows = read_rows(
        con,
        f"""select {_FIELDS}
        from current_utterance
        where $ids is null or recording_id in (select unnest($ids::varchar[]))
        order by recording_id, start_ms, end_ms, channel, speaker""",
        {"ids": None if recording_ids is None else list(recording_ids)},
    )
    return [_utterance(row) for row in rows]


def utterance_frame(con: DuckDBPyConnection, chosen: pl.DataFrame) -> pl.DataFrame:
    """Utterances with the canonical file of their recording, sorted as in `list_utterances`.

    Args:
        chosen: Column utterance_id, each once.

    Returns:
        Columns utterance_id, recording_id, channel, speaker, start_ms, end_ms, text, language and
        audio_file.
    """
    con.register(_CHOSEN, chosen)
    try:
        return read_frame(
            con,
            f"""select u.utterance_id, u.recording_id, u.channel, u.speaker, u.start_ms, u.end_ms,
              u.text, u.language, r.audio_file
            from current_utterance u join recording r using (recording_id)
            semi join {_CHOSEN} using (utterance_id)
            order by u.recording_id, u.start_ms, u.end_ms, u.channel, u.speaker""",
        )
    finally:
        con.unregister(_CHOSEN)


def list_cut(con: DuckDBPyConnection, recording_id: str, *, key: str) -> list[Utterance]:
    """The utterances of a recording under one key, whether or not that is in force; sorted as in
    `list_utterances`.
    """
    rows = read_rows(
        con,
        f"""select {_FIELDS}
        from utterance
        where recording_id = ? and key = ?
        order by start_ms, end_ms, channel, speaker""",
        [recording_id, key],
    )
    return [_utterance(row) for row in rows]


def get_utterance(con: DuckDBPyConnection, utterance_id: str) -> Utterance:
    """One utterance as heard last, whether or not the newest result of its recording still has it.

    Raises:
        NotFoundError: There is none of that id.
    """
    rows = read_rows(
        con,
        f"select {_FIELDS} from utterance where utterance_id = ? order by seq desc limit 1",
        [utterance_id],
    )
    if not rows:
        raise NotFoundError(
            f"no utterance {utterance_id!r} in the warehouse; `voxdata prelabel` makes them"
        )
    return _utterance(rows[0])


def _word_row(word: Word) -> list[object]:
    return [word.text, word.segment.start_ms, word.segment.end_ms, word.probability]


def _passage_row(passage: Passage) -> list[object]:
    return [
        passage.segment.start_ms,
        passage.segment.end_ms,
        passage.language,
        passage.language_probability,
        passage.no_speech_probability,
        passage.mean_log_probability,
    ]


def _words(stored: str) -> tuple[Word, ...]:
    return tuple(
        Word(text=text, segment=Segment(start_ms=start_ms, end_ms=end_ms), probability=probability)
        for text, start_ms, end_ms, probability in json.loads(stored)
    )


def _utterance(row: dict[str, Any]) -> Utterance:
    words, marks = _words(row.pop("words")), tuple(json.loads(row.pop("marks") or "[]"))
    return Utterance(
        segment=Segment(start_ms=row.pop("start_ms"), end_ms=row.pop("end_ms")),
        words=words,
        marks=marks,
        **row,
    )


def utterance_ids(con: DuckDBPyConnection) -> list[str]:
    """Ids of all utterances there ever were, those of earlier cuts included."""
    return [
        str(row["utterance_id"])
        for row in read_rows(
            con, "select distinct utterance_id from utterance order by utterance_id"
        )
    ]
