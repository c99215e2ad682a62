"""Personal data found in what was said."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from warehouse.rows import insert_rows, read_rows, utc_aware

_CHOSEN = "($ids is null or recording_id in (select unnest($ids::varchar[])))"


def store_private_spans(
    con: DuckDBPyConnection,
    recording_id: str,
    private: Mapping[str, Sequence[PrivateSpan]],
    *,
    key: str,
    run_id: str,
) -> None:
    """Store the personal data in a recording's utterances; `key` is the scan's."""
    rows: list[dict[str, object]] = []
    leaks: list[dict[str, object]] = []
    for utterance_id, spans in sorted(private.items()):
        for span in spans:
            named: dict[str, object] = {
                "utterance_id": utterance_id,
                "recording_id": recording_id,
                "key": key,
                "run_id": run_id,
                "kind": span.kind,
                "start_char": span.start,
                "end_char": span.end,
            }
            place = _encode_segment(span.segment)
            rows.append({**named, **place, "score": span.score})
            for channel, heard in sorted(span.leaks.items()):
                leaks.append({**named, **_encode_segment(heard), "channel": channel})
    insert_rows(con, "private_span", rows)
    insert_rows(con, "private_leak", leaks)


def _encode_segment(segment: Segment | None) -> dict[str, object]:
    if segment is None:
        return {"start_ms": None, "end_ms": None}
    return {"start_ms": segment.start_ms, "end_ms": segment.end_ms}


def list_private_spans(
    con: DuckDBPyConnection, recording_ids: Sequence[str] | None = None
) -> dict[str, tuple[PrivateSpan, ...]]:
    """Utterance id -> its personal data by the scan in force.

    For every utterance that was scanned, also those without any.

    Args:
        recording_ids: Only of these; of all when None.
    """
    chosen = {"ids": None if recording_ids is None else list(recording_ids)}
    scanned = read_rows(
        con,
        f"""select u.utterance_id from current_utterance u
        semi join current_scan using (recording_id)
        where {_CHOSEN} order by u.utterance_id""",
        chosen,
    )
    spans: defaultdict[str, list[PrivateSpan]] = defaultdict(list)
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select utterance_id, kind, start_char, end_char, start_ms, end_ms, score
        from current_private_span where {_CHOSEN} order by utterance_id, start_char""",
        chosen,
    )
    leaks = _list_leaks(con)
    for row in rows:
        span = PrivateSpan(
            kind=row["kind"],
            start=row["start_char"],
            end=row["end_char"],
            segment=Segment(start_ms=row["start_ms"], end_ms=row["end_ms"]),
            score=row["score"],
            leaks=leaks.get(
                (row["utterance_id"], row["kind"], row["start_char"], row["end_char"]), {}
            ),
        )
        spans[row["utterance_id"]].append(span)
    return {str(row["utterance_id"]): tuple(spans[str(row["utterance_id"])]) for row in scanned}


def _list_leaks(
    con: DuckDBPyConnection,
) -> dict[tuple[str, str, int, int], dict[int, Segment | None]]:
    leaks: defaultdict[tuple[str, str, int, int], dict[int, Segment | None]] = defaultdict(dict)
    rows: list[dict[str, Any]] = read_rows(
        con, "select l.* from private_leak l semi join current_scan using (recording_id, key)"
    )
    for row in rows:
        heard = (
            None
            if row["start_ms"] is None
            else Segment(start_ms=row["start_ms"], end_ms=row["end_ms"])
        )
        leaks[row["utterance_id"], row["kind"], row["start_char"], row["end_char"]][
            row["channel"]
        ] = heard
    return dict(leaks)


def list_hidden(
    con: DuckDBPyConnection, utterance_ids: Collection[str] | None = None
) -> dict[tuple[int, str], list[tuple[datetime, tuple[tuple[str, str], ...]]]]:
    """(project id, utterance id) -> what each push of it hid, with its time, oldest first.

    Args:
        utterance_ids: Only of these; of all when None.
    """
    hidden: defaultdict[tuple[int, str], list[tuple[datetime, tuple[tuple[str, str], ...]]]] = (
        defaultdict(list)
    )
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select project_id, utterance_id, hidden, created_at from push
        where $ids is null or utterance_id in (select unnest($ids::varchar[])) order by seq""",
        {"ids": None if utterance_ids is None else sorted(utterance_ids)},
    )
    for row in rows:
        parts = tuple((kind, characters) for kind, characters in json.loads(row["hidden"] or "[]"))
        hidden[row["project_id"], row["utterance_id"]].append((utc_aware(row["created_at"]), parts))
    return dict(hidden)
