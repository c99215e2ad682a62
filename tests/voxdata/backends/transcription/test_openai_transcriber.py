"""The transcriber that asks a server, against a small server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from voxdata.backends.transcription.openai import OpenAITranscriber, read_words
from voxdata.errors import BackendError, TransientError
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import ArraySound
from voxdata.testing.backends import check_transcriber
from voxdata.testing.synthetic import speech_like

SPEECH = speech_like(5_000)
WINDOW = Segment(start_ms=1_000, end_ms=3_000)
ANSWER: dict[str, Any] = {
    "text": " hello 世界",
    "language": "english",
    "words": [
        {"word": "hello", "start": 0.2, "end": 0.5},
        {"word": "世界", "start": 0.6, "end": 0.9},
    ],
    "segments": [
        {
            "text": " hello 世界",
            "start": 0.0,
            "end": 1.0,
            "no_speech_prob": 0.25,
            "avg_logprob": -0.5,
        }
    ],
}


class FakeServer(BaseHTTPRequestHandler):
    answers: list[tuple[int, bytes]]
    seen: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).seen.append((self.path, self.headers.get("Authorization", ""), body))
        status, content = (
            type(self).answers.pop(0) if len(type(self).answers) > 1 else type(self).answers[0]
        )
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[tuple[str, type[FakeServer]]]:
    handler = type(
        "Handler",
        (FakeServer,),
        {
            "answers": [(200, json.dumps(ANSWER).encode())],
            "seen": [],
        },
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/v1", handler
        running.shutdown()


def request(*segments: Segment) -> SpeechRequest:
    return SpeechRequest(sound=ArraySound(SPEECH), speech=segments)


def test_openai_transcriber_keeps_the_contract(server: tuple[str, type[FakeServer]]) -> None:
    check_transcriber(
        OpenAITranscriber(base_url=server[0], model="w"),
        SPEECH,
        speech=WINDOW,
    )


def test_openai_transcriber_sends_a_clip_and_reads_words_language_and_doubt(
    server: tuple[str, type[FakeServer]],
) -> None:
    url, handler = server
    transcriber = OpenAITranscriber(
        base_url=url,
        model="large",
        api_key="secret",
    )
    (transcript,) = transcriber.transcribe([request(WINDOW)])
    ((path, authorization, body),) = handler.seen
    assert (path, authorization) == ("/v1/audio/transcriptions", "Bearer secret")
    assert b"RIFF" in body
    assert b"verbose_json" in body
    assert "secret" not in repr(transcriber.model)
    window = transcript.passages[0]
    assert window.language == "en"
    assert window.no_speech_probability == 0.25
    assert window.mean_log_probability == -0.5
    words = [(w.text, w.segment.start_ms - window.segment.start_ms) for w in transcript.words]
    assert words == [
        (" hello", 200),
        (" 世界", 600),
    ]


def test_openai_transcriber_tries_again_when_the_server_is_busy(
    server: tuple[str, type[FakeServer]],
) -> None:
    url, handler = server
    handler.answers[:0] = [(503, b"busy"), (429, b"slow down")]
    assert OpenAITranscriber(base_url=url, model="w").transcribe([request(WINDOW)])[0].words
    handler.answers[:] = [(500, b"broken")]
    with pytest.raises(TransientError, match="answers 500"):
        OpenAITranscriber(base_url=url, model="w").transcribe([request(WINDOW)])


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, b"no"), "VOXDATA_TRANSCRIBER_KEY"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[]"), "text"),
    ],
)
def test_openai_transcriber_names_what_is_wrong(
    server: tuple[str, type[FakeServer]],
    answer: tuple[int, bytes],
    says: str,
) -> None:
    server[1].answers[:] = [answer]
    with pytest.raises(BackendError, match=says):
        OpenAITranscriber(base_url=server[0], model="w").transcribe([request(WINDOW)])


def test_openai_transcriber_says_when_nobody_answers() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        OpenAITranscriber(base_url="http://127.0.0.1:9/v1", model="w", retries=0).transcribe(
            [request(WINDOW)]
        )


def test_read_words_spreads_a_segment_without_word_times() -> None:
    words = read_words(
        {"text": "one two", "segments": [{"text": "one two", "start": 0.0, "end": 1.0}]},
        WINDOW,
    )
    assert [(w.text, w.segment.start_ms, w.segment.end_ms) for w in words] == [
        (" one", 1_000, 1_500),
        (" two", 1_500, 2_000),
    ]
    assert read_words({"text": "", "segments": []}, WINDOW) == []
    assert np.isclose(words[0].probability, 1.0)
