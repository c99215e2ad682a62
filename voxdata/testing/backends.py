"""Fake model backends, and the contract that fakes and real ones keep alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from voxdata.identity import ModelRef
from voxdata.label import Distribution
from voxdata.ports import (
    MODEL_RATE_HZ,
    Clip,
    Diarization,
    Diarizer,
    Labeler,
    Samples,
    Sound,
    SpeakerSegment,
    SpeechRequest,
    Transcriber,
)
from voxdata.scheme import Scheme
from voxdata.segment import Segment, union
from voxdata.sound import ArraySound, duration_ms
from voxdata.utterance import Passage, Transcript, Word

SLACK_MS = 500
"""How far outside the speech a word may lie: boundaries of both are estimates."""


class FakeDiarizer:
    """Hears a speaker wherever the level of a 100 ms frame is above `floor`.

    All speech is one speaker's.
    """

    def __init__(self, *, floor: float = 0.01) -> None:
        self._floor = floor

    @property
    def model(self) -> ModelRef:
        """Names itself a fake."""
        return ModelRef(name="fake/level", revision="1", params={"floor": self._floor})

    def diarize(
        self, sounds: Sequence[Sound], *, max_speakers: int | None = None
    ) -> list[Diarization]:
        """See `Diarizer.diarize`."""
        return [self._diarize(sound.read()) for sound in sounds]

    def _diarize(self, samples: Samples) -> Diarization:
        hop = MODEL_RATE_HZ // 10
        loud = [
            bool(np.abs(samples[at : at + hop]).max() > self._floor)
            for at in range(0, len(samples) - hop + 1, hop)
        ]
        found: list[SpeakerSegment] = []
        start: int | None = None
        for i, now in enumerate([*loud, False]):
            if now and start is None:
                start = i
            elif not now and start is not None:
                found.append(
                    SpeakerSegment(
                        speaker="S0", segment=Segment(start_ms=start * 100, end_ms=i * 100)
                    )
                )
                start = None
        return Diarization(
            segments=tuple(found),
            embeddings={"S0": (1.0, 0.0)} if found else {},
            voice_model=self.model,
        )


class FakeTranscriber:
    """Hears one word in every half second of speech: the number of that half second."""

    def __init__(self, *, revision: str = "1") -> None:
        self._revision = revision

    @property
    def model(self) -> ModelRef:
        """Names itself a fake."""
        return ModelRef(name="fake/counter", revision=self._revision)

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        """See `Transcriber.transcribe`."""
        return [self._transcribe(request) for request in requests]

    def _transcribe(self, request: SpeechRequest) -> Transcript:
        end_ms = duration_ms(request.sound)
        inside = [
            Segment(start_ms=s.start_ms, end_ms=min(s.end_ms, end_ms))
            for s in sorted(request.speech)
            if s.start_ms < end_ms
        ]
        words = [
            Word(
                text=f" {at // 500}",
                segment=Segment(start_ms=at, end_ms=min(at + 400, s.end_ms)),
                probability=1.0,
            )
            for s in inside
            for at in range(s.start_ms, s.end_ms, 500)
        ]
        passages = tuple(
            Passage(segment=s, language="en", language_probability=1.0) for s in union(inside)
        )
        return Transcript(passages=passages, words=tuple(words), model=self.model)


class FakeLabeler:
    """Gives nearly all probability to the label that the length of the text picks."""

    def __init__(self, labels: Sequence[str] = (), *, scheme: Scheme | None = None) -> None:
        self._labels = tuple(labels) if scheme is None else scheme.label_names

    @property
    def model(self) -> ModelRef:
        """Names itself a fake, and weak."""
        return ModelRef(
            name="fake/length", revision="1", params={"labels": list(self._labels)}, weak=True
        )

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        rest = 0.1 / (len(self._labels) - 1)
        return [
            {
                name: 0.9 if i == len(c.text) % len(self._labels) else rest
                for i, name in enumerate(self._labels)
            }
            for c in clips
        ]


def check_diarizer(diarizer: Diarizer, samples: Samples) -> None:
    """Hold a diarizer to its contract on one channel.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    end_ms = len(samples) * 1000 // MODEL_RATE_HZ
    (answer,) = diarizer.diarize([ArraySound(samples)])
    found = list(answer.segments)
    _require(
        diarizer.diarize([ArraySound(samples)]) == [answer], "the same audio gives the same answer"
    )
    _require(
        found == sorted(found, key=lambda s: (s.segment, s.speaker)), "segments are sorted by start"
    )
    _require(all(s.segment.end_ms <= end_ms for s in found), "no segment ends after the audio")
    first_heard = list(dict.fromkeys(s.speaker for s in found))
    _require(
        first_heard == [f"S{i}" for i in range(len(first_heard))],
        "speakers are S0, S1, ... in order of appearance",
    )
    _require(set(answer.embeddings) <= set(first_heard), "only speakers who speak have embeddings")
    _require(
        all(abs(float(np.linalg.norm(v)) - 1) < 1e-3 for v in answer.embeddings.values()),
        "embeddings have length one",
    )
    _require(not answer.embeddings or answer.voice_model is not None, "embeddings name their model")
    lone = diarizer.diarize([ArraySound(samples)], max_speakers=1)[0]
    _require({s.speaker for s in lone.segments} <= {"S0"}, "max_speakers=1 gives one speaker")
    shorts = [samples[:length] for length in (1, MODEL_RATE_HZ // 5, MODEL_RATE_HZ // 2)]
    quiet = [np.zeros(0, np.float32), np.zeros(5 * MODEL_RATE_HZ, np.float32)]
    together = diarizer.diarize([ArraySound(x) for x in (*quiet, *shorts, samples)])
    _require(len(together) == 6, "one answer a sound")
    _require(
        not together[0].segments and not together[1].segments,
        "neither silence nor no audio gives a segment",
    )
    for short, heard in zip(shorts, together[2:5], strict=True):
        _require(
            all(s.segment.end_ms <= len(short) * 1000 // MODEL_RATE_HZ for s in heard.segments),
            "short audio keeps its bounds",
        )
    _require(together[5] == answer, "an answer does not depend on the neighbours")
    _require(diarizer.diarize([]) == [], "no sound gives no answer")
    _require(
        bool(diarizer.model.name and diarizer.model.revision), "a model has a name and a revision"
    )


def check_transcriber(transcriber: Transcriber, samples: Samples, *, speech: Segment) -> None:
    """Hold a transcriber to its contract.

    `speech` is a stretch of `samples` in which somebody speaks.

    Raises:
        AssertionError: Names the clause that is broken.
    """

    def hear(heard: Samples, *segments: Segment) -> SpeechRequest:
        return SpeechRequest(sound=ArraySound(heard), speech=segments)

    end_ms = len(samples) * 1000 // MODEL_RATE_HZ
    (transcript,) = transcriber.transcribe([hear(samples, speech)])
    spans = [word.segment for word in transcript.words]
    _require(bool(spans), "speech gives words")
    _require(spans == sorted(spans), "words are sorted by start")
    _require(all(s.end_ms <= end_ms for s in spans), "no word ends after the audio")
    _require(
        all(
            s.start_ms <= speech.end_ms + SLACK_MS and s.end_ms >= speech.start_ms - SLACK_MS
            for s in spans
        ),
        "words lie in the speech",
    )
    _require(
        transcriber.transcribe([hear(samples, speech)]) == [transcript],
        "the same audio gives the same answer",
    )
    _require(
        all(0 <= word.probability <= 1 for word in transcript.words), "probabilities are in 0..1"
    )
    _require(
        transcript.language != "und" and bool(transcript.passages),
        "speech has a language and passages",
    )
    bounds = [passage.segment for passage in transcript.passages]
    _require(
        bounds == sorted(bounds) and all(a.end_ms <= b.start_ms for a, b in pairwise(bounds)),
        "passages are sorted and disjoint",
    )
    late = Segment(start_ms=end_ms + 1000, end_ms=end_ms + 2000)
    shorts = [samples[:length] for length in (1, MODEL_RATE_HZ // 5)]
    together = transcriber.transcribe(
        [
            hear(samples),
            hear(np.zeros(0, np.float32), speech),
            hear(samples, late),
            *(hear(short, speech, Segment(start_ms=0, end_ms=1000)) for short in shorts),
            hear(samples, speech),
        ]
    )
    _require(len(together) == 6, "one answer a request")
    _require(
        all(t.words == () and t.language == "und" for t in together[:3]),
        "without speech, or audio, there is no word and no language",
    )
    for short, heard in zip(shorts, together[3:5], strict=True):
        bound_ms = len(short) * 1000 // MODEL_RATE_HZ
        _require(
            all(word.segment.end_ms <= max(bound_ms, 1) for word in heard.words),
            "short audio keeps its bounds",
        )
    _require(together[5] == transcript, "an answer does not depend on the neighbours")
    _require(transcriber.transcribe([]) == [], "no request gives no answer")
    _require(
        bool(transcriber.model.name and transcriber.model.revision),
        "a model has a name and a revision",
    )


def check_labeler(labeler: Labeler, clips: Sequence[Clip], *, labels: Sequence[str]) -> None:
    """Hold a labeler to its contract.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    answers = labeler.label(clips)
    _require(len(answers) == len(clips), "one distribution a clip")
    _require(
        all(set(answer) == set(labels) for answer in answers),
        "every label of the scheme has a probability",
    )
    _require(
        all(
            abs(sum(answer.values()) - 1) < 1e-6 and min(answer.values()) >= 0 for answer in answers
        ),
        "a distribution adds up to 1",
    )
    _require(
        labeler.label(list(reversed(clips))) == list(reversed(answers)),
        "the order of the clips does not matter",
    )
    _require(labeler.label([]) == [], "no clip gives no answer")
    _require(
        bool(labeler.model.name and labeler.model.revision), "a model has a name and a revision"
    )
    for samples in (
        np.zeros(0, np.float32),
        np.zeros(1, np.float32),
        np.zeros(MODEL_RATE_HZ, np.float32),
    ):
        texts = ("", " ", "\u2026", "\u4f60\u597d")
        odd = labeler.label(
            [
                replace(clip, sound=ArraySound(samples), text=text)
                for clip in clips
                for text in texts
            ]
        )
        _require(
            all(abs(sum(answer.values()) - 1) < 1e-6 for answer in odd),
            "soundless and wordless clips get a distribution too",
        )


def _require(kept: bool, clause: str) -> None:
    if not kept:
        raise AssertionError(f"contract broken: {clause}")
