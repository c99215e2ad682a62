"""What people call the columns of a table of recordings or clips. One list for ingestion, import and audit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxdata.errors import ConfigError
from voxdata.name_key import name_key

Key = Literal["audio", "label", "speaker", "split", "text", "session", "language", "channel"]

NAMES: Mapping[str, tuple[str, ...]] = {
    "audio": (
        "path",
        "audio",
        "audio_filepath",
        "audio_file",
        "audio_path",
        "wav",
        "wav_path",
        "wav_filename",
        "file",
        "file_path",
        "filepath",
        "filename",
        "file_name",
        "uri",
        "url",
    ),
    "label": ("label", "target", "class"),
    "speaker": ("speaker", "voice", "speaker_id", "spk", "spk_id", "client_id"),
    "split": ("split", "subset", "partition", "set", "fold"),
    "text": ("text", "transcript", "transcription", "sentence"),
    "session": (
        "session",
        "call",
        "recording",
        "session_id",
        "call_id",
        "recording_id",
        "conversation",
        "conversation_id",
    ),
    "language": ("language", "lang", "locale"),
    "channel": ("channel",),
    "start": (
        "start",
        "start_s",
        "start_sec",
        "start_seconds",
        "start_time",
        "begin",
        "begin_s",
        "begin_sec",
        "begin_seconds",
        "begin_time",
        "onset",
        "tbeg",
        "xmin",
        "offset",
        "start_ms",
        "begin_ms",
        "onset_ms",
        "offset_ms",
    ),
    "end": (
        "end",
        "end_s",
        "end_sec",
        "end_seconds",
        "end_time",
        "stop",
        "stop_s",
        "stop_sec",
        "stop_seconds",
        "stop_time",
        "xmax",
        "end_ms",
        "stop_ms",
    ),
    "duration": (
        "duration",
        "duration_s",
        "duration_sec",
        "duration_seconds",
        "dur",
        "tdur",
        "duration_ms",
        "dur_ms",
    ),
}
"""Meaning -> what a column of that meaning may be called, likeliest first; in any case. Seconds, unless a name ends in "_ms"."""

TIMES = ("start", "end", "duration")
ANY_OF = ("audio", *TIMES)
"""Meanings for which each row takes the first column in which it has something; the others are one column for all rows."""

_TIME_WORDS = frozenset(
    {
        "start",
        "begin",
        "beginning",
        "onset",
        "offset",
        "end",
        "stop",
        "finish",
        "duration",
        "dur",
        "tbeg",
        "tdur",
        "tend",
    }
    | {"xmin", "xmax", "tmin", "tmax", "t0", "t1"}
)
_WORD = re.compile(r"[a-z]+\d*|\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of one table are for.

    Attributes:
        names: All columns as written, in order.
        of: Meaning -> columns of that meaning, likeliest first; a meaning without any is absent.
    """

    names: tuple[str, ...]
    of: Mapping[str, tuple[str, ...]]

    def first(self, key: str) -> str | None:
        """The column of a meaning; None when there is none."""
        return next(iter(self.of.get(key, ())), None)

    def meaning(self, name: str) -> str:
        """What a column is for; "" for one of no known meaning."""
        return next((key for key, names in self.of.items() if name in names), "")

    def find(self, row: Mapping[str, str], key: str) -> str | None:
        """The column from which a row takes a meaning; None when the row says nothing."""
        names = self.of.get(key, ())
        return next((name for name in (names if key in ANY_OF else names[:1]) if name in row), None)

    def value(self, row: Mapping[str, str], key: str) -> str | None:
        """What a row says; None for nothing."""
        name = self.find(row, key)
        return None if name is None else row[name]


def column_key(name: str) -> str:
    r"""Equal for names that mean the same column: however they are spelled in Unicode, in any case.

    >>> column_key(" Label\u200b") == column_key("label")
    True
    """
    return name_key(name).casefold()


def check_header(names: Iterable[str], *, origin: str) -> None:
    """Refuse a header that has a column twice, since the later one would hide the earlier.

    Raises:
        ConfigError: Names the column.
    """
    named = [name for name in names if name_key(name)]
    counts = Counter(column_key(name) for name in named)
    for name in named:
        if counts[column_key(name)] > 1:
            also = [other for other in named if column_key(other) == column_key(name)]
            spelled = (
                ""
                if len(set(also)) == 1
                else f" (written {' and '.join(repr(n) for n in dict.fromkeys(also))})"
            )
            raise ConfigError(
                f"{origin}: the column {name!r} is in the header twice{spelled}; rename or remove one"
            )


def choose_columns(
    names: Sequence[str],
    *,
    origin: str,
    chosen: Mapping[str, str] | None = None,
    filled: Iterable[str] | None = None,
) -> Columns:
    """Decide what each column is for.

    Args:
        names: The columns of the table.
        origin: What messages call the table.
        chosen: Meaning -> its column, where the user says so.
        filled: Columns in which at least one row has something; a column that is always empty
            counts only when there is no other.

    Raises:
        ConfigError: A chosen column is not there.
    """
    by_key = {column_key(name): name for name in reversed(names) if name_key(name)}
    taken = dict(chosen or {})
    for key, name in taken.items():
        if column_key(name) not in by_key:
            raise ConfigError(
                f"{origin}: has no column {name!r} for --{key}; it has {', '.join(names) or 'none'}"
            )
        taken[key] = by_key[column_key(name)]
    full = set(names if filled is None else filled)
    found: dict[str, tuple[str, ...]] = {}
    for key, aliases in NAMES.items():
        if key in taken:
            found[key] = (taken[key],)
            continue
        there = [
            by_key[alias]
            for alias in aliases
            if alias in by_key and by_key[alias] not in taken.values()
        ]
        if there:
            found[key] = tuple(sorted(there, key=lambda name: name not in full))
    return Columns(names=tuple(names), of=_offsets(found))


def _offsets(found: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Beside an onset an offset is an end; alone it is NeMo's start."""
    starts = found.get("start", ())
    onsets = [name for name in starts if column_key(name).startswith("onset")]
    ends = tuple(name for name in starts if column_key(name).startswith("offset")) if onsets else ()
    if not ends:
        return dict(found)
    return {
        **found,
        "start": tuple(name for name in starts if name not in ends),
        "end": (*found.get("end", ()), *ends),
    }


def unused_times(columns: Columns, used: Iterable[str]) -> list[str]:
    """Columns that are called like a time and from which no row took one, in order."""
    taken = {
        *used,
        *(name for key, names in columns.of.items() if key not in TIMES for name in names),
    }
    return [name for name in columns.names if name not in taken and _is_time(name)]


def _is_time(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name_key(name))
    words = _WORD.findall(spaced.casefold())
    return any(word in _TIME_WORDS for word in words)
