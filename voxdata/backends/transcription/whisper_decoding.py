"""Whisper on CTranslate2, one window at a time and no longer than it has to be.

The stock pipeline pads every window to 30 s, so a clip of 4 s costs as much as one of 30. The
encoder takes shorter input: cut to the window and a margin of silence it gives the same words for a
fraction of the work. Below about 10 s of input the decoder derails, which sets SHORTEST_MS
(figures: docs/benchmarks.md, transcription).

On the CPU a batch of windows costs as much as the windows one by one, so each is decoded by itself
and nothing depends on neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, Samples
from voxdata.utterance import Passage, Word

SHORTEST_MS = 12_000
STEP_MS = 3_000
MARGIN_MS = 3_000
LONGEST_MS = 30_000
"""Encoder input: the window and MARGIN_MS of silence, in steps of STEP_MS, within these bounds."""

TOKENS_PER_S = 14
"""More than anybody says; bounds a decoder that runs in circles."""

SURE = 0.5
"""A language detected with less probability gives way to that of the rest of the channel."""

_FRAMES_PER_S = 100
_FRAME_SAMPLES = MODEL_RATE_HZ // _FRAMES_PER_S
_PREPENDED = "\"'“¿([{-"
_APPENDED = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listened:
    """A window that went through the encoder.

    Attributes:
        samples: (num_samples,), at most 30 s.
        encoded: The encoder's output.
        language: The likeliest.
        probability: The probability of that language.
    """

    samples: Samples
    encoded: Any
    language: str
    probability: float


class WindowDecoder:
    """Decodes windows with one loaded model.

    Args:
        whisper: A `faster_whisper.WhisperModel`.
        beam_size: 1 is greedy.
        full_windows: Pad to 30 s, as a GPU can afford.
    """

    def __init__(self, whisper: Any, *, beam_size: int, full_windows: bool) -> None:
        self.whisper = whisper
        self._beam_size = beam_size
        self._full_windows = full_windows
        self._tokenizers: dict[str, Any] = {}

    def listen(self, samples: Samples) -> Listened:
        """Encode a window, (num_samples,) of at most 30 s, and tell its language.

        `decode` goes on from there.
        """
        encoded = self._encode(samples)
        language = "en"
        probability = 1.0
        if self.whisper.model.is_multilingual:
            (ranked,) = self.whisper.model.detect_language(encoded)
            token, probability = ranked[0]
            language = token.removeprefix("<|").removesuffix("|>")
        return Listened(
            samples=samples,
            encoded=encoded,
            language=language,
            probability=float(probability),
        )

    def decode(
        self, listened: Listened, window: Segment, *, language: str
    ) -> tuple[list[Word], Passage]:
        """Transcribe a window.

        Args:
            window: Where it lies in its channel.
            language: What to decode it as.

        Returns:
            Words sorted by start, within the window, and what the model thinks of it.
        """
        words: list[Word] = []
        answers: list[_Answer] = []
        log_probability = 0.0
        start = 0
        while len(listened.samples) - start >= MODEL_RATE_HZ // 5:
            part = listened.samples[start:]
            encoded = self._encode(part) if start > 0 else listened.encoded
            answer = self._decode_part(part, encoded, language=language)
            answers.append(answer)
            log_probability += answer.log_probability
            offset_ms = window.start_ms + start * 1000 // MODEL_RATE_HZ
            for timed_text in answer.words:
                word = _to_word(timed_text, offset_ms, window)
                if word is not None:
                    words.append(word)
            # The model may stop at a time stamp before the end; what follows is heard again from
            # there.
            if not 0 < answer.seek < len(part) // _FRAME_SAMPLES:
                break
            start += answer.seek * _FRAME_SAMPLES

        num_tokens = sum(answer.num_tokens for answer in answers)

        no_speech = answers[0].no_speech_probability if answers else 0.0
        passage = Passage(
            segment=window,
            language=language,
            language_probability=round(listened.probability, 4),
            no_speech_probability=round(no_speech, 4),
            mean_log_probability=round(log_probability / (num_tokens + 1), 4),
        )
        return sorted(words, key=lambda w: w.segment), passage

    def _decode_part(self, samples: Samples, encoded: Any, *, language: str) -> _Answer:
        """Transcribe up to the last time stamp that the model gives."""
        tokenizer = self._tokenizer(language)
        num_frames = len(samples) // _FRAME_SAMPLES
        most_said = len(samples) * TOKENS_PER_S // MODEL_RATE_HZ
        (result,) = self.whisper.model.generate(
            encoded,
            [list(tokenizer.sot_sequence)],
            beam_size=self._beam_size,
            max_length=min(448, 32 + most_said),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = result.sequences_ids[0]
        segments, seek, _ = self.whisper._split_segments_by_timestamps(
            tokenizer,
            tokens,
            time_offset=0.0,
            segment_size=num_frames,
            segment_duration=num_frames / _FRAMES_PER_S,
            seek=0,
        )
        segments = [s for s in segments if any(token < tokenizer.eot for token in s["tokens"])]
        if segments:
            self.whisper.add_word_timestamps(
                [segments],
                tokenizer,
                encoded,
                num_frames,
                _PREPENDED,
                _APPENDED,
                0.0,
            )
        return _Answer(
            words=list(chain.from_iterable(s.get("words", ()) for s in segments)),
            seek=int(seek),
            no_speech_probability=float(result.no_speech_prob),
            log_probability=float(result.scores[0]) * len(tokens),
            num_tokens=len(tokens),
        )

    def _encode(self, samples: Samples) -> Any:
        import ctranslate2  # type: ignore[import-untyped]

        length_ms = LONGEST_MS
        if not self._full_windows:
            length_ms = input_ms(len(samples) * 1000 // MODEL_RATE_HZ)
        padded = np.zeros(length_ms * MODEL_RATE_HZ // 1000, np.float32)
        padded[: len(samples)] = samples[: len(padded)]

        num_frames = length_ms * _FRAMES_PER_S // 1000
        features = self.whisper.feature_extractor(padded, padding=0)
        batch = features[None, :, :num_frames]
        contiguous = np.ascontiguousarray(batch, dtype=np.float32)
        return self.whisper.model.encode(ctranslate2.StorageView.from_array(contiguous))

    def _tokenizer(self, language: str) -> Any:
        if language not in self._tokenizers:
            from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]

            self._tokenizers[language] = Tokenizer(
                self.whisper.hf_tokenizer,
                self.whisper.model.is_multilingual,
                task="transcribe",
                language=language,
            )
        return self._tokenizers[language]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the model says of a part.

    Attributes:
        words: As faster-whisper has them.
        seek: Frames up to the last time stamp.
    """

    words: Sequence[dict[str, Any]]
    seek: int
    no_speech_probability: float
    log_probability: float
    num_tokens: int


def input_ms(window_ms: int) -> int:
    """Length of the encoder's input for a window.

    >>> input_ms(4_000), input_ms(12_000), input_ms(29_000)
    (12000, 15000, 30000)
    """
    wanted = -(-(window_ms + MARGIN_MS) // STEP_MS) * STEP_MS
    return min(max(wanted, SHORTEST_MS), LONGEST_MS)


def _to_word(
    word: dict[str, Any],
    offset_ms: int,
    window: Segment,
) -> Word | None:
    """A word of faster-whisper within its window; None for a blank one."""
    text = word["word"]
    if not text.strip():
        return None
    start_ms = offset_ms + max(0, round(word["start"] * 1000))
    start_ms = min(max(start_ms, window.start_ms), window.end_ms - 1)
    end_ms = offset_ms + round(word["end"] * 1000)
    end_ms = min(max(end_ms, start_ms + 1), window.end_ms)
    probability = round(float(word["probability"]), 4)
    return Word(
        text=text,
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        probability=min(max(probability, 0.0), 1.0),
    )
