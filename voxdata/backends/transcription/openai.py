"""Transcription by any server that speaks OpenAI's audio API (vLLM, Speaches, whisper.cpp server,
OpenAI itself).

The audio leaves this machine: configure a server that may have it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import soundfile  # type: ignore[import-untyped]

from voxdata.backends.transcription.whisper import cut_windows
from voxdata.errors import BackendError, TransientError
from voxdata.identity import ModelRef
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment, union
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
        self._name, self._language, self._retries = model, language, retries
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout_s, trust_env=False)

    @property
    def model(self) -> ModelRef:
        """What is asked for. A server may change its weights under one name: give it a name that
        tells.
        """
        return ModelRef(
            name=f"openai/{self._name}", revision=self._url, params={"language": self._language}
        )

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        """See `Transcriber.transcribe`.

        Raises:
            BackendError: The server refuses, or answers something else.
            TransientError: It cannot be reached, or is too busy, after all attempts.
        """
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: SpeechRequest) -> Transcript:
        end_ms = duration_ms(request.sound)
        inside = [
            Segment(start_ms=s.start_ms, end_ms=min(s.end_ms, end_ms))
            for s in request.speech
            if s.start_ms < end_ms
        ]
        words: list[Word] = []
        passages: list[Passage] = []
        for window in cut_windows(union(inside), end_ms=end_ms):
            answer = self._ask(cut_sound(request.sound, window).read())
            words += read_words(answer, window)
            passages.append(_passage(answer, window, self._language))
        return Transcript(
            passages=tuple(passages),
            words=tuple(sorted(words, key=lambda w: w.segment)),
            model=self.model,
        )

    def _ask(self, samples: Samples) -> Mapping[str, Any]:
        wav = io.BytesIO()
        soundfile.write(wav, np.asarray(samples), MODEL_RATE_HZ, format="WAV", subtype="PCM_16")
        form: dict[str, Any] = {
            "model": self._name, "response_format": "verbose_json", "temperature": "0", "timestamp_granularities[]": ["word", "segment"],
        }  # fmt: skip
        if self._language is not None:
            form["language"] = self._language
        trouble = ""
        for _ in range(self._retries + 1):
            try:
                response = self._client.post(
                    self._url, data=form, files={"file": ("clip.wav", wav.getvalue(), "audio/wav")}
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
            raise BackendError(
                f"transcription server {self._url} refuses ({response.status_code}: {response.text[:200]}); "
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
                f"transcription server {self._url} answers JSON without a text; is it an audio server?"
            )
        return answer


def read_words(answer: Mapping[str, Any], window: Segment) -> list[Word]:
    """The words of a verbose_json answer, in ms of the recording, within the window."""
    words: list[Word] = []
    for item in answer.get("words") or ():
        text = str(item.get("word", ""))
        if text.strip():
            words.append(
                _word(
                    text if text.startswith(" ") else f" {text}",
                    item["start"],
                    item["end"],
                    window,
                    item.get("probability"),
                )
            )
    if words:
        return words
    segments = answer.get("segments") or (
        [{"text": answer["text"], "start": 0.0, "end": window.duration_ms / 1000}]
        if answer["text"]
        else []
    )
    for segment in segments:
        parts = str(segment.get("text", "")).split()
        step = (float(segment["end"]) - float(segment["start"])) / max(len(parts), 1)
        start = float(segment["start"])
        words += [
            _word(f" {part}", start + i * step, start + (i + 1) * step, window, None)
            for i, part in enumerate(parts)
        ]
    return words


def _word(
    text: str, start_s: float, end_s: float, window: Segment, probability: float | None
) -> Word:
    start = min(
        max(window.start_ms + round(float(start_s) * 1000), window.start_ms), window.end_ms - 1
    )
    end = min(max(window.start_ms + round(float(end_s) * 1000), start + 1), window.end_ms)
    sure = 1.0 if probability is None else min(max(float(probability), 0.0), 1.0)
    return Word(text=text, segment=Segment(start_ms=start, end_ms=end), probability=round(sure, 4))


def _passage(answer: Mapping[str, Any], window: Segment, language: str | None) -> Passage:
    named = str(answer.get("language") or "und").lower()
    segments = answer.get("segments") or ()
    return Passage(
        segment=window,
        language=language or _language_code(named),
        language_probability=1.0,
        no_speech_probability=round(
            max((float(s.get("no_speech_prob") or 0.0) for s in segments), default=0.0), 4
        ),
        mean_log_probability=round(
            min((float(s.get("avg_logprob") or 0.0) for s in segments), default=0.0), 4
        ),
    )


def _language_code(named: str) -> str:
    """The code of a language that a server may give by its English name.

    "und" when it is none that Whisper knows.
    """
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    return named if named in LANGUAGES else TO_LANGUAGE_CODE.get(named, "und")
