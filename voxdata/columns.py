"""What people call the columns of a table of recordings or clips.

One list for ingestion, import and audit.
"""

from __future__ import annotations

import re
from collections import defaultdict
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
"""Meaning -> what a column of that meaning may be called, likeliest first; in any case.

Times are seconds, unless a name ends in "_ms".
"""

TIMES = ("start", "end", "duration")
ANY_OF = ("audio", *TIMES)
"""Meanings for which each row takes the first column in which it has something.

The others are one column for all rows.
"""

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
        "xmin",
        "xmax",
        "tmin",
        "tmax",
        "t0",
        "t1",
    }
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
        names = self.of.get(key, ())
        return names[0] if names else None

    def meaning(self, name: str) -> str:
        """What a column is for; "" for one of no known meaning."""
        for meaning, names in self.of.items():
            if name in names:
                return meaning
        return ""

    def find(
        self,
        row: Mapping[str, str],
        key: str,
    ) -> str | None:
        """The column from which a row takes a meaning; None when the row has no value for it."""
        names = self.of.get(key, ())
        if key not in ANY_OF:
            names = names[:1]
        for name in names:
            if name in row:
                return name
        return None

    def value(
        self,
        row: Mapping[str, str],
        key: str,
    ) -> str | None:
        """The value of a meaning in a row; None for none."""
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
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if name_key(name):
            spellings[column_key(name)].append(name)

    for same in spellings.values():
        if len(same) < 2:
            continue
        distinct = list(dict.fromkeys(same))
        spelled = ""
        if len(distinct) > 1:
            spelled = f" (written {' and '.join(map(repr, distinct))})"
        raise ConfigError(
            f"{origin}: the column {same[0]!r} is in the header twice{spelled}; "
            "rename or remove one"
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
    taken: dict[str, str] = {}
    for meaning, name in (chosen or {}).items():
        column = by_key.get(column_key(name))
        if column is None:
            present = ", ".join(names) or "none"
            raise ConfigError(f"{origin}: has no column {name!r} for --{meaning}; it has {present}")
        taken[meaning] = column

    free = {key: name for key, name in by_key.items() if name not in taken.values()}
    empty = set() if filled is None else set(names) - set(filled)
    by_meaning: dict[str, tuple[str, ...]] = {}
    for meaning, aliases in NAMES.items():
        if meaning in taken:
            by_meaning[meaning] = (taken[meaning],)
            continue
        candidates = [free[alias] for alias in aliases if alias in free]
        candidates.sort(key=lambda name: name in empty)
        if candidates:
            by_meaning[meaning] = tuple(candidates)
    return Columns(names=tuple(names), of=_move_offsets(by_meaning))


def _move_offsets(by_meaning: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Beside an onset an offset is an end; alone it is NeMo's start."""
    starts = by_meaning.get("start", ())
    has_onset = any(column_key(name).startswith("onset") for name in starts)
    offsets = [name for name in starts if column_key(name).startswith("offset")]
    if not has_onset or not offsets:
        return dict(by_meaning)
    return {
        **by_meaning,
        "start": tuple(name for name in starts if name not in offsets),
        "end": (*by_meaning.get("end", ()), *offsets),
    }


def unused_times(columns: Columns, used: Iterable[str]) -> list[str]:
    """Columns that are called like a time and from which no row took one, in order."""
    taken = set(used)
    for meaning, names in columns.of.items():
        if meaning not in TIMES:
            taken.update(names)
    return [name for name in columns.names if name not in taken and _is_time(name)]


def _is_time(name: str) -> bool:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name_key(name))
    words = _WORD.findall(spaced.casefold())
    return any(word in _TIME_WORDS for word in words)
