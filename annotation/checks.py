"""Checks: clips whose answer is known, given out again in disguise, to see how well people do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from annotation.quality import wilson_interval
from annotation.settle import Answers, Settled
from voxdata.agreement import collect_votes
from voxdata.check import CheckClip
from voxdata.identity import draw
from voxdata.segment import Segment
from voxdata.utterance import Utterance

SHIFT_MS = (60, 150)
"""The edges of a check clip lie so much later or earlier that its waveform does not look like the
one heard before."""

KNOWN_VOTES = 3
"""So many people must have agreed, without any against, for a clip to count as known though no
expert decided."""


def draw_checks(
    settled: Mapping[str, Settled],
    utterances: Sequence[Utterance],
    durations_ms: Mapping[str, int],
    *,
    known: Mapping[str, CheckClip],
    new: int,
    share: float,
) -> list[CheckClip]:
    """Check clips to give out beside new clips, fewest-used first.

    Args:
        settled: Scheme -> what people settled on.
        utterances: Those that can be given out.
        durations_ms: Recording id -> its length.
        known: Check clips there are.
        new: New clips that are given out now.
        share: Check clips for each new clip.

    Returns:
        "gold" clips where the answer is known under every scheme; else "retest" clips of those that
        somebody heard.
    """
    wanted = ceil(share * new)
    used: dict[str, int] = {}
    for check in known.values():
        used[check.utterance_id] = used.get(check.utterance_id, 0) + 1
    sure = {
        u.utterance_id
        for u in utterances
        if all(_is_known(state, u.utterance_id) for state in settled.values())
    }
    heard = {
        u.utterance_id
        for u in utterances
        if any(u.utterance_id in state.gold for state in settled.values())
    }
    ordered = sorted(heard, key=lambda key: (key not in sure, used.get(key, 0), draw(key, "check")))
    by_id = {u.utterance_id: u for u in utterances}
    drawn: dict[str, CheckClip] = {}
    for key in ordered[:wanted]:
        shift_ms = _shift(key, used.get(key, 0))
        twin = disguise(by_id[key], shift_ms=shift_ms, num_ms=durations_ms[by_id[key].recording_id])
        if twin.utterance_id not in known and twin.utterance_id not in by_id:
            drawn[twin.utterance_id] = CheckClip(
                key=twin.utterance_id,
                utterance_id=key,
                purpose="gold" if key in sure else "retest",
                shift_ms=shift_ms,
            )
    return list(drawn.values())


def disguise(utterance: Utterance, *, shift_ms: int, num_ms: int) -> Utterance:
    """The utterance with its edges moved, inside a recording of `num_ms`; so it has another id
    too."""
    start = max(0, utterance.segment.start_ms + shift_ms)
    end = min(num_ms, utterance.segment.end_ms + shift_ms)
    return replace(utterance, segment=Segment(start_ms=start, end_ms=end))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckScore:
    """How one person did on check clips under one scheme.

    Attributes:
        right: Answers equal to the known one, or to the person's own earlier one.
        low, high: Wilson interval of the share, 95 %.
    """

    annotator: str
    scheme: str
    purpose: str
    clips: int
    right: int
    low: float
    high: float


def score_checks(
    answers: Answers, settled: Mapping[str, Settled], checks: Mapping[str, CheckClip]
) -> list[CheckScore]:
    """Each person's score on gold clips never heard before, and how often each says the same again
    on clips that were."""
    counts: dict[tuple[str, str, str], list[bool]] = {}
    for scheme, state in settled.items():
        own = {(vote.utterance_id, vote.annotator): vote.label for vote in state.votes}
        for vote in collect_votes(answers.checks, scheme=scheme):
            check = checks[vote.utterance_id]
            for purpose, expected in (
                (
                    "gold",
                    _gold(check, state)
                    if (check.utterance_id, vote.annotator) not in own
                    else None,
                ),
                ("retest", own.get((check.utterance_id, vote.annotator))),
            ):
                if expected is not None:
                    counts.setdefault((vote.annotator, scheme, purpose), []).append(
                        vote.label == expected
                    )
    scores = []
    for (annotator, scheme, purpose), hits in sorted(counts.items()):
        low, high = wilson_interval(sum(hits), len(hits))
        scores.append(
            CheckScore(
                annotator=annotator,
                scheme=scheme,
                purpose=purpose,
                clips=len(hits),
                right=sum(hits),
                low=low,
                high=high,
            )
        )
    return scores


def _gold(check: CheckClip, state: Settled) -> str | None:
    return (
        state.gold[check.utterance_id].label
        if check.purpose == "gold" and check.utterance_id in state.gold
        else None
    )


def _is_known(state: Settled, key: str) -> bool:
    gold = state.gold.get(key)
    if gold is None:
        return False
    return gold.standing == "decided" or (
        gold.num_votes >= KNOWN_VOTES and len(gold.distribution) == 1
    )


def _shift(key: str, number: int) -> int:
    drawn = draw(f"{key}/{number}", "shift")
    size = round(SHIFT_MS[0] + abs(2 * drawn - 1) * (SHIFT_MS[1] - SHIFT_MS[0]))
    return size if drawn >= 0.5 else -size
