"""Two answers to one clip, by its sound and by its text, joined into one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from training.config import TextConfig
from training.metrics import Floats
from voxdata.errors import TrainingError

_EXPONENTS = (0.0, *(2.0 ** (half / 2) for half in range(-6, 7)))
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


_PAIRS = [pair for pair in product(_EXPONENTS, repeat=2) if any(pair)]
_JOINS = tuple(Join(audio=audio, text=text) for audio, text in _PAIRS)


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
        costs.append(_loss(answers, targets, weights) + PULL * _distance(join))
    return _JOINS[int(np.argmin(costs))]


def _distance(join: Join) -> float:
    """How far exponents are from equal shares: twofold sharper, or one head alone, is 1."""
    total = join.audio + join.text
    return abs(math.log2(total)) + abs(join.audio - join.text) / total


def _weigh_clips(targets: Floats) -> Floats:
    """(num_clips,): what makes each label count alike; they add up to the number of clips."""
    mass = targets.sum(axis=0)
    per_label = np.divide(1.0, mass, out=np.zeros_like(mass), where=mass > 0)
    weights = targets @ per_label
    balanced: Floats = weights * len(weights) / weights.sum()
    return balanced


def _loss(answers: Floats, targets: Floats, weights: Floats) -> float:
    """Weighted cross-entropy."""
    logarithms = np.log(np.maximum(answers, _LEAST))
    return float(-weights @ (targets * logarithms).sum(axis=1))


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
    scores = join.audio * np.log(np.maximum(audio, _LEAST))
    scores = scores + join.text * np.log(np.maximum(text, _LEAST))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    joined: Floats = odds / odds.sum(axis=1, keepdims=True)
    return joined
