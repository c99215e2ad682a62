"""What to hear next: from candidates to an order, with a random control arm and quotas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
        if self.language:
            return f"language {self.language}"
        return f"{self.scheme} {self.label}"

    def admits(self, candidate: Candidate) -> bool:
        """Whether the candidate counts towards it.

        One about which the model abstains counts towards no label.
        """
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
        """The candidate's."""
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
        seed: Keep it for the life of a project, or the control arm starts again.

    Returns:
        First to hear first, the two arms mixed.

    Raises:
        ConfigError: An unknown strategy, a share out of range, a repeated id, or a strategy that
            lacks what it needs.
    """
    _check(
        candidates,
        count=count,
        random_share=random_share,
        quotas=quotas,
    )
    waiting = sorted(candidates, key=lambda candidate: draw(candidate.utterance_id, seed=seed))
    size = min(count, len(waiting))
    num_random = min(size, _round_up(random_share * size))
    control = waiting[:num_random]
    ranked = rank(
        waiting[num_random:],
        strategy=strategy,
        count=size - num_random,
        heard=[*heard, *control],
        seed=seed,
    )
    active = _fill_quotas(
        ranked,
        control,
        quotas,
        size=size - num_random,
        batch=size,
    )
    return _mix(active, control, seed=seed)


def fair_sample(
    heard_ids: Sequence[str],
    waiting_ids: Sequence[str],
    *,
    seed: int,
) -> list[str]:
    """The labelled utterances that are a random sample of all.

    They are those before the first unheard one in the control arm's order. Clips the strategy chose
    are among them where their turn had come anyway: their labels serve both arms.

    Args:
        seed: The one `choose_next` was given.
    """
    places = {utterance_id: draw(utterance_id, seed=seed) for utterance_id in heard_ids}
    unheard_places = (draw(utterance_id, seed=seed) for utterance_id in waiting_ids)
    first_unheard = min(unheard_places, default="~")
    sample = [utterance_id for utterance_id in heard_ids if places[utterance_id] < first_unheard]
    return sorted(sample, key=places.__getitem__)


def _round_up(clips: float) -> int:
    """To a whole clip; the errors of floating point make none."""
    return math.ceil(clips - 1e-9)


def _fill_quotas(
    ranked: Sequence[Ranked],
    control: Sequence[Candidate],
    quotas: Sequence[Quota],
    *,
    size: int,
    batch: int,
) -> list[Ranked]:
    """The first `size` of the order, with the last ones given up for clips a quota still wants."""
    reserved: dict[str, Quota] = {}
    for quota in quotas:
        reserved_clips = [r.candidate for r in ranked if r.utterance_id in reserved]
        num_admitted = sum(map(quota.admits, [*control, *reserved_clips]))
        num_missing = max(0, _round_up(quota.share * batch) - num_admitted)
        room = size - len(reserved)

        admitted = [r.utterance_id for r in ranked if quota.admits(r.candidate)]
        new_ids = [utterance_id for utterance_id in admitted if utterance_id not in reserved]
        for utterance_id in new_ids[: min(num_missing, room)]:
            reserved[utterance_id] = quota

    unreserved = [r.utterance_id for r in ranked if r.utterance_id not in reserved]
    chosen_ids = {*reserved, *unreserved[: size - len(reserved)]}
    chosen_anyway = {r.utterance_id for r in ranked[:size]}
    filled = []
    for clip in ranked:
        if clip.utterance_id not in chosen_ids:
            continue
        if clip.utterance_id not in chosen_anyway:
            reason = f"{clip.reason}; quota {reserved[clip.utterance_id]}"
            clip = replace(clip, reason=reason)
        filled.append(clip)
    return filled


def _mix(
    active: Sequence[Ranked],
    control: Sequence[Candidate],
    *,
    seed: int,
) -> list[Choice]:
    """Both arms in one order.

    The control clips lie at random places, so that tiredness and practice fall on both alike.
    """
    size = len(active) + len(control)
    control_ids = [candidate.utterance_id for candidate in control]
    start = int(digest("mix", seed, *control_ids)[:8], 16)
    rng = np.random.default_rng(start)
    control_places = set(rng.permutation(size)[: len(control)].tolist())

    next_active = iter(active)
    next_control = iter(control)
    choices = []
    for place in range(size):
        score = round((size - place) / size, 6)
        if place in control_places:
            choice = Choice(
                candidate=next(next_control),
                arm="random",
                score=score,
                reason="random control arm",
            )
        else:
            best = next(next_active)
            choice = Choice(
                candidate=best.candidate,
                arm="active",
                score=score,
                reason=best.reason,
            )
        choices.append(choice)
    return choices


def _check(
    candidates: Sequence[Candidate],
    *,
    count: int,
    random_share: float,
    quotas: Sequence[Quota],
) -> None:
    if count < 1:
        raise ConfigError(f"{count} clips cannot be chosen; ask for 1 or more")
    if not MIN_RANDOM_SHARE <= random_share <= 1:
        raise ConfigError(
            f"the random control arm's share is {random_share}; "
            f"it must be {MIN_RANDOM_SHARE} to 1 and is never turned off"
        )
    for quota in quotas:
        _check_quota(quota)
    ids = [candidate.utterance_id for candidate in candidates]
    if len(set(ids)) < len(ids):
        twice = next(utterance_id for utterance_id in ids if ids.count(utterance_id) > 1)
        raise ConfigError(f"utterance {twice} is a candidate twice; list it once")


def _check_quota(quota: Quota) -> None:
    if not 0 < quota.share <= 1:
        raise ConfigError(
            f"the quota for {quota} is {quota.share}; a share is more than 0 and at most 1"
        )
    about_language = bool(quota.language)
    about_label = bool(quota.scheme)
    if about_language == about_label or about_label != bool(quota.label):
        raise ConfigError(f"a quota names a language, or a scheme and a label; got {quota!r}")
