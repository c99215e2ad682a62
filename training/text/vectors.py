"""Texts as vectors: character n-grams, and a sentence model's vector beside them.

The n-grams are hashed, so that no list of words that somebody said lies beside a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.config import TextConfig
from training.metrics import Floats
from training.text.normal import normalise_text

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    from voxdata.backends.labelling.similarity import SentenceModel

SENTENCE_LANGUAGE = "en"
"""The language that the packaged sentence model reads."""

SENTENCE_DIM = 384


class TextVectors:
    """Turns transcripts into vectors, each from its own text alone.

    Args:
        config: Decides by its n-grams and its sentence model.
    """

    def __init__(self, config: TextConfig) -> None:
        from sklearn.feature_extraction.text import (  # type: ignore[import-untyped]
            HashingVectorizer,
        )

        self._hashing = HashingVectorizer(
            analyzer="char_wb",
            ngram_range=(config.shortest, config.longest),
            n_features=config.num_columns,
            alternate_sign=False,
            norm=None,
            lowercase=False,
        )
        self._reads_sentences = config.sentence_model
        self._sentences: SentenceModel | None = None

    def count(self, texts: Sequence[str]) -> csr_matrix:
        """(num_texts, num_columns): 1 + the logarithm of how often each n-gram occurs."""
        counts = self._hashing.transform(map(normalise_text, texts))
        counts.data = 1 + np.log(counts.data)
        return counts

    def weigh(self, texts: Sequence[str], languages: Sequence[str], rarity: Floats) -> csr_matrix:
        """(num_texts, num_columns, and SENTENCE_DIM more with a sentence model).

        Either part has length 1, or 0 where there is nothing to read.

        Args:
            rarity: (num_columns,) by which each n-gram counts.
        """
        from scipy.sparse import csr_matrix, hstack
        from sklearn.preprocessing import normalize  # type: ignore[import-untyped]

        weighed = self.count(texts).multiply(rarity).tocsr()
        ngrams = normalize(weighed)
        if not self._reads_sentences:
            return ngrams
        sentences = np.zeros((len(texts), SENTENCE_DIM))
        for row, text, language in zip(sentences, texts, languages, strict=True):
            if language == SENTENCE_LANGUAGE and normalise_text(text):
                row[:] = self._embed(text)
        return hstack([ngrams, csr_matrix(sentences)], format="csr")

    def _embed(self, text: str) -> Floats:
        """(SENTENCE_DIM,) of length 1. The model is loaded with the first text that it reads."""
        if self._sentences is None:
            self._sentences = _load_sentence_model()
        vectors = self._sentences.embed([text])
        vector: Floats = vectors[0].astype(float)
        return vector


def sentence_model(config: TextConfig) -> str:
    """The revision of the sentence model that a configuration reads with; "" for none."""
    if not config.sentence_model:
        return ""
    from voxdata.backends.labelling.similarity import sentence_revision

    return sentence_revision()


def _load_sentence_model() -> SentenceModel:
    from voxdata.backends.labelling.similarity import SentenceModel

    return SentenceModel()
