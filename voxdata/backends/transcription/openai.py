"""Transcription by any server that speaks OpenAI's audio API.

Such are vLLM, Speaches, the server of whisper.cpp, and OpenAI itself. The audio leaves this
machine: configure a server that may have it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import soundfile  # type: ignore[import-untyped]

from voxdata.backends.transcription.whisper import clip_speech, cut_windows
from voxdata.errors import BackendError, TransientError
from voxdata.identity import ModelRef
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, Samples, cut_sound, duration_ms
from voxdata.utterance import Passage, Transcript, Word


class OpenAITranscriber:
    """The Transcriber port on POST {base_url}/audio/transcriptions.

    Args:
        base_url: Up to and including the version, such as "http://127.0.0.1:8000/v1".
        model: As the server calls it.
        language: BCP 47 primary subtag; None lets the server detect it.
        api_key: Sent as a bearer token; from the environment variable VOXDATA_TRANSCRIBER_KEY,
            never from a file.
        timeout_s: For one window of at most 28 s.
        retries: Further attempts after 429, a 5xx answer or a lost connection.

    A server that gives no word times gets its segments' words spread evenly over the segment.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        language: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        retries: int = 2,
    ) -> None:
        self._url = base_url.rstrip("/") + "/audio/transcriptions"
        self._name = model
        self._language = language
        self._retries = retries
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(
            headers=headers,
            timeout=timeout_s,
            trust_env=False,
        )

    @property
    def model(self) -> ModelRef:
        """What is asked for.

        A server may change its weights under one name: give it a name that tells.
        """
        return ModelRef(
            name=f"openai/{self._name}",
            revision=self._url,
            params={"language": self._language},
        )

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        """See `Transcriber.transcribe`.

        Raises:
            BackendError: The server refuses, or answers something else.
            TransientError: It cannot be reached, or is too busy, after all attempts.
        """
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: SpeechRequest) -> Transcript:
        spoken = clip_speech(request)
        words: list[Word] = []
        passages: list[Passage] = []
        for window in cut_windows(spoken, end_ms=duration_ms(request.sound)):
            answer = self._ask(cut_sound(request.sound, window).read())
            words += read_words(answer, window)
            passages.append(_passage(answer, window, self._language))
        return Transcript(
            passages=tuple(passages),
            words=tuple(sorted(words, key=lambda w: w.segment)),
            model=self.model,
        )

    def _ask(self, samples: Samples) -> Mapping[str, Any]:
        """The server's answer about a clip, as `_read` checks it."""
        wav = io.BytesIO()
        soundfile.write(
            wav,
            np.asarray(samples),
            MODEL_RATE_HZ,
            format="WAV",
            subtype="PCM_16",
        )
        files = {"file": ("clip.wav", wav.getvalue(), "audio/wav")}
        form: dict[str, Any] = {
            "model": self._name,
            "response_format": "verbose_json",
            "temperature": "0",
            "timestamp_granularities[]": ["word", "segment"],
        }
        if self._language is not None:
            form["language"] = self._language

        trouble = ""
        for _ in range(self._retries + 1):
            try:
                response = self._client.post(
                    self._url,
                    data=form,
                    files=files,
                )
            except httpx.HTTPError as error:
                trouble = f"cannot be reached ({type(error).__name__}: {error})"
                continue
            if response.status_code == 429 or response.status_code >= 500:
                trouble = f"answers {response.status_code}"
                continue
            return self._read(response)
        raise TransientError(
            f"transcription server {self._url} {trouble}; start it, or try again later"
        )

    def _read(self, response: httpx.Response) -> Mapping[str, Any]:
        if response.status_code >= 400:
            refusal = f"{response.status_code}: {response.text[:200]}"
            raise BackendError(
                f"transcription server {self._url} refuses ({refusal}); "
                "check base_url, model and VOXDATA_TRANSCRIBER_KEY"
            )
        try:
            answer = response.json()
        except ValueError as error:
            raise BackendError(
                f"transcription server {self._url} answers no JSON; is base_url right?"
            ) from error
        if not isinstance(answer, dict) or "text" not in answer:
            raise BackendError(
                f"transcription server {self._url} answers JSON without a text; "
                "is it an audio server?"
            )
        return answer


def read_words(answer: Mapping[str, Any], window: Segment) -> list[Word]:
    """The words of a verbose_json answer, in ms of the recording, within the window."""
    words: list[Word] = []
    for timed in answer.get("words") or ():
        text = str(timed.get("word", ""))
        if text.strip():
            words.append(
                _word(
                    text if text.startswith(" ") else f" {text}",
                    start_s=timed["start"],
                    end_s=timed["end"],
                    window=window,
                    probability=timed.get("probability"),
                )
            )
    return words or _spread_words(answer, window)


def _spread_words(answer: Mapping[str, Any], window: Segment) -> list[Word]:
    """The words of an answer without word times, spread evenly over its segments."""
    segments = answer.get("segments")
    if not segments and answer["text"]:
        segments = [{"text": answer["text"], "start": 0.0, "end": window.duration_ms / 1000}]
    words: list[Word] = []
    for segment in segments or ():
        texts = str(segment.get("text", "")).split()
        start_s = float(segment["start"])
        end_s = float(segment["end"])
        step_s = (end_s - start_s) / max(len(texts), 1)
        for i, text in enumerate(texts):
            words.append(
                _word(
                    f" {text}",
                    start_s=start_s + i * step_s,
                    end_s=start_s + (i + 1) * step_s,
                    window=window,
                    probability=None,
                )
            )
    return words


def _word(
    text: str,
    *,
    start_s: float,
    end_s: float,
    window: Segment,
    probability: float | None,
) -> Word:
    """A word by its times from the start of its window, kept within it."""
    start_ms = window.start_ms + round(float(start_s) * 1000)
    start_ms = min(max(start_ms, window.start_ms), window.end_ms - 1)
    end_ms = window.start_ms + round(float(end_s) * 1000)
    end_ms = min(max(end_ms, start_ms + 1), window.end_ms)
    certainty = 1.0 if probability is None else min(max(float(probability), 0.0), 1.0)
    return Word(
        text=text,
        segment=Segment(start_ms=start_ms, end_ms=end_ms),
        probability=round(certainty, 4),
    )


def _passage(
    answer: Mapping[str, Any],
    window: Segment,
    language: str | None,
) -> Passage:
    named = str(answer.get("language") or "und").lower()
    segments = answer.get("segments") or ()
    no_speech = [float(segment.get("no_speech_prob") or 0.0) for segment in segments]
    log_probabilities = [float(segment.get("avg_logprob") or 0.0) for segment in segments]
    return Passage(
        segment=window,
        language=language or _language_code(named),
        language_probability=1.0,
        no_speech_probability=round(max(no_speech, default=0.0), 4),
        mean_log_probability=round(min(log_probabilities, default=0.0), 4),
    )


def _language_code(named: str) -> str:
    """The code of a language that a server may give by its English name.

    "und" when it is none that Whisper knows.
    """
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    return named if named in LANGUAGES else TO_LANGUAGE_CODE.get(named, "und")
