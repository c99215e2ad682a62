"""Transcription with word times by Whisper models on CTranslate2 (faster-whisper).

Source: A. Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022; the cutting into windows follows
M. Bain et al., WhisperX, INTERSPEECH 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from voxdata.backends.weights import locate, revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment, union
from voxdata.utterance import Transcript, Word

PACKAGED: dict[str, dict[str, tuple[str, ...]]] = {
    "packaged-base": {
        "model.bin": ("whisper-base.part1", "whisper-base.part2"),
        "config.json": ("whisper-base.config.json",),
        "tokenizer.json": ("whisper-base.tokenizer.json",),
        "vocabulary.json": ("whisper-base.vocabulary.json",),
    },
    "packaged-tiny.en": {
        "model.bin": ("whisper-tiny.en.model.bin",),
        "config.json": ("whisper-tiny.en.config.json",),
        "tokenizer.json": ("whisper-tiny.en.tokenizer.json",),
        "vocabulary.txt": ("whisper-tiny.en.vocabulary.txt",),
    },
}
"""Model name -> file the library expects -> packaged files it is made of, one after the other."""

WINDOW_MS = 28_000
GAP_MS = 2_000
EDGE_MS = 200
TOLERANCE_MS = 400


class WhisperTranscriber:
    """The Transcriber port on faster-whisper.

    Args:
        model: "packaged-base" (multilingual), "packaged-tiny.en" (English), or a faster-whisper size, hub id or folder.
        language: BCP 47 primary subtag; None detects it from the speech.
        beam_size: 1 is greedy.
        threads: CPU threads.
        compute_type: Of CTranslate2, such as "int8" or "float16".
        device: "auto", "cpu" or "cuda".
        cache_dir: Where hub downloads go.

    Raises:
        BackendError: Weights are missing, or the hub model cannot be had.
    """

    def __init__(
        self,
        *,
        model: str = "packaged-base",
        language: str | None = None,
        beam_size: int = 1,
        threads: int = 2,
        compute_type: str = "int8",
        device: str = "auto",
        cache_dir: str | None = None,
    ) -> None:
        self._name = model
        self._language = language
        self._beam_size = beam_size
        self._threads = threads
        self._compute_type = compute_type
        self._device = device
        self._cache_dir = cache_dir
        self._whisper: Any = None

    @property
    def model(self) -> ModelRef:
        """What is running."""
        packaged = PACKAGED.get(self._name)
        parts = [part for names in packaged.values() for part in names] if packaged else []
        return ModelRef(
            name=f"whisper/{self._name}",
            revision=revision(*parts) if packaged else self._name,
            params={"language": self._language, "beam_size": self._beam_size, "compute_type": self._compute_type},
        )

    def transcribe(self, samples: Samples, *, speech: Sequence[Segment]) -> Transcript:
        """See `Transcriber.transcribe`. The language is detected from the first 30 s of speech, wherever that is."""
        end_ms = len(samples) * 1000 // MODEL_RATE_HZ
        inside = [Segment(start_ms=s.start_ms, end_ms=min(s.end_ms, end_ms)) for s in speech if s.start_ms < end_ms]
        spoken = union(inside)
        if not spoken:
            return Transcript(language="und", language_probability=0.0, words=(), model=self.model)
        whisper = self._load()
        language, probability = self._detect_language(whisper, samples, spoken)
        words: list[Word] = []
        for window in cut_windows(spoken, end_ms=end_ms):
            words += self._transcribe_window(whisper, samples, window, language=language)
        kept = tuple(w for w in words if any(_near(w.segment, s) for s in spoken))
        return Transcript(language=language, language_probability=probability, words=kept, model=self.model)

    def _detect_language(self, whisper: Any, samples: Samples, spoken: Sequence[Segment]) -> tuple[str, float]:
        if self._language is not None:
            return self._language, 1.0
        if not whisper.model.is_multilingual:
            return "en", 1.0
        heard = np.concatenate([_cut(samples, s) for s in spoken])[: 30 * MODEL_RATE_HZ]
        language, probability, _ = whisper.detect_language(heard)
        return str(language), float(probability)

    def _transcribe_window(self, whisper: Any, samples: Samples, window: Segment, *, language: str) -> list[Word]:
        segments, _ = whisper.transcribe(
            _cut(samples, window),
            language=language,
            beam_size=self._beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=False,
        )
        words = []
        for segment in segments:
            for word in segment.words or ():
                start = min(window.start_ms + max(0, round(word.start * 1000)), window.end_ms - 1)
                end = min(max(window.start_ms + round(word.end * 1000), start + 1), window.end_ms)
                words.append(Word(text=word.word, segment=Segment(start_ms=start, end_ms=end), probability=float(word.probability)))
        return words

    def _load(self) -> Any:
        if self._whisper is None:
            from faster_whisper import WhisperModel  # type: ignore[import-untyped]

            options = {"device": self._device, "compute_type": self._compute_type, "cpu_threads": self._threads}
            packaged = PACKAGED.get(self._name)
            try:
                if packaged is not None:
                    # Assembled in memory: the packaged model comes in parts, and nothing is to be written.
                    files = {file: b"".join(locate(part).read_bytes() for part in parts) for file, parts in packaged.items()}
                    self._whisper = WhisperModel(self._name, files=files, **options)
                else:
                    self._whisper = WhisperModel(self._name, download_root=self._cache_dir, **options)
            except (OSError, RuntimeError, ValueError) as error:
                raise BackendError(
                    f"transcription model {self._name!r} cannot be loaded ({str(error).splitlines()[0]}); "
                    f"use {' or '.join(PACKAGED)}, or check the name, the folder and the network"
                ) from error
        return self._whisper


def cut_windows(spoken: Sequence[Segment], *, end_ms: int, window_ms: int = WINDOW_MS, gap_ms: int = GAP_MS) -> list[Segment]:
    """Pack speech into windows that Whisper hears at once.

    Args:
        spoken: Sorted and disjoint.
        end_ms: Of the audio.
        window_ms: Longest window; a longer segment is cut.
        gap_ms: A longer silence always ends a window.

    Returns:
        Sorted windows that cover all speech, with a little room at the edges; they do not overlap.
    """
    pieces = [Segment(start_ms=at, end_ms=min(at + window_ms, s.end_ms)) for s in spoken for at in range(s.start_ms, s.end_ms, window_ms)]
    windows: list[Segment] = []
    for piece in pieces:
        last = windows[-1] if windows else None
        if last is not None and piece.start_ms - last.end_ms <= gap_ms and piece.end_ms - last.start_ms <= window_ms:
            windows[-1] = Segment(start_ms=last.start_ms, end_ms=piece.end_ms)
        else:
            windows.append(piece)
    roomy = []
    for i, window in enumerate(windows):
        floor = (windows[i - 1].end_ms + window.start_ms) // 2 if i else 0
        ceiling = (window.end_ms + windows[i + 1].start_ms) // 2 if i + 1 < len(windows) else end_ms
        roomy.append(Segment(start_ms=max(window.start_ms - EDGE_MS, floor), end_ms=min(window.end_ms + EDGE_MS, ceiling)))
    return roomy


def _near(word: Segment, speech: Segment) -> bool:
    gap_ms = max(word.start_ms - speech.end_ms, speech.start_ms - word.end_ms)
    return gap_ms <= TOLERANCE_MS


def _cut(samples: Samples, segment: Segment) -> Samples:
    return samples[segment.start_ms * MODEL_RATE_HZ // 1000 : segment.end_ms * MODEL_RATE_HZ // 1000]
