"""Fake model backends, and the contract that fakes and real ones keep alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from voxdata.identity import ModelRef
from voxdata.label import Distribution
from voxdata.ports import MODEL_RATE_HZ, Clip, Diarizer, Labeler, Samples, SpeakerSegment, Transcriber
from voxdata.segment import Segment
from voxdata.utterance import Transcript, Word

SLACK_MS = 500
"""How far outside the speech a word may lie: boundaries of both are estimates."""


class FakeDiarizer:
    """Hears a speaker wherever the level of a 100 ms frame is above `floor`; all speech is one speaker's."""

    def __init__(self, *, floor: float = 0.01) -> None:
        self._floor = floor

    @property
    def model(self) -> ModelRef:
        """Names itself a fake."""
        return ModelRef(name="fake/level", revision="1", params={"floor": self._floor})

    def diarize(self, samples: Samples, *, max_speakers: int | None = None) -> list[SpeakerSegment]:
        """See `Diarizer.diarize`."""
        hop = MODEL_RATE_HZ // 10
        loud = [bool(np.abs(samples[at : at + hop]).max() > self._floor) for at in range(0, len(samples) - hop + 1, hop)]
        found: list[SpeakerSegment] = []
        start: int | None = None
        for i, now in enumerate([*loud, False]):
            if now and start is None:
                start = i
            elif not now and start is not None:
                found.append(SpeakerSegment(speaker="S0", segment=Segment(start_ms=start * 100, end_ms=i * 100)))
                start = None
        return found


class FakeTranscriber:
    """Hears one word in every half second of speech: the number of that half second."""

    @property
    def model(self) -> ModelRef:
        """Names itself a fake."""
        return ModelRef(name="fake/counter", revision="1")

    def transcribe(self, samples: Samples, *, speech: Sequence[Segment]) -> Transcript:
        """See `Transcriber.transcribe`."""
        end_ms = len(samples) * 1000 // MODEL_RATE_HZ
        words = [
            Word(text=f" {at // 500}", segment=Segment(start_ms=at, end_ms=min(at + 400, s.end_ms, end_ms)), probability=1.0)
            for s in sorted(speech)
            for at in range(s.start_ms, min(s.end_ms, end_ms), 500)
        ]
        return Transcript(
            language="en" if words else "und", language_probability=1.0 if words else 0.0, words=tuple(words), model=self.model
        )


class FakeLabeler:
    """Gives nearly all probability to the label that the length of the text picks."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)

    @property
    def model(self) -> ModelRef:
        """Names itself a fake, and weak."""
        return ModelRef(name="fake/length", revision="1", params={"labels": list(self._labels)}, weak=True)

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        rest = 0.1 / (len(self._labels) - 1)
        return [{name: 0.9 if i == len(c.text) % len(self._labels) else rest for i, name in enumerate(self._labels)} for c in clips]


def check_diarizer(diarizer: Diarizer, samples: Samples) -> None:
    """Hold a diarizer to its contract on one channel.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    end_ms = len(samples) * 1000 // MODEL_RATE_HZ
    found = diarizer.diarize(samples)
    _require(diarizer.diarize(samples) == found, "the same audio gives the same answer")
    _require(found == sorted(found, key=lambda s: (s.segment, s.speaker)), "segments are sorted by start")
    _require(all(s.segment.end_ms <= end_ms for s in found), "no segment ends after the audio")
    first_heard = list(dict.fromkeys(s.speaker for s in found))
    _require(first_heard == [f"S{i}" for i in range(len(first_heard))], "speakers are S0, S1, ... in order of appearance")
    _require({s.speaker for s in diarizer.diarize(samples, max_speakers=1)} <= {"S0"}, "max_speakers=1 gives one speaker")
    _require(diarizer.diarize(np.zeros(0, np.float32)) == [], "no audio gives no segment")
    _require(diarizer.diarize(np.zeros(5 * MODEL_RATE_HZ, np.float32)) == [], "silence gives no segment")
    for length in (1, MODEL_RATE_HZ // 5, MODEL_RATE_HZ // 2):
        short = diarizer.diarize(samples[:length])
        _require(all(s.segment.end_ms <= length * 1000 // MODEL_RATE_HZ for s in short), "short audio keeps its bounds")
    _require(bool(diarizer.model.name and diarizer.model.revision), "a model has a name and a revision")


def check_transcriber(transcriber: Transcriber, samples: Samples, *, speech: Segment) -> None:
    """Hold a transcriber to its contract; `speech` is a stretch of `samples` in which somebody speaks.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    end_ms = len(samples) * 1000 // MODEL_RATE_HZ
    transcript = transcriber.transcribe(samples, speech=[speech])
    spans = [word.segment for word in transcript.words]
    _require(bool(spans), "speech gives words")
    _require(spans == sorted(spans), "words are sorted by start")
    _require(all(s.end_ms <= end_ms for s in spans), "no word ends after the audio")
    _require(
        all(s.start_ms <= speech.end_ms + SLACK_MS and s.end_ms >= speech.start_ms - SLACK_MS for s in spans), "words lie in the speech"
    )
    _require(transcriber.transcribe(samples, speech=[speech]) == transcript, "the same audio gives the same answer")
    _require(all(0 <= word.probability <= 1 for word in transcript.words), "probabilities are in 0..1")
    _require(transcriber.transcribe(samples, speech=[]).words == (), "without speech there is no word")
    _require(transcriber.transcribe(np.zeros(0, np.float32), speech=[speech]).words == (), "without audio there is no word")
    _require(transcriber.transcribe(samples, speech=[]).language == "und", "without speech the language is undetermined")
    late = Segment(start_ms=end_ms + 1000, end_ms=end_ms + 2000)
    _require(transcriber.transcribe(samples, speech=[late]).words == (), "speech said to lie after the audio gives no word")
    for length in (1, MODEL_RATE_HZ // 5):
        short = transcriber.transcribe(samples[:length], speech=[speech, Segment(start_ms=0, end_ms=1000)])
        bound_ms = length * 1000 // MODEL_RATE_HZ
        _require(all(word.segment.end_ms <= bound_ms for word in short.words), "short audio keeps its bounds")
    _require(bool(transcriber.model.name and transcriber.model.revision), "a model has a name and a revision")


def check_labeler(labeler: Labeler, clips: Sequence[Clip], *, labels: Sequence[str]) -> None:
    """Hold a labeler to its contract.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    answers = labeler.label(clips)
    _require(len(answers) == len(clips), "one distribution a clip")
    _require(all(set(answer) == set(labels) for answer in answers), "every label of the scheme has a probability")
    _require(all(abs(sum(answer.values()) - 1) < 1e-6 and min(answer.values()) >= 0 for answer in answers), "a distribution adds up to 1")
    _require(labeler.label(list(reversed(clips))) == list(reversed(answers)), "the order of the clips does not matter")
    _require(labeler.label([]) == [], "no clip gives no answer")
    _require(bool(labeler.model.name and labeler.model.revision), "a model has a name and a revision")
    for samples in (np.zeros(0, np.float32), np.zeros(1, np.float32), np.zeros(MODEL_RATE_HZ, np.float32)):
        odd = labeler.label([replace(clip, samples=samples, text=text) for clip in clips for text in ("", " ", "\u2026", "\u4f60\u597d")])
        _require(all(abs(sum(answer.values()) - 1) < 1e-6 for answer in odd), "soundless and wordless clips get a distribution too")


def _require(kept: bool, clause: str) -> None:
    if not kept:
        raise AssertionError(f"contract broken: {clause}")
