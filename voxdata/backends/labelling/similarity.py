"""Cold-start intent: how similar a text is to the example phrases of a scheme.

Source: N. Reimers and I. Gurevych, Sentence-BERT, EMNLP 2019; the model is all-MiniLM-L6-v2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.backends.weights import locate, revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Distribution
from voxdata.ports import Clip
from voxdata.scheme import Scheme, SchemeLabel

Floats = npt.NDArray[np.float32]

MAX_TOKENS = 256
NEAREST = 2
"""A label is as close as the mean of its nearest examples."""


class SimilarityLabeler:
    """The Labeler port by comparison with example phrases.

    Nobody trained it for the scheme, so it is weak.

    It reads English. For any other language and for text without a letter or digit it abstains: all
    labels get the same probability.

    Args:
        scheme: Every label needs example phrases.
        temperature: The temperature of the softmax over cosine similarities; lower is more decided.

    Raises:
        BackendError: A label has no example.
    """

    def __init__(self, *, scheme: Scheme, temperature: float = 0.08) -> None:
        phrases = [_phrases(label) for label in scheme.labels]
        bare = [name for name, own in zip(scheme.label_names, phrases, strict=True) if not own]
        if bare:
            raise BackendError(
                f"scheme {scheme.name!r}: `similarity` needs example phrases "
                f"for {', '.join(bare)}; add `examples` in voxdata.toml"
            )
        self._phrases = phrases
        self._scheme = scheme
        self._temperature = temperature
        self._sentences: SentenceModel | None = None
        self._examples: list[Floats] = []

    @property
    def model(self) -> ModelRef:
        """What is running; a changed example phrase makes it another model."""
        phrases = {label.name: list(label.examples) for label in self._scheme.labels}
        return ModelRef(
            name=f"cold-start/similarity-{self._scheme.name}",
            revision=sentence_revision(),
            params={
                "examples": digest(canonical_json(phrases)),
                "temperature": self._temperature,
                "nearest": NEAREST,
                "rules": 2,
            },
            weak=True,
        )

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        return [self._label(clip) for clip in clips]

    def _label(self, clip: Clip) -> Distribution:
        names = self._scheme.label_names
        is_readable = clip.language == "en" and any(map(str.isalnum, clip.text))
        if not is_readable:
            return dict.fromkeys(names, 1 / len(names))

        (vector,) = self._load().embed([clip.text])
        scores = np.array([_closeness(examples, vector) for examples in self._examples])
        weights = np.exp((scores - scores.max()) / self._temperature)
        shares = weights / weights.sum()
        return dict(zip(names, map(float, shares), strict=True))

    def _load(self) -> SentenceModel:
        if self._sentences is None:
            sentences = SentenceModel()
            self._examples = [sentences.embed(phrases) for phrases in self._phrases]
            self._sentences = sentences
        return self._sentences


def _phrases(label: SchemeLabel) -> list[str]:
    return [example for example in label.examples if example.strip()]


def _closeness(examples: Floats, vector: Floats) -> np.float32:
    """The mean cosine of a text to the nearest of a label's examples."""
    cosines: Floats = np.sort(examples @ vector)
    return np.float32(cosines[-NEAREST:].mean())


def sentence_revision() -> str:
    """Changes with the weights of the sentence model."""
    return revision("minilm.onnx", "minilm.onnx_data", "minilm.tokenizer")


class SentenceModel:
    """Texts to unit vectors; it reads English."""

    def __init__(self) -> None:
        import onnxruntime  # type: ignore[import-untyped]
        from tokenizers import Tokenizer

        locate("minilm.onnx_data")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(locate("minilm.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )
        self._tokenizer: Any = Tokenizer.from_file(str(locate("minilm.tokenizer")))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._inputs = {entry.name for entry in self._session.get_inputs()}

    def embed(self, texts: Sequence[str]) -> Floats:
        """(num_texts, 384) of length 1; one at a time, so that none depends on its neighbours."""
        return np.asarray([self._embed(text) for text in texts], dtype=np.float32)

    def _embed(self, text: str) -> Floats:
        """(384,): the mean over the tokens, of length 1."""
        encoding = self._tokenizer.encode(text)
        ids = np.array([encoding.ids], dtype=np.int64)
        known_inputs = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        inputs = {name: known_inputs[name] for name in known_inputs if name in self._inputs}
        hidden = self._session.run(None, inputs)[0]
        mean: Floats = hidden[0].mean(axis=0)
        length = max(float(np.linalg.norm(mean)), 1e-12)
        return mean / length
