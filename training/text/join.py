"""Two answers to one clip, by its sound and by its text, joined into one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from training.config import TextConfig
from training.metrics import Floats
from voxdata.errors import TrainingError

_EXPONENTS = (0.125, 0.18, 0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8)
_LEAST = 1e-9
PULL = 1.0
"""How many nats the validation clips must gain for a step away from equal shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """The joined probability is in proportion to `audio ** a * text ** t`.

    An exponent is at once how far a head is to be trusted and how sharp its probabilities are to
    be, so both are calibrated by it.

    Attributes:
        audio: Exponent of the audio head's probabilities.
        text: Exponent of the text head's.
    """

    audio: float
    text: float


_JOINS = [Join(audio=audio, text=text) for audio, text in product(_EXPONENTS, repeat=2)]
"""None is 0: the sound has a say where there are no words."""


def default_join(config: TextConfig) -> Join:
    """Where nothing tells which head to trust."""
    return Join(audio=1 - config.share, text=config.share)


def choose_join(audio: Floats, text: Floats, targets: Floats) -> Join:
    """The exponents under which clips of voices unheard in training are most probable.

    Labels count alike. Few clips cannot move the exponents far from equal shares, or they would
    make a head that errs nowhere among them surer than it is.

    Args:
        audio: (num_clips, num_labels) probabilities; at least one clip.
        text: As `audio`.
        targets: (num_clips, num_labels); rows add up to 1.
    """
    weights = _weigh_clips(targets)
    costs: list[float] = []
    for join in _JOINS:
        answers = join_answers(join, audio, text)
        loss = _loss(answers, targets, weights)
        costs.append(loss + PULL * _distance(join))
    best = int(np.argmin(costs))
    return _JOINS[best]


def _distance(join: Join) -> float:
    """How far exponents are from equal shares: twofold sharper, or one head alone, is 1."""
    total = join.audio + join.text
    difference = join.audio - join.text
    sharpness = math.log2(total)
    return abs(sharpness) + abs(difference) / total


def _weigh_clips(targets: Floats) -> Floats:
    """(num_clips,): what makes each label count alike; they add up to the number of clips."""
    mass = targets.sum(axis=0)
    per_label = np.zeros_like(mass)
    np.divide(1.0, mass, out=per_label, where=mass > 0)
    weights: Floats = targets @ per_label
    weights *= len(weights) / weights.sum()
    return weights


def _loss(answers: Floats, targets: Floats, weights: Floats) -> float:
    """Weighted cross-entropy."""
    losses = -(targets * _logarithms(answers)).sum(axis=1)
    return float(weights @ losses)


def _logarithms(probabilities: Floats) -> Floats:
    """Finite also where a label is impossible."""
    floored = np.maximum(probabilities, _LEAST)
    logarithms: Floats = np.log(floored)
    return logarithms


def join_parts(join: Join | None, audio: Floats | None, text: Floats | None) -> Floats:
    """The answers of a model: joined, or those of the only head that it has.

    Args:
        join: None with one head.
        audio: (num_clips, num_labels) probabilities; None without an audio head.
        text: As `audio`.

    Raises:
        TrainingError: It has no head, or two that nothing joins.
    """
    if text is None:
        if audio is None:
            raise TrainingError("a model has neither an audio head nor a text head; train again")
        return audio
    if audio is None:
        return text
    if join is None:
        raise TrainingError("a model has two heads and nothing joins them; train again")
    return join_answers(join, audio, text)


def join_answers(join: Join, audio: Floats, text: Floats) -> Floats:
    """(num_clips, num_labels) probabilities; a row depends on no other.

    Where the text says nothing, all its labels being equal, the sound alone decides.
    """
    scores = join.audio * _logarithms(audio)
    scores += join.text * _logarithms(text)
    scores -= scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    joined: Floats = odds / odds.sum(axis=1, keepdims=True)
    return joined
