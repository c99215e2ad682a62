"""How far people agree about who spoke when: Krippendorff's alpha over time instead of over clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from voxdata.segment import overlap_ms
from voxdata.turn import Turn

Timelines = Mapping[str, Sequence[Turn]]
"""Annotator -> the turns that person marked in one recording; one who heard nothing has an empty list."""


def timeline_alpha(recordings: Sequence[Timelines], *, durations_ms: Sequence[int]) -> float | None:
    """Krippendorff's alpha, nominal, with every stretch between two boundaries weighted by its length.

    What a person says about a stretch is the set of speakers that talk in it, silence being the empty set; so overlapped speech has to be
    marked as such to agree. Speakers' names are each person's own and are matched to one person's first, by the assignment with the
    largest overlap.

    Args:
        recordings: One for each recording.
        durations_ms: Of the recordings, in their order.

    Returns:
        1 for full agreement, 0 for chance; None when nobody doubled anybody's work or only one thing was ever said.

    Raises:
        ValueError: There is not one duration for each recording.

    Source: the limit of the alpha of K. Krippendorff (2011) when each stretch is cut into ever shorter units of equal length.
    """
    totals: defaultdict[frozenset[str], float] = defaultdict(float)
    disagreed = length = 0.0
    for number, (timelines, duration_ms) in enumerate(zip(recordings, durations_ms, strict=True)):
        if len(timelines) < 2:
            continue
        named = [
            [(f"{number}/{name}", turn) for name, turn in turns]
            for turns in match_speakers(timelines).values()
        ]
        marked = {
            edge
            for turns in named
            for _, turn in turns
            for edge in (turn.segment.start_ms, turn.segment.end_ms)
        }
        edges = sorted({0, duration_ms, *(edge for edge in marked if 0 < edge < duration_ms)})
        for start, end in pairwise(edges):
            said = [
                frozenset(
                    name
                    for name, turn in turns
                    if turn.segment.start_ms < end and turn.segment.end_ms > start
                )
                for turns in named
            ]
            counts = {value: said.count(value) for value in said}
            pairs = len(said) * (len(said) - 1)
            disagreed += (
                (end - start)
                * (pairs - sum(n * (n - 1) for n in counts.values()))
                / (len(said) - 1)
            )
            length += (end - start) * len(said)
            for value, n in counts.items():
                totals[value] += (end - start) * n
    if length == 0 or len(totals) < 2:
        return None
    expected = length - sum(total * total for total in totals.values()) / length
    return 1 - disagreed / expected


def match_speakers(timelines: Timelines) -> dict[str, list[tuple[str, Turn]]]:
    """Give the same speaker the same name whoever marked it.

    The person who marked most speech gives the first names; the others follow in the order of how much they marked, and whoever matches
    nobody so far adds a name that later ones may match.

    Returns:
        Annotator -> (common name, turn).

    Source: the optimal mapping of the diarization error rate, by scipy.optimize.linear_sum_assignment.
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    speech = {
        person: sum(turn.segment.duration_ms for turn in turns)
        for person, turns in timelines.items()
    }
    pool: dict[str, list[Turn]] = {}
    found = {}
    for person in sorted(timelines, key=lambda person: (-speech[person], person)):
        mine: defaultdict[str, list[Turn]] = defaultdict(list)
        for turn in timelines[person]:
            mine[turn.speaker].append(turn)
        names, known = sorted(mine), list(pool)
        shared = np.array(
            [[_shared_ms(mine[name], pool[other]) for other in known] for name in names]
        ).reshape(len(names), len(known))
        rows, columns = linear_sum_assignment(shared, maximize=True)
        common = {
            names[row]: known[column]
            for row, column in zip(rows, columns, strict=True)
            if shared[row, column] > 0
        }
        for name in names:
            if name not in common:
                common[name] = name if not known else f"{person}: {name}"
                pool[common[name]] = mine[name]
        found[person] = [(common[turn.speaker], turn) for turn in timelines[person]]
    return found


def _shared_ms(first: Sequence[Turn], second: Sequence[Turn]) -> int:
    return sum(overlap_ms(a.segment, b.segment) for a in first for b in second)
