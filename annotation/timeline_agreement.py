"""How far people agree about who spoke when: Krippendorff's alpha over time instead of over
clips."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from voxdata.segment import overlap_ms
from voxdata.turn import Turn

Timelines = Mapping[str, Sequence[Turn]]
"""Annotator -> the turns that person marked in one recording; one who heard nothing has an empty
list."""


Speakers = frozenset[str]
"""Those who talk at one moment; silence is the empty set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Time in which nobody's answer changes.

    Attributes:
        answers: The speakers that each person marked, one entry per person.
    """

    length_ms: int
    answers: tuple[Speakers, ...]


def timeline_alpha(
    recordings: Sequence[Timelines],
    *,
    durations_ms: Sequence[int],
) -> float | None:
    """Krippendorff's alpha, nominal, with every stretch between two boundaries weighted by length.

    What a person says about a stretch is the set of speakers that talk in it, silence being the
    empty set; so overlapped speech has to be marked as such to agree. Speakers' names are each
    person's own and are matched to one person's first, by the assignment with the largest overlap.

    Args:
        recordings: One for each recording.
        durations_ms: The lengths of the recordings, in their order.

    Returns:
        1 for full agreement, 0 for chance; None when nobody doubled anybody's work or only one
        thing was ever said.

    Raises:
        ValueError: There is not one duration for each recording.

    Source: the limit of the alpha of K. Krippendorff (2011) when each stretch is cut into ever
    shorter units of equal length.
    """
    totals: defaultdict[Speakers, float] = defaultdict(float)
    disagreed = 0.0
    length = 0.0
    for number, (timelines, duration_ms) in enumerate(
        zip(
            recordings,
            durations_ms,
            strict=True,
        )
    ):
        if len(timelines) < 2:
            continue
        for stretch in _cut_stretches(timelines, prefix=f"{number}/", duration_ms=duration_ms):
            counts = Counter(stretch.answers)
            people = len(stretch.answers)
            agreeing_pairs = sum(count * (count - 1) for count in counts.values())
            disagreeing_pairs = people * (people - 1) - agreeing_pairs

            disagreed += stretch.length_ms * disagreeing_pairs / (people - 1)
            length += stretch.length_ms * people
            for speakers, count in counts.items():
                totals[speakers] += stretch.length_ms * count

    if length == 0 or len(totals) < 2:
        return None
    expected = length - sum(total * total for total in totals.values()) / length
    return 1 - disagreed / expected


def _cut_stretches(timelines: Timelines, *, prefix: str, duration_ms: int) -> Iterator[_Stretch]:
    """Cut one recording wherever somebody's turn begins or ends.

    Args:
        prefix: Put before each speaker's name, so that no two recordings share one.
    """
    matched = match_speakers(timelines).values()
    boundaries: set[int] = set()
    for turns in matched:
        for _, turn in turns:
            boundaries |= {turn.segment.start_ms, turn.segment.end_ms}
    inner = {boundary for boundary in boundaries if 0 < boundary < duration_ms}

    for start_ms, end_ms in pairwise(sorted({0, duration_ms, *inner})):
        answers = []
        for turns in matched:
            talking = [
                name
                for name, turn in turns
                if _lies_in(
                    turn,
                    start_ms,
                    end_ms,
                )
            ]
            answers.append(frozenset(f"{prefix}{name}" for name in talking))
        yield _Stretch(length_ms=end_ms - start_ms, answers=tuple(answers))


def _lies_in(turn: Turn, start_ms: int, end_ms: int) -> bool:
    """Whether some of the turn lies between two moments."""
    return turn.segment.start_ms < end_ms and turn.segment.end_ms > start_ms


def match_speakers(timelines: Timelines) -> dict[str, list[tuple[str, Turn]]]:
    """Give the same speaker the same name whoever marked it.

    The person who marked most speech gives the first names; the others follow in the order of how
    much they marked, and whoever matches nobody so far adds a name that later ones may match.

    Returns:
        Annotator -> (common name, turn).

    Source: the optimal mapping of the diarization error rate, by
    scipy.optimize.linear_sum_assignment.
    """
    speech_ms = {person: _speech_ms(turns) for person, turns in timelines.items()}
    named_speakers: dict[str, list[Turn]] = {}
    matched = {}
    for person in sorted(timelines, key=lambda person: (-speech_ms[person], person)):
        own: defaultdict[str, list[Turn]] = defaultdict(list)
        for turn in timelines[person]:
            own[turn.speaker].append(turn)

        is_first = not named_speakers
        common_names = _match_names(own, named_speakers)
        for name in sorted(own):
            if name not in common_names:
                common_names[name] = name if is_first else f"{person}: {name}"
                named_speakers[common_names[name]] = own[name]
        matched[person] = [(common_names[turn.speaker], turn) for turn in timelines[person]]
    return matched


def _match_names(
    own: Mapping[str, Sequence[Turn]],
    named_speakers: Mapping[str, Sequence[Turn]],
) -> dict[str, str]:
    """One person's names of speakers -> the common names with which they share most time.

    Speakers that share no time with anybody are left out.
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    names = sorted(own)
    common_names = list(named_speakers)
    # shape: (num_names, num_common_names)
    shared_ms = np.zeros((len(names), len(common_names)), dtype=np.int64)
    for row, name in enumerate(names):
        for column, common in enumerate(common_names):
            shared_ms[row, column] = _shared_ms(own[name], named_speakers[common])

    rows, columns = linear_sum_assignment(shared_ms, maximize=True)
    matches = {}
    for row, column in zip(rows, columns, strict=True):
        if shared_ms[row, column] > 0:
            matches[names[row]] = common_names[column]
    return matches


def _speech_ms(turns: Sequence[Turn]) -> int:
    return sum(turn.segment.duration_ms for turn in turns)


def _shared_ms(first: Sequence[Turn], second: Sequence[Turn]) -> int:
    total_ms = 0
    for a, b in product(first, second):
        total_ms += overlap_ms(a.segment, b.segment)
    return total_ms
