"""Fake model backends, and the contract that fakes and real ones keep alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

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
        return ModelRef(
            name="fake/level",
            revision="1",
            params={"floor": self._floor},
        )

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        """See `Diarizer.diarize`."""
        return [self._diarize(sound.read()) for sound in sounds]

    def _diarize(self, samples: Samples) -> Diarization:
        hop = MODEL_RATE_HZ // 10
        loud: list[bool] = []
        for at in range(0, len(samples) - hop + 1, hop):
            frame = samples[at : at + hop]
            level = np.abs(frame).max()
            loud.append(bool(level > self._floor))

        segments: list[SpeakerSegment] = []
        start: int | None = None
        for i, is_loud in enumerate([*loud, False]):
            if is_loud and start is None:
                start = i
            elif not is_loud and start is not None:
                segment = Segment(start_ms=start * 100, end_ms=i * 100)
                segments.append(
                    SpeakerSegment(
                        speaker="S0",
                        segment=segment,
                    )
                )
                start = None

        return Diarization(
            segments=tuple(segments),
            embeddings={"S0": (1.0, 0.0)} if segments else {},
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
        inside: list[Segment] = []
        words: list[Word] = []
        for speech in sorted(request.speech):
            if speech.start_ms < end_ms:
                part = Segment(start_ms=speech.start_ms, end_ms=min(speech.end_ms, end_ms))
                inside.append(part)
                words += _count_half_seconds(part)

        passages = [
            Passage(
                segment=segment,
                language="en",
                language_probability=1.0,
            )
            for segment in union(inside)
        ]
        return Transcript(
            passages=tuple(passages),
            words=tuple(words),
            model=self.model,
        )


def _count_half_seconds(speech: Segment) -> list[Word]:
    """One word of 0.4 s for each half second that begins in the speech."""
    words: list[Word] = []
    for at_ms in range(speech.start_ms, speech.end_ms, 500):
        segment = Segment(start_ms=at_ms, end_ms=min(at_ms + 400, speech.end_ms))
        words.append(
            Word(
                text=f" {at_ms // 500}",
                segment=segment,
                probability=1.0,
            )
        )
    return words


class FakeLabeler:
    """Gives nearly all probability to the label that the length of the text picks."""

    def __init__(
        self,
        labels: Sequence[str] = (),
        *,
        scheme: Scheme | None = None,
    ) -> None:
        self._labels = tuple(labels) if scheme is None else scheme.label_names

    @property
    def model(self) -> ModelRef:
        """Names itself a fake, and weak."""
        return ModelRef(
            name="fake/length",
            revision="1",
            params={"labels": list(self._labels)},
            weak=True,
        )

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """See `Labeler.label`."""
        rest = 0.1 / (len(self._labels) - 1)
        answers: list[Distribution] = []
        for clip in clips:
            place = len(clip.text) % len(self._labels)
            answer = dict.fromkeys(self._labels, rest)
            answer[self._labels[place]] = 0.9
            answers.append(answer)
        return answers


def check_diarizer(diarizer: Diarizer, samples: Samples) -> None:
    """Hold a diarizer to its contract on one channel.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    (answer,) = diarizer.diarize([ArraySound(samples)])
    again = diarizer.diarize([ArraySound(samples)])
    _require(again == [answer], "the same audio gives the same answer")
    _check_diarization(answer, end_ms=_duration_ms(samples))

    (lone,) = diarizer.diarize([ArraySound(samples)], max_speakers=1)
    lone_speakers = {s.speaker for s in lone.segments}
    _require(lone_speakers <= {"S0"}, "max_speakers=1 gives one speaker")

    nothing = np.zeros(0, np.float32)
    silence = np.zeros(5 * MODEL_RATE_HZ, np.float32)
    short_lengths = (1, MODEL_RATE_HZ // 5, MODEL_RATE_HZ // 2)
    shorts = [samples[:length] for length in short_lengths]
    waves = (nothing, silence, *shorts, samples)
    together = diarizer.diarize([ArraySound(wave) for wave in waves])
    _require(len(together) == 6, "one answer a sound")
    of_nothing, of_silence, *of_shorts, of_whole = together
    is_quiet = not of_nothing.segments and not of_silence.segments
    _require(is_quiet, "neither silence nor no audio gives a segment")
    for short, short_answer in zip(shorts, of_shorts, strict=True):
        bound_ms = _duration_ms(short)
        is_inside = all(s.segment.end_ms <= bound_ms for s in short_answer.segments)
        _require(is_inside, "short audio keeps its bounds")
    _require(of_whole == answer, "an answer does not depend on the neighbours")

    _require(diarizer.diarize([]) == [], "no sound gives no answer")
    _check_model(diarizer.model)


def _check_diarization(answer: Diarization, *, end_ms: int) -> None:
    """Hold one answer of a diarizer to the contract."""
    segments = list(answer.segments)
    by_start = sorted(segments, key=lambda s: (s.segment, s.speaker))
    _require(segments == by_start, "segments are sorted by start")
    is_inside = all(s.segment.end_ms <= end_ms for s in segments)
    _require(is_inside, "no segment ends after the audio")

    speakers = list(dict.fromkeys(s.speaker for s in segments))
    expected = [f"S{number}" for number in range(len(speakers))]
    _require(speakers == expected, "speakers are S0, S1, ... in order of appearance")

    embeddings = answer.embeddings
    _require(set(embeddings) <= set(speakers), "only speakers who speak have embeddings")
    lengths = [float(np.linalg.norm(vector)) for vector in embeddings.values()]
    are_unit = all(abs(length - 1) < 1e-3 for length in lengths)
    _require(are_unit, "embeddings have length one")
    _require(not embeddings or answer.voice_model is not None, "embeddings name their model")


def check_transcriber(transcriber: Transcriber, samples: Samples, *, speech: Segment) -> None:
    """Hold a transcriber to its contract.

    `speech` is a stretch of `samples` in which somebody speaks.

    Raises:
        AssertionError: Names the clause that is broken.
    """

    def hear(heard: Samples, *segments: Segment) -> SpeechRequest:
        return SpeechRequest(
            sound=ArraySound(heard),
            speech=segments,
        )

    end_ms = _duration_ms(samples)
    (transcript,) = transcriber.transcribe([hear(samples, speech)])
    _check_words(transcript, speech=speech, end_ms=end_ms)
    again = transcriber.transcribe([hear(samples, speech)])
    _require(again == [transcript], "the same audio gives the same answer")
    _check_passages(transcript)

    late = Segment(start_ms=end_ms + 1000, end_ms=end_ms + 2000)
    first_second = Segment(start_ms=0, end_ms=1000)
    nothing = np.zeros(0, np.float32)
    shorts = [samples[:length] for length in (1, MODEL_RATE_HZ // 5)]
    together = transcriber.transcribe(
        [
            hear(samples),
            hear(nothing, speech),
            hear(samples, late),
            *(hear(short, speech, first_second) for short in shorts),
            hear(samples, speech),
        ]
    )
    _require(len(together) == 6, "one answer a request")
    are_wordless = all(t.words == () and t.language == "und" for t in together[:3])
    _require(are_wordless, "without speech, or audio, there is no word and no language")
    for short, short_answer in zip(shorts, together[3:5], strict=True):
        bound_ms = max(_duration_ms(short), 1)
        is_inside = all(word.segment.end_ms <= bound_ms for word in short_answer.words)
        _require(is_inside, "short audio keeps its bounds")
    _require(together[5] == transcript, "an answer does not depend on the neighbours")

    _require(transcriber.transcribe([]) == [], "no request gives no answer")
    _check_model(transcriber.model)


def _check_words(transcript: Transcript, *, speech: Segment, end_ms: int) -> None:
    """Hold the words of a transcript of `speech` to the contract."""
    spans = [word.segment for word in transcript.words]
    _require(bool(spans), "speech gives words")
    _require(spans == sorted(spans), "words are sorted by start")
    is_inside = all(span.end_ms <= end_ms for span in spans)
    _require(is_inside, "no word ends after the audio")

    earliest_ms = speech.start_ms - SLACK_MS
    latest_ms = speech.end_ms + SLACK_MS
    are_early = all(span.start_ms <= latest_ms for span in spans)
    are_late = all(span.end_ms >= earliest_ms for span in spans)
    _require(are_early and are_late, "words lie in the speech")

    probabilities = [word.probability for word in transcript.words]
    are_shares = all(0 <= p <= 1 for p in probabilities)
    _require(are_shares, "probabilities are in 0..1")


def _check_passages(transcript: Transcript) -> None:
    """Hold the passages of a transcript of speech to the contract."""
    _require(
        transcript.language != "und" and bool(transcript.passages),
        "speech has a language and passages",
    )
    bounds = [passage.segment for passage in transcript.passages]
    is_disjoint = all(a.end_ms <= b.start_ms for a, b in pairwise(bounds))
    _require(bounds == sorted(bounds) and is_disjoint, "passages are sorted and disjoint")


def check_labeler(
    labeler: Labeler,
    clips: Sequence[Clip],
    *,
    labels: Sequence[str],
) -> None:
    """Hold a labeler to its contract.

    Raises:
        AssertionError: Names the clause that is broken.
    """
    answers = labeler.label(clips)
    _require(len(answers) == len(clips), "one distribution a clip")
    are_whole = all(set(answer) == set(labels) for answer in answers)
    _require(are_whole, "every label of the scheme has a probability")
    are_positive = all(min(answer.values()) >= 0 for answer in answers)
    add_up = all(map(_adds_up, answers))
    _require(are_positive and add_up, "a distribution adds up to 1")

    backwards = labeler.label(list(reversed(clips)))
    backwards.reverse()
    _require(backwards == answers, "the order of the clips does not matter")
    _require(labeler.label([]) == [], "no clip gives no answer")
    _check_model(labeler.model)

    texts = ("", " ", "\u2026", "\u4f60\u597d")
    for num_samples in (0, 1, MODEL_RATE_HZ):
        sound = ArraySound(np.zeros(num_samples, np.float32))
        odd_clips = [replace(clip, sound=sound, text=text) for clip, text in product(clips, texts)]
        add_up = all(map(_adds_up, labeler.label(odd_clips)))
        _require(add_up, "soundless and wordless clips get a distribution too")


def _adds_up(answer: Distribution) -> bool:
    return abs(sum(answer.values()) - 1) < 1e-6


def _check_model(model: ModelRef) -> None:
    _require(bool(model.name and model.revision), "a model has a name and a revision")


def _duration_ms(samples: Samples) -> int:
    return len(samples) * 1000 // MODEL_RATE_HZ


def _require(kept: bool, clause: str) -> None:
    if not kept:
        raise AssertionError(f"contract broken: {clause}")
