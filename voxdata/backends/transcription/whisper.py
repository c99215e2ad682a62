"""Transcription with word times by Whisper models on CTranslate2 (faster-whisper).

Source: A. Radford et al., Robust Speech Recognition via Large-Scale Weak Supervision, 2022; the
cutting into windows follows M. Bain et al., WhisperX, INTERSPEECH 2023.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

from voxdata.backends.transcription.whisper_decoding import (
    MARGIN_MS,
    SHORTEST_MS,
    STEP_MS,
    SURE,
    Listened,
    WindowDecoder,
)
from voxdata.backends.weights import locate, revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment, union
from voxdata.sound import cut_sound, duration_ms
from voxdata.utterance import Passage, Transcript, Word

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
        model: "packaged-base" (multilingual), "packaged-tiny.en" (English), or a faster-whisper
            size, hub id or folder.
        language: BCP 47 primary subtag; None detects it from the speech.
        beam_size: 1 is greedy.
        threads: CPU threads; one a process is cheapest, and several processes use several cores.
        compute_type: The compute type of CTranslate2, such as "int8" or "float16".
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
        threads: int = 1,
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
        self._decoder: WindowDecoder | None = None

    @property
    def model(self) -> ModelRef:
        """What is running."""
        packaged = PACKAGED.get(self._name)
        model_revision = self._name
        if packaged is not None:
            parts = chain.from_iterable(packaged.values())
            model_revision = revision(*parts)
        return ModelRef(
            name=f"whisper/{self._name}",
            revision=model_revision,
            params={
                "language": self._language,
                "beam_size": self._beam_size,
                "compute_type": self._compute_type,
                "input_ms": [SHORTEST_MS, STEP_MS, MARGIN_MS],
            },
        )

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        """See `Transcriber.transcribe`.

        The language is detected in each window of at most 28 s, unless one is given; an unsure
        window takes that of most others.
        """
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: SpeechRequest) -> Transcript:
        spoken = clip_speech(request)
        if not spoken:
            return Transcript(
                passages=(),
                words=(),
                model=self.model,
            )
        decoder = self._load()

        def listen(window: Segment) -> Listened:
            return decoder.listen(cut_sound(request.sound, window).read())

        decoded: list[tuple[list[Word], Passage]] = []
        unsure: list[Segment] = []
        for window in cut_windows(spoken, end_ms=duration_ms(request.sound)):
            listened = listen(window)
            if self._language is None and listened.probability < SURE:
                unsure.append(window)
                continue
            language = self._language or listened.language
            decoded.append(decoder.decode(listened, window, language=language))

        common = common_language([passage for _, passage in decoded])
        for window in unsure:
            listened = listen(window)
            language = common or listened.language
            decoded.append(decoder.decode(listened, window, language=language))

        decoded.sort(key=lambda pair: pair[1].segment)
        words = chain.from_iterable(words for words, _ in decoded)
        return Transcript(
            passages=tuple(passage for _, passage in decoded),
            words=tuple(word for word in words if _is_spoken(word.segment, spoken)),
            model=self.model,
        )

    def loaded_model(self) -> Any:
        """The `faster_whisper.WhisperModel` underneath, loaded.

        For comparisons with the library itself.
        """
        return self._load().whisper

    def _load(self) -> WindowDecoder:
        if self._decoder is None:
            try:
                whisper = self._load_whisper()
            except (OSError, RuntimeError, ValueError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise BackendError(
                    f"transcription model {self._name!r} cannot be loaded ({reason}); "
                    f"use {' or '.join(PACKAGED)}, or check the name, the folder and the network"
                ) from error
            self._decoder = WindowDecoder(
                whisper,
                beam_size=self._beam_size,
                full_windows=whisper.model.device == "cuda",
            )
        return self._decoder

    def _load_whisper(self) -> Any:
        from faster_whisper import WhisperModel  # type: ignore[import-untyped]

        options: dict[str, Any] = {
            "device": self._device,
            "compute_type": self._compute_type,
            "cpu_threads": self._threads,
        }
        packaged = PACKAGED.get(self._name)
        if packaged is None:
            return WhisperModel(self._name, download_root=self._cache_dir, **options)
        # Assembled in memory: the packaged model comes in parts, and nothing is to be written.
        files = {file: _join_files(parts) for file, parts in packaged.items()}
        return WhisperModel(self._name, files=files, **options)


def _join_files(names: Sequence[str]) -> bytes:
    return b"".join(locate(name).read_bytes() for name in names)


def clip_speech(request: SpeechRequest) -> list[Segment]:
    """The speech of a request up to the end of its sound, sorted and disjoint."""
    end_ms = duration_ms(request.sound)
    inside = [speech for speech in request.speech if speech.start_ms < end_ms]
    return union(replace(speech, end_ms=min(speech.end_ms, end_ms)) for speech in inside)


def cut_windows(
    spoken: Sequence[Segment],
    *,
    end_ms: int,
    window_ms: int = WINDOW_MS,
    gap_ms: int = GAP_MS,
) -> list[Segment]:
    """Pack speech into windows that Whisper hears at once.

    Args:
        spoken: Sorted and disjoint.
        end_ms: The end of the audio.
        window_ms: Longest window; a longer segment is cut.
        gap_ms: A longer silence always ends a window.

    Returns:
        Sorted windows that cover all speech, with a little room at the edges; they do not overlap.
    """
    windows: list[Segment] = []
    for piece in _pieces(spoken, window_ms=window_ms):
        if windows:
            last = windows[-1]
            pause_ms = piece.start_ms - last.end_ms
            length_ms = piece.end_ms - last.start_ms
            if pause_ms <= gap_ms and length_ms <= window_ms:
                windows[-1] = replace(last, end_ms=piece.end_ms)
                continue
        windows.append(piece)

    # Between two windows each has room up to the middle of the silence.
    borders_ms = [(a.end_ms + b.start_ms) // 2 for a, b in pairwise(windows)]
    floors_ms = [0, *borders_ms]
    ceilings_ms = [*borders_ms, end_ms]
    return [
        Segment(
            start_ms=max(window.start_ms - EDGE_MS, floor_ms),
            end_ms=min(window.end_ms + EDGE_MS, ceiling_ms),
        )
        for window, floor_ms, ceiling_ms in zip(windows, floors_ms, ceilings_ms, strict=False)
    ]


def _pieces(spoken: Sequence[Segment], *, window_ms: int) -> Iterator[Segment]:
    """The speech, each segment cut where it is longer than a window."""
    for speech in spoken:
        for start_ms in range(speech.start_ms, speech.end_ms, window_ms):
            end_ms = min(start_ms + window_ms, speech.end_ms)
            yield Segment(start_ms=start_ms, end_ms=end_ms)


def common_language(passages: Sequence[Passage]) -> str | None:
    """The language of most of the surely heard speech; None when there is none."""
    votes: Counter[str] = Counter()
    for passage in passages:
        votes[passage.language] += passage.segment.duration_ms
    return max(sorted(votes), key=votes.__getitem__, default=None)


def _is_spoken(word: Segment, spoken: Sequence[Segment]) -> bool:
    """Whether a word lies in speech, or within TOLERANCE_MS of it."""
    gaps_ms = [max(word.start_ms - s.end_ms, s.start_ms - word.end_ms) for s in spoken]
    return min(gaps_ms) <= TOLERANCE_MS
