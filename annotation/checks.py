"""Checks: clips whose answer is known, given out again in disguise, to see how well people do."""

from __future__ import annotations

from collections import Counter, defaultdict
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
    by_id = {utterance.utterance_id: utterance for utterance in utterances}
    heard = [utterance_id for utterance_id in by_id if _is_heard(settled, utterance_id)]
    sure = {utterance_id for utterance_id in by_id if _is_sure(settled, utterance_id)}
    used = Counter(check.utterance_id for check in known.values())

    def precedence(utterance_id: str) -> tuple[bool, int, float]:
        return utterance_id not in sure, used[utterance_id], draw(utterance_id, "check")

    checks: dict[str, CheckClip] = {}
    for utterance_id in sorted(heard, key=precedence)[: ceil(share * new)]:
        utterance = by_id[utterance_id]
        shift_ms = _shift(utterance_id, used[utterance_id])
        num_ms = durations_ms[utterance.recording_id]
        key = disguise(utterance, shift_ms=shift_ms, num_ms=num_ms).utterance_id
        if key in known or key in by_id:
            continue
        checks[key] = CheckClip(
            key=key,
            utterance_id=utterance_id,
            purpose="gold" if utterance_id in sure else "retest",
            shift_ms=shift_ms,
        )
    return list(checks.values())


def disguise(utterance: Utterance, *, shift_ms: int, num_ms: int) -> Utterance:
    """The utterance with its edges moved, inside a recording of `num_ms`; its id is another too."""
    start_ms = max(0, utterance.segment.start_ms + shift_ms)
    end_ms = min(num_ms, utterance.segment.end_ms + shift_ms)
    return replace(utterance, segment=Segment(start_ms=start_ms, end_ms=end_ms))


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
    answers: Answers,
    settled: Mapping[str, Settled],
    checks: Mapping[str, CheckClip],
) -> list[CheckScore]:
    """Each person's score on gold clips never heard before, and on clips heard twice.

    Of the latter it is how often the person gives the same answer again.
    """
    hits: defaultdict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for scheme, state in settled.items():
        earlier = {(vote.utterance_id, vote.annotator): vote.label for vote in state.votes}
        for vote in collect_votes(answers.checks, scheme=scheme):
            check = checks[vote.utterance_id]
            purpose = "retest"
            expected = earlier.get((check.utterance_id, vote.annotator))
            if expected is None:
                purpose = "gold"
                expected = _gold(check, state)
            if expected is not None:
                hits[vote.annotator, scheme, purpose].append(vote.label == expected)

    scores = []
    for (annotator, scheme, purpose), are_right in sorted(hits.items()):
        clips = len(are_right)
        right = sum(are_right)
        low, high = wilson_interval(right, clips)
        score = CheckScore(
            annotator=annotator,
            scheme=scheme,
            purpose=purpose,
            clips=clips,
            right=right,
            low=low,
            high=high,
        )
        scores.append(score)
    return scores


def _gold(check: CheckClip, state: Settled) -> str | None:
    if check.purpose != "gold" or check.utterance_id not in state.gold:
        return None
    return state.gold[check.utterance_id].label


def _is_heard(settled: Mapping[str, Settled], utterance_id: str) -> bool:
    return any(utterance_id in state.gold for state in settled.values())


def _is_sure(settled: Mapping[str, Settled], utterance_id: str) -> bool:
    """Whether the answer is known under every scheme."""
    return all(_is_known(state, utterance_id) for state in settled.values())


def _is_known(state: Settled, utterance_id: str) -> bool:
    gold = state.gold.get(utterance_id)
    if gold is None:
        return False
    unanimous = gold.num_votes >= KNOWN_VOTES and len(gold.distribution) == 1
    return gold.standing == "decided" or unanimous


def _shift(utterance_id: str, number: int) -> int:
    """By how many ms the edges move when the clip is given out for the `number`-th time."""
    drawn = draw(f"{utterance_id}/{number}", "shift")
    least, most = SHIFT_MS
    size = round(least + abs(2 * drawn - 1) * (most - least))
    return size if drawn >= 0.5 else -size
