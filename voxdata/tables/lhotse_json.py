"""Lhotse's recordings and cuts as JSON lines, read without Lhotse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from voxdata.tables.table import RawRow

_WRONG = "is no Lhotse recording or cut: its custom fields or supervisions are of the wrong kind"


def expand_lhotse(row: RawRow, *, per_recording: bool) -> Iterator[RawRow]:
    """A recording or cut as plain rows, one for each supervision or (`per_recording`) one in all; other rows as they are."""
    recording = row.values.get("recording", row.values)
    sources = recording.get("sources") if isinstance(recording, Mapping) else None
    if row.problem or not isinstance(recording, Mapping) or not isinstance(sources, list):
        yield row
        return
    if (
        len(sources) != 1
        or not isinstance(sources[0], dict)
        or sources[0].get("type") not in ("file", "url")
    ):
        problem = "is a Lhotse recording that is not one file or URL; mix its channels into one file first"
        yield RawRow(number=row.number, problem=problem)
        return
    inner, outer = _custom(recording), _custom(row.values)
    said = row.values.get("supervisions") or []
    if inner is None or outer is None or not isinstance(said, list):
        yield RawRow(number=row.number, problem=_WRONG)
        return
    supervisions = [one for one in said if isinstance(one, dict)]
    source = {"path": sources[0].get("source"), "lhotse_id": row.values.get("id")}
    known: dict[str, object] = {**source, **inner, **outer}
    if per_recording:
        language = next((one["language"] for one in supervisions if one.get("language")), None)
        yield RawRow(number=row.number, values={"language": language, **known})
        return
    if not supervisions:
        yield RawRow(number=row.number, values={**known, **_times(row.values)})
    for one in supervisions:
        yield RawRow(number=row.number, values={**known, **_supervised(row.values, one)})


def _supervised(cut: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, object]:
    """What a supervision says; its times count from the start of its cut."""
    own = one.get("custom")
    channel = one.get("channel", cut.get("channel"))
    words = {name: one.get(name) for name in ("speaker", "text", "language")}
    said = {**words, "channel": channel if isinstance(channel, int) else None}
    begin, start, duration = (
        _number(value) for value in (cut.get("start") or 0, one.get("start"), one.get("duration"))
    )
    times = _times(cut)
    if begin is not None and start is not None and duration is not None:
        times = {"start": max(begin + start, 0.0), "duration": duration}
    return {**(own if isinstance(own, dict) else {}), **said, **times}


def _times(cut: Mapping[str, Any]) -> dict[str, object]:
    if "recording" not in cut:
        return {}
    return {"start": cut.get("start"), "duration": cut.get("duration"), "channel": _channel(cut)}


def _channel(cut: Mapping[str, Any]) -> object:
    channel = cut.get("channel")
    return channel if isinstance(channel, int) else None


def _custom(row: Mapping[str, Any]) -> dict[str, object] | None:
    """Its custom fields; None when they are of another kind."""
    custom = row.get("custom") or {}
    return custom if isinstance(custom, dict) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
