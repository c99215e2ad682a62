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
    """The times of a row: start and end, or start and duration, in seconds or (names ending in
    "_ms") milliseconds.

    Args:
        row: Column -> text; columns without a value are absent.
    """
    found: dict[str, tuple[str, float]] = {}
    for key in TIMES:
        name = columns.find(row, key)
        if name is None:
            continue
        value = cell_number(row[name])
        if value is None:
            return Stretch(
                problem=f"its {name} is {row[name]!r}, which is no number; write seconds, or milliseconds in {key}_ms"
            )
        if value < 0:
            return Stretch(
                problem=f"its {name} is {row[name]}; seconds from the start of the file are 0 and more"
            )
        found[key] = (name, value / 1000 if column_key(name).endswith("_ms") else value)
    start, end, duration = (found.get(key) for key in TIMES)
    if end is not None:
        if start is None and columns.first("start"):
            return Stretch(
                problem=f"it has {end[0]} and no {columns.first('start')}; give both, or neither"
            )
        return _checked(start, end[1], used=end[0])
    if duration is not None:
        begin = 0.0 if start is None else start[1]
        return _checked(start, begin + duration[1], used=duration[0], by_duration=start is None)
    return Stretch() if start is None else Stretch(start_s=start[1], used=(start[0],))


def _checked(
    start: tuple[str, float] | None, end_s: float, *, used: str, by_duration: bool = False
) -> Stretch:
    start_s = 0.0 if start is None else start[1]
    if end_s <= start_s:
        return Stretch(
            problem=f"it ends at {end_s:g} s, before it starts at {start_s:g} s; give seconds, the start before the end"
        )
    columns = (used,) if start is None else (start[0], used)
    return Stretch(
        start_s=None if start is None else start_s,
        end_s=end_s,
        by_duration=by_duration,
        used=columns,
    )
