"""An utterance that may be heard next, and how unsure a model is of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from voxdata.identity import digest
from voxdata.label import Distribution, leading_label

Arm = Literal["active", "random"]
"""Who chose a clip: the strategy, or the control's chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An utterance nobody has labelled yet (or, as `heard`, one that somebody has).

    Attributes:
        distributions: Scheme -> the model's probabilities; a scheme may be missing, and all are
            before there is a model.
        embedding: (dim,) float32, such as the pooled states of an encoder; None when there is none.
        language: BCP 47 code; "" when unknown.
        num_words: The number of words of the transcript; 0 when there is none.
        overlap_ratio: Part of the duration in which somebody else speaks too, 0..1.
    """

    utterance_id: str
    duration_ms: int
    distributions: Mapping[str, Distribution] = field(default_factory=dict)
    embedding: npt.NDArray[np.float32] | None = field(
        default=None,
        compare=False,
        repr=False,
    )
    language: str = ""
    num_words: int = 0
    overlap_ratio: float = 0.0

    @property
    def predicted(self) -> bool:
        """Whether a model has looked at it."""
        return any(self.distributions.values())

    @property
    def guessed(self) -> bool:
        """Whether a model stands for a label under some scheme; one that abstains does not."""
        return any(leading_label(distribution) for distribution in self.distributions.values())


def doubt(candidate: Candidate) -> float:
    """How close the two likeliest labels are, 0..1, mean over the schemes.

    It is 1 when no model has said anything, and where it abstains.

    >>> guess = {"sad": 0.5, "calm": 0.25, "angry": 0.25}
    >>> doubt(Candidate(utterance_id="u", duration_ms=900, distributions={"emotion": guess}))
    0.75
    """
    return _mean(candidate, _closeness)


def entropy(candidate: Candidate) -> float:
    """Entropy of the predicted labels over its largest value, 0..1, mean over the schemes.

    It is 1 when no model has said anything.
    """
    return _mean(candidate, _spread)


def draw(utterance_id: str, *, seed: int) -> str:
    """The utterance's place in the random order of a seed."""
    return digest("acquisition", seed, utterance_id)


def _closeness(distribution: Distribution) -> float:
    largest_first = sorted([*distribution.values(), 0.0, 0.0], reverse=True)
    return 1 - (largest_first[0] - largest_first[1])


def _spread(distribution: Distribution) -> float:
    if len(distribution) < 2:
        return 0.0
    terms = [p * math.log(p) for p in distribution.values() if p > 0]
    return -sum(terms) / math.log(len(distribution))


def _mean(candidate: Candidate, measure: Callable[[Distribution], float]) -> float:
    """Mean of a measure over the schemes with a prediction; 1 without any."""
    predictions = filter(None, candidate.distributions.values())
    values = [measure(distribution) for distribution in predictions]
    return sum(values) / len(values) if values else 1.0
