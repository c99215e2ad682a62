"""Lhotse's recordings and cuts as JSON lines, read without Lhotse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voxdata.tables.table import RawRow

_WRONG = "is no Lhotse recording or cut: its custom fields or supervisions are of the wrong kind"

_NOT_ONE_FILE = (
    "is a Lhotse recording that is not one file or URL; mix its channels into one file first"
)


def expand_lhotse(row: RawRow, *, per_recording: bool) -> Iterator[RawRow]:
    """A recording or cut as plain rows; other rows as they are.

    Args:
        per_recording: Whether a recording or cut is one row; else it is one for each supervision.
    """
    recording = row.values.get("recording", row.values)
    if row.problem or not isinstance(recording, Mapping):
        yield row
        return
    sources = recording.get("sources")
    if not isinstance(sources, list):
        yield row
        return

    source = _only_source(sources)
    if source is None:
        yield RawRow(number=row.number, problem=_NOT_ONE_FILE)
        return
    inner = _custom(recording)
    outer = _custom(row.values)
    supervisions = row.values.get("supervisions") or []
    if inner is None or outer is None or not isinstance(supervisions, list):
        yield RawRow(number=row.number, problem=_WRONG)
        return

    shared: dict[str, object] = {
        "path": source.get("source"),
        "lhotse_id": row.values.get("id"),
        **inner,
        **outer,
    }
    usable = [supervision for supervision in supervisions if isinstance(supervision, dict)]
    if per_recording:
        values = {"language": _first_language(usable), **shared}
        yield RawRow(number=row.number, values=values)
        return
    for own in _clips(row.values, usable):
        yield RawRow(number=row.number, values={**shared, **own})


def _only_source(sources: list[Any]) -> dict[str, Any] | None:
    """The one file or URL that holds all channels; None when there is none or there are more."""
    if len(sources) != 1 or not isinstance(sources[0], dict):
        return None
    source: dict[str, Any] = sources[0]
    if source.get("type") not in ("file", "url"):
        return None
    return source


def _first_language(supervisions: Sequence[Mapping[str, Any]]) -> object:
    for supervision in supervisions:
        if supervision.get("language"):
            return supervision["language"]
    return None


def _clips(
    cut: Mapping[str, Any], supervisions: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, object]]:
    """The values of each clip that its recording does not have: one clip without supervisions."""
    if not supervisions:
        yield _times(cut)
    for supervision in supervisions:
        yield _supervised(cut, supervision)


def _supervised(cut: Mapping[str, Any], supervision: Mapping[str, Any]) -> dict[str, object]:
    """The values of a supervision; its times count from the start of its cut."""
    custom = supervision.get("custom")
    if not isinstance(custom, dict):
        custom = {}
    channel = supervision.get("channel", cut.get("channel"))
    return {
        **custom,
        "speaker": supervision.get("speaker"),
        "text": supervision.get("text"),
        "language": supervision.get("language"),
        "channel": _integer(channel),
        **_supervised_times(cut, supervision),
    }


def _supervised_times(cut: Mapping[str, Any], supervision: Mapping[str, Any]) -> dict[str, object]:
    begin = _number(cut.get("start") or 0)
    start = _number(supervision.get("start"))
    duration = _number(supervision.get("duration"))
    if begin is None or start is None or duration is None:
        return _times(cut)
    return {
        "start": max(begin + start, 0.0),
        "duration": duration,
    }


def _times(cut: Mapping[str, Any]) -> dict[str, object]:
    if "recording" not in cut:
        return {}
    return {
        "start": cut.get("start"),
        "duration": cut.get("duration"),
        "channel": _integer(cut.get("channel")),
    }


def _custom(row: Mapping[str, Any]) -> dict[str, object] | None:
    """The custom fields; None when they are of another kind."""
    custom = row.get("custom") or {}
    return custom if isinstance(custom, dict) else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
