"""What to hear next: from candidates to an order, with a random control arm and quotas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotation.candidate import Arm, Candidate, draw
from annotation.strategies import Ranked, rank
from voxdata.errors import ConfigError
from voxdata.identity import digest
from voxdata.label import leading_label

MIN_RANDOM_SHARE = 0.02
"""The control arm is never smaller: without it nobody can say what the choosing is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A smallest share of a batch, for clips of one language or clips the model gives one label.

    Attributes:
        share: 0..1 of the whole batch, rounded up to a clip.
        scheme: With `label`: which scheme's prediction; "" for a language quota.
    """

    share: float
    language: str = ""
    scheme: str = ""
    label: str = ""

    def __str__(self) -> str:
        """As it stands in a reason: "language zh", "emotion angry"."""
        return f"language {self.language}" if self.language else f"{self.scheme} {self.label}"

    def admits(self, candidate: Candidate) -> bool:
        """Whether the candidate counts towards it; one about which the model abstains counts
        towards no label."""
        if self.language:
            return candidate.language == self.language
        distribution = candidate.distributions.get(self.scheme)
        return leading_label(distribution or {}) == self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A clip to hear.

    Attributes:
        arm: "random" when it belongs to the control arm; annotators must not see which.
        score: 1 for the first of the batch, falling evenly to more than 0: what the queue sorts by.
        reason: For people, such as "hybrid: doubt 0.93".
    """

    candidate: Candidate
    arm: Arm
    score: float
    reason: str

    @property
    def utterance_id(self) -> str:
        """Of the candidate."""
        return self.candidate.utterance_id


def choose_next(
    candidates: Sequence[Candidate],
    *,
    count: int,
    strategy: str = "hybrid",
    heard: Sequence[Candidate] = (),
    random_share: float = 0.1,
    quotas: Sequence[Quota] = (),
    seed: int = 0,
) -> list[Choice]:
    """Choose a batch: the control arm first, then quotas, then the strategy's order.

    The control arm walks all utterances, heard or not, in the order of a hash of seed and id, and
    takes the next unheard ones. So what `fair_sample` returns is a random sample of everything,
    which active choices cannot bias.

    Args:
        candidates: What may be chosen; the order does not matter.
        count: Clips wanted; fewer come back when there are fewer candidates.
        strategy: One of STRATEGIES.
        heard: What was labelled before or is in the queue already: the strategies that spread keep
            away from it.
        random_share: Of the batch, for the control arm; at least MIN_RANDOM_SHARE.
        quotas: Earlier ones win where there is no room for all. One that too few candidates admit
            is filled as far as it goes.
        seed: Keep it for the life of a project, or the control arm starts anew.

    Returns:
        First to hear first, the two arms mixed.

    Raises:
        ConfigError: An unknown strategy, a share out of range, a repeated id, or a strategy that
            lacks what it needs.
    """
    _check(candidates, count=count, random_share=random_share, quotas=quotas)
    waiting = sorted(candidates, key=lambda c: draw(c.utterance_id, seed=seed))
    size = min(count, len(waiting))
    num_random = min(size, math.ceil(random_share * size - 1e-9))
    control, rest = waiting[:num_random], waiting[num_random:]
    ranked = rank(
        rest, strategy=strategy, count=size - num_random, heard=[*heard, *control], seed=seed
    )
    active = _fill_quotas(ranked, control, quotas, size=size - num_random, batch=size)
    return _mix(active, control, seed=seed)


def fair_sample(heard_ids: Sequence[str], waiting_ids: Sequence[str], *, seed: int) -> list[str]:
    """The labelled utterances that are a random sample of all: those before the first unheard one
    in the control arm's order.

    Clips the strategy chose are among them where their turn had come anyway: their labels serve
    both arms.

    Args:
        seed: The one `choose_next` was given.
    """
    unheard = min((draw(utterance_id, seed=seed) for utterance_id in waiting_ids), default="~")
    return sorted(
        (i for i in heard_ids if draw(i, seed=seed) < unheard), key=lambda i: draw(i, seed=seed)
    )


def _fill_quotas(
    ranked: list[Ranked],
    control: Sequence[Candidate],
    quotas: Sequence[Quota],
    *,
    size: int,
    batch: int,
) -> list[Ranked]:
    """The first `size` of the order, with the last ones given up for clips a quota still wants."""
    reserved: dict[str, str] = {}
    for quota in quotas:
        met = [*control, *(r.candidate for r in ranked if r.candidate.utterance_id in reserved)]
        wanted = max(0, math.ceil(quota.share * batch - 1e-9) - sum(map(quota.admits, met)))
        admitted = [r.candidate.utterance_id for r in ranked if quota.admits(r.candidate)]
        admitted = [utterance_id for utterance_id in admitted if utterance_id not in reserved]
        reserved |= dict.fromkeys(admitted[: min(wanted, size - len(reserved))], str(quota))
    free = size - len(reserved)
    plain = {
        r.candidate.utterance_id
        for r in [r for r in ranked if r.candidate.utterance_id not in reserved][:free]
    }
    would = {r.candidate.utterance_id for r in ranked[:size]}
    return [
        Ranked(
            candidate=r.candidate,
            reason=r.reason if i in would else f"{r.reason}; quota {reserved[i]}",
        )
        for r in ranked
        if (i := r.candidate.utterance_id) in plain or i in reserved
    ]


def _mix(active: Sequence[Ranked], control: Sequence[Candidate], *, seed: int) -> list[Choice]:
    """Both arms in one order: the control clips at random places, so that tiredness and practice
    fall on both alike."""
    size = len(active) + len(control)
    start = int(digest("mix", seed, *(c.utterance_id for c in control))[:8], 16)
    places = set(np.random.default_rng(start).permutation(size)[: len(control)].tolist())
    chosen, drawn = iter(active), iter(control)
    out = []
    for place in range(size):
        score = round((size - place) / size, 6)
        if place in places:
            out.append(
                Choice(
                    candidate=next(drawn), arm="random", score=score, reason="random control arm"
                )
            )
        else:
            best = next(chosen)
            out.append(
                Choice(candidate=best.candidate, arm="active", score=score, reason=best.reason)
            )
    return out


def _check(
    candidates: Sequence[Candidate], *, count: int, random_share: float, quotas: Sequence[Quota]
) -> None:
    if count < 1:
        raise ConfigError(f"{count} clips cannot be chosen; ask for 1 or more")
    if not MIN_RANDOM_SHARE <= random_share <= 1:
        raise ConfigError(
            f"the random control arm's share is {random_share}; it must be {MIN_RANDOM_SHARE} to 1 and is never turned off"
        )
    for quota in quotas:
        if not 0 < quota.share <= 1:
            raise ConfigError(
                f"the quota for {quota} is {quota.share}; a share is more than 0 and at most 1"
            )
        if bool(quota.language) == bool(quota.scheme) or bool(quota.scheme) != bool(quota.label):
            raise ConfigError(f"a quota names a language, or a scheme and a label; got {quota!r}")
    ids = [c.utterance_id for c in candidates]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise ConfigError(f"utterance {twice} is a candidate twice; list it once")
