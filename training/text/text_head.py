"""A linear head on transcripts: weighed n-grams in, one probability per label out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.config import TextConfig, TrainingConfig
from training.metrics import Floats
from training.text.normal import normalise_text
from training.text.vectors import TextVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

Singles = npt.NDArray[np.float32]

UNHEARD_BIAS = -30.0
"""Of a label that no training text has: it is never said."""

MAX_STEPS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextHead:
    """What was learnt from texts.

    Attributes:
        config: How a text becomes a vector.
        rarity: (num_columns,) inverse document frequency of each column.
        weights: (num_labels, num_inputs); the inputs are the columns, then the sentence model's.
        bias: (num_labels,).
    """

    config: TextConfig
    rarity: Singles
    weights: Singles
    bias: Singles


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the machine heard in some clips, in their order.

    Attributes:
        texts: "" where nothing is on record.
        languages: BCP 47 primary subtags.
    """

    texts: Sequence[str]
    languages: Sequence[str]

    @property
    def is_readable(self) -> npt.NDArray[np.bool_]:
        """(num_clips,): whether there is a letter or digit in the text."""
        words = map(normalise_text, self.texts)
        return np.array(list(map(bool, words)), dtype=bool)

    def take(self, places: Iterable[int]) -> Heard:
        """Some of the clips."""
        chosen = list(places)
        return Heard(
            texts=[self.texts[place] for place in chosen],
            languages=[self.languages[place] for place in chosen],
        )


def fit_text_head(heard: Heard, targets: Floats, config: TrainingConfig) -> TextHead | None:
    """Fit a logistic regression on the texts that can be read; equal inputs give equal weights.

    Args:
        targets: (num_clips, num_labels); rows add up to 1.

    Returns:
        None when the readable texts have fewer than two labels.
    """
    places = np.flatnonzero(heard.is_readable)
    shares = targets[places]
    mass = shares.sum(axis=0)
    present = np.flatnonzero(mass)
    if len(present) < 2:
        return None

    readable = heard.take(places)
    vectors = TextVectors(config.text)
    rarity = _inverse_frequency(vectors, readable.texts)
    inputs = vectors.weigh(
        readable.texts,
        readable.languages,
        rarity.astype(float),
    )
    coefficients, intercepts = _fit_logistic(inputs, shares[:, present], config)

    num_labels = len(mass)
    num_inputs = inputs.shape[1]
    weights = np.zeros((num_labels, num_inputs), np.float32)
    weights[present] = coefficients
    bias = np.full(num_labels, UNHEARD_BIAS, np.float32)
    bias[present] = intercepts
    return TextHead(
        config=config.text,
        rarity=rarity,
        weights=weights,
        bias=bias,
    )


def _inverse_frequency(vectors: TextVectors, texts: Sequence[str]) -> Singles:
    """(num_columns,) 1 + log((n + 1) / (texts with it + 1)), as scikit-learn smooths it."""
    occurs = vectors.count(texts) > 0
    num_with = np.asarray(occurs.sum(axis=0))
    frequency = (num_with + 1) / (len(texts) + 1)
    rarity = 1 - np.log(frequency.ravel())
    return rarity.astype(np.float32)


def _fit_logistic(
    inputs: csr_matrix, shares: Floats, config: TrainingConfig
) -> tuple[Floats, Floats]:
    """Weights and biases of the labels.

    Args:
        inputs: (num_texts, num_inputs), sparse.
        shares: (num_texts, num_labels); each label has some.
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    # A text whose votes differ is learnt once for each of its labels, by their shares.
    texts, labels = np.nonzero(shares)
    importance = shares[texts, labels]
    if config.fit.class_weights:
        importance *= _balance(shares)[labels]
    strength = 1 / config.text.penalty
    model = LogisticRegression(C=strength, max_iter=MAX_STEPS)
    model.fit(inputs[texts], labels, sample_weight=importance)
    weights: Floats = model.coef_
    bias: Floats = model.intercept_
    if len(weights) == 1:
        # Of two labels scikit-learn keeps what speaks for the second.
        weights = np.vstack([np.zeros_like(weights), weights])
        bias = np.append(0.0, bias)
    return weights, bias


def _balance(shares: Floats) -> Floats:
    """(num_labels,): the inverse frequency of each label; 1 where all are equally frequent."""
    mass = shares.sum(axis=0)
    balanced: Floats = mass.sum() / (len(mass) * mass)
    return balanced


class TextReader:
    """Answers by a text head. An answer depends on no other text.

    Args:
        head: See `fit_text_head`.
    """

    def __init__(self, head: TextHead) -> None:
        self._head = head
        self._vectors = TextVectors(head.config)
        self._rarity = head.rarity.astype(float)
        self._weights = head.weights.astype(float).T

    def answer(self, heard: Heard) -> Floats:
        """(num_clips, num_labels) probabilities; all equal where there is no letter or digit."""
        num_clips = len(heard.texts)
        num_labels = len(self._head.bias)
        answers = np.full((num_clips, num_labels), 1 / num_labels)
        for place in np.flatnonzero(heard.is_readable):
            answers[place] = self._answer(heard.take([place]))
        return answers

    def _answer(self, heard: Heard) -> Floats:
        """(num_labels,) probabilities for one clip."""
        row = self._vectors.weigh(heard.texts, heard.languages, self._rarity)
        (scores,) = row @ self._weights
        scores += self._head.bias
        odds = np.exp(scores - scores.max())
        shares: Floats = odds / odds.sum()
        return shares


def encode_text_head(head: TextHead) -> dict[str, npt.NDArray[np.float32]]:
    """Its tensors by name."""
    return {"rarity": head.rarity, "weights": head.weights, "bias": head.bias}


def decode_text_head(
    tensors: Mapping[str, npt.NDArray[np.float32]], config: TextConfig
) -> TextHead:
    """The inverse of `encode_text_head`.

    Raises:
        KeyError: A tensor is missing.
        ValueError: One has another shape than the configuration asks for.
    """
    head = TextHead(
        config=config,
        rarity=tensors["rarity"],
        weights=tensors["weights"],
        bias=tensors["bias"],
    )
    num_labels = len(head.bias)
    fits = len(head.rarity) == config.num_columns and len(head.weights) == num_labels
    if not fits:
        raise ValueError(f"a text head of {head.weights.shape} does not fit its configuration")
    return head
