"""Which stretch of its recording a row of a table means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voxdata.cell import cell_number
from voxdata.columns import TIMES, Columns, column_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of a recording.

    Attributes:
        start_s: None when the row does not say where it begins.
        end_s: None when it goes to the end of the recording.
        by_duration: Whether the row has nothing but a duration: the length of the recording, or of
            a stretch at its beginning.
        used: The columns this was taken from.
        problem: What is wrong with the times; "" for nothing.
    """

    start_s: float | None = None
    end_s: float | None = None
    by_duration: bool = False
    used: tuple[str, ...] = ()
    problem: str = ""


def read_stretch(row: Mapping[str, str], columns: Columns) -> Stretch:
    """The times of a row: start and end, or start and duration.

    They are in seconds, or in milliseconds under names ending in "_ms".

    Args:
        row: Column -> text; columns without a value are absent.
    """
    times: dict[str, _Time] = {}
    for key in TIMES:
        name = columns.find(row, key)
        if name is None:
            continue
        text = row[name]
        value = cell_number(text)
        if value is None:
            return Stretch(
                problem=f"its {name} is {text!r}, which is no number; "
                f"write seconds, or milliseconds in {key}_ms"
            )
        if value < 0:
            return Stretch(
                problem=f"its {name} is {text}; seconds from the start of the file are 0 and more"
            )
        if column_key(name).endswith("_ms"):
            value /= 1000
        times[key] = _Time(
            column=name,
            seconds=value,
        )

    start, end, duration = (times.get(key) for key in TIMES)
    start_column = columns.first("start")
    if end is not None:
        if start is None and start_column:
            return Stretch(
                problem=f"it has {end.column} and no {start_column}; give both, or neither"
            )
        return _checked(start, end.seconds, used=end.column)
    if duration is not None:
        start_s = 0.0 if start is None else start.seconds
        return _checked(
            start,
            start_s + duration.seconds,
            used=duration.column,
            by_duration=start is None,
        )
    if start is not None:
        return Stretch(
            start_s=start.seconds,
            used=(start.column,),
        )
    return Stretch()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    """A time, and the column that it stands in."""

    column: str
    seconds: float


def _checked(
    start: _Time | None,
    end_s: float,
    *,
    used: str,
    by_duration: bool = False,
) -> Stretch:
    start_s = 0.0 if start is None else start.seconds
    if end_s <= start_s:
        return Stretch(
            problem=f"it ends at {end_s:g} s, before it starts at {start_s:g} s; "
            "give seconds, the start before the end"
        )
    return Stretch(
        start_s=None if start is None else start_s,
        end_s=end_s,
        by_duration=by_duration,
        used=(used,) if start is None else (start.column, used),
    )
