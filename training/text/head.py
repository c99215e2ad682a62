"""A linear head on transcripts: weighed n-grams in, one probability per label out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        return np.array([bool(normalise_text(text)) for text in self.texts], dtype=bool)


def fit_text_head(heard: Heard, targets: Floats, config: TrainingConfig) -> TextHead | None:
    """Fit a logistic regression on the texts that can be read; equal inputs give equal weights.

    Args:
        targets: (num_clips, num_labels); rows add up to 1.

    Returns:
        None when the readable texts have fewer than two labels.
    """
    read = np.flatnonzero(heard.is_readable)
    texts = [heard.texts[place] for place in read]
    languages = [heard.languages[place] for place in read]
    shares = targets[read]
    present = np.flatnonzero(shares.sum(axis=0) > 0)
    if len(present) < 2:
        return None

    vectors = TextVectors(config.text)
    rarity = _inverse_frequency(vectors, texts)
    inputs = vectors.weigh(texts, languages, rarity.astype(float))
    coefficients, intercepts = _fit_logistic(inputs, shares[:, present], config)
    weights = np.zeros((targets.shape[1], inputs.shape[1]), np.float32)
    bias = np.full(targets.shape[1], UNHEARD_BIAS, np.float32)
    weights[present] = coefficients
    bias[present] = intercepts
    return TextHead(config=config.text, rarity=rarity, weights=weights, bias=bias)


def _inverse_frequency(vectors: TextVectors, texts: Sequence[str]) -> Singles:
    """(num_columns,) 1 + log((n + 1) / (texts with it + 1)), as scikit-learn smooths it."""
    occurs = vectors.count(texts) > 0
    num_texts_with = np.asarray(occurs.sum(axis=0)).ravel()
    frequency = (1 + num_texts_with) / (1 + len(texts))
    return (1 - np.log(frequency)).astype(np.float32)


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
        importance = importance * _balance(shares)[labels]
    model = LogisticRegression(C=1 / config.text.penalty, max_iter=MAX_STEPS)
    model.fit(inputs[texts], labels, sample_weight=importance)
    if len(model.coef_) > 1:
        return model.coef_, model.intercept_
    # Of two labels scikit-learn keeps what speaks for the second.
    zeros = np.zeros_like(model.coef_)
    return np.vstack([zeros, model.coef_]), np.append(0.0, model.intercept_)


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
        num_labels = len(self._head.bias)
        answers = np.full((len(heard.texts), num_labels), 1 / num_labels)
        for place in np.flatnonzero(heard.is_readable):
            row = self._vectors.weigh(
                [heard.texts[place]],
                [heard.languages[place]],
                self._rarity,
            )
            scores = (row @ self._weights)[0] + self._head.bias
            odds = np.exp(scores - scores.max())
            answers[place] = odds / odds.sum()
        return answers


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
    if len(head.rarity) != config.num_columns or len(head.weights) != len(head.bias):
        raise ValueError(f"a text head of {head.weights.shape} does not fit its configuration")
    return head
