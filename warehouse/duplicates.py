"""Acoustic fingerprints, and which recordings share their sound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from voxdata.fingerprint import NearDuplicate
from voxdata.split import group_voices
from warehouse.rows import insert_rows, read_rows

PREFIX_BITS = 20
"""Codes that agree in so many leading bits may be of one sound."""

MIN_HINTS = 3
MAX_SHIFTS = 5
MAX_REPEATS = 8
"""A code that comes back more often in one recording (silence, a tone) says nothing about where."""

MAX_SHARING = 8
DUPLICATE_SHARE = 0.5


def store_fingerprint(
    con: DuckDBPyConnection,
    recording_id: str,
    codes: npt.NDArray[np.uint32],
    *,
    key: str,
    run_id: str,
) -> None:
    """Store the fingerprint of a recording; `key` names what made it."""
    insert_rows(
        con,
        "fingerprint",
        [{"recording_id": recording_id, "key": key, "codes": codes.tolist(), "run_id": run_id}],
    )


def list_fingerprinted(con: DuckDBPyConnection, *, key: str) -> set[str]:
    """Recordings with a fingerprint made by `key`."""
    return {
        str(row["recording_id"])
        for row in read_rows(
            con, "select distinct recording_id from fingerprint where key = ?", [key]
        )
    }


def list_fingerprints(
    con: DuckDBPyConnection, recording_ids: Collection[str], *, key: str
) -> dict[str, npt.NDArray[np.uint32]]:
    """Recording id -> (num_codes,) uint32 of some recordings, as made by `key`."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select recording_id, codes
        from fingerprint
        where key = ? and list_contains(?, recording_id)
        order by recording_id, seq""",
        [key, sorted(recording_ids)],
    )
    return {row["recording_id"]: np.asarray(row["codes"], dtype=np.uint32) for row in rows}


def store_near_duplicates(
    con: DuckDBPyConnection, pairs: Sequence[NearDuplicate], *, key: str, run_id: str
) -> None:
    """Write down pairs that share their sound."""
    rows: list[dict[str, object]] = [
        {
            "recording_id": p.recording_id,
            "other_id": p.other_id,
            "key": key,
            "score": p.score,
            "shared_ms": p.shared_ms,
            "run_id": run_id,
        }
        for p in pairs
    ]
    insert_rows(con, "near_duplicate", rows)


def find_hints(
    con: DuckDBPyConnection, arrivals: Collection[str], *, key: str
) -> dict[tuple[str, str], list[int]]:
    """Where recordings may share sound, by codes that agree in their leading bits.

    Args:
        arrivals: Recordings to compare with all others; two arrivals are paired once.
        key: The key of the fingerprints.

    Returns:
        (recording, other), the first by id first -> shifts, likeliest first, that at least
        MIN_HINTS codes point to. Of many recordings that share a code only the first by id are
        compared with: a sound that is everywhere is linked to them.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""with code as (
          select recording_id, codes[place] >> {32 - PREFIX_BITS} as prefix, place
          from (
            select recording_id, codes, unnest(range(1, len(codes) + 1)) as place
            from fingerprint
            where key = $key
          )
        ),
        place as (
          from code
          qualify count(*) over (partition by recording_id, prefix) <= {MAX_REPEATS}
        ),
        known as (
          from place
          qualify dense_rank() over (partition by prefix order by recording_id) <= {MAX_SHARING}
        ),
        meeting as (
          select least(a.recording_id, b.recording_id) as recording_id,
            greatest(a.recording_id, b.recording_id) as other_id,
            if(a.recording_id < b.recording_id, b.place - a.place, a.place - b.place) as shift
          from place a
          join known b using (prefix)
          where list_contains($arrivals, a.recording_id)
            and (
              b.recording_id < a.recording_id
              or (
                b.recording_id > a.recording_id
                and not list_contains($arrivals, b.recording_id)
              )
            )
        )
        select recording_id, other_id, shift, count(*) as hints
        from meeting
        group by recording_id, other_id, shift
        having hints >= {MIN_HINTS}
        qualify row_number() over (
          partition by recording_id, other_id order by hints desc, abs(shift), shift
        ) <= {MAX_SHIFTS}
        order by recording_id, other_id, hints desc, abs(shift), shift""",
        {"key": key, "arrivals": sorted(arrivals)},
    )
    shifts: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        shifts[row["recording_id"], row["other_id"]].append(row["shift"])
    return dict(shifts)


def duplicate_groups(con: DuckDBPyConnection) -> dict[str, str]:
    """Recording id -> the first recording, by id, of its near-duplicates; only where there are any.

    Two recordings are taken for one when what they share is at least DUPLICATE_SHARE of the shorter
    one: calls that were put on hold to the same music share sound and are no duplicates.
    """
    rows = read_rows(
        con,
        """select distinct n.recording_id, n.other_id
        from near_duplicate n
        join recording a on a.recording_id = n.recording_id
        join recording b on b.recording_id = n.other_id
        where n.shared_ms >= ? * least(
          a.num_samples * 1000 / a.sample_rate_hz, b.num_samples * 1000 / b.sample_rate_hz
        )""",
        [DUPLICATE_SHARE],
    )
    members: list[tuple[str, str]] = []
    for row in rows:
        recording, other = str(row["recording_id"]), str(row["other_id"])
        pair = f"{recording} {other}"
        members += [(pair, recording), (pair, other)]
    groups = group_voices(members)
    first: dict[str, str] = {}
    for recording in sorted(groups):
        first.setdefault(groups[recording], recording)
    return {recording: first[group] for recording, group in groups.items()}
