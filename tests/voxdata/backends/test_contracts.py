"""One contract for fakes and real backends."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyannote.core import Annotation, Timeline
from pyannote.core import Segment as Span
from pyannote.metrics.diarization import DiarizationErrorRate

from flows.demo.samples import sample_paths
from voxdata.backends import load_backend
from voxdata.backends.diarization.pyannote import PyannoteDiarizer
from voxdata.backends.labelling.affect import AffectLabeler, estimate_arousal, median_pitch_hz
from voxdata.backends.labelling.similarity import SimilarityLabeler
from voxdata.backends.transcription.whisper import WhisperTranscriber, cut_windows
from voxdata.backends.weights import locate, weights_status
from voxdata.errors import BackendError
from voxdata.label import Distribution
from voxdata.ports import Clip, Diarization, Samples, Sound, SpeakerSegment, SpeechRequest
from voxdata.rttm import decode_rttm
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.segment import Segment
from voxdata.sound import ArraySound
from voxdata.testing.backends import (
    FakeDiarizer,
    FakeLabeler,
    FakeTranscriber,
    check_diarizer,
    check_labeler,
    check_transcriber,
)
from voxdata.testing.recordings import read_recording
from voxdata.testing.synthetic import tone
from voxdata.utterance import Transcript

INTENT = Scheme(
    name="intent",
    version=1,
    labels=(
        SchemeLabel(name="question", examples=("what time is it", "where do you live")),
        SchemeLabel(name="问候", examples=("hello", "good morning")),
    ),
)
EMOTION = Scheme(
    name="emotion",
    version=1,
    labels=(
        SchemeLabel(name="happy", valence=0.8, arousal=0.5),
        SchemeLabel(name="sad", valence=-0.8, arousal=-0.5),
    ),
)
SOUND = np.concatenate(
    [
        np.zeros(16_000, np.float32),
        np.full(32_000, 0.5, np.float32),
        np.zeros(16_000, np.float32),
    ]
)


@pytest.fixture(scope="module")
def conversation() -> Samples:
    return read_recording(sample_paths()[0])[1][:, 0]


@pytest.fixture(scope="module")
def diarizer() -> PyannoteDiarizer:
    return PyannoteDiarizer()


def clips(samples: Samples) -> list[Clip]:
    texts = ["what time is it?", "hello there", "", "this is wonderful", "I hate this"]
    return [
        Clip(
            utterance_id=str(i),
            speaker=f"S{i % 2}",
            sound=ArraySound(samples[i * 9000 : (i + 1) * 16_000]),
            text=text,
            language="en",
        )
        for i, text in enumerate(texts)
    ]


def test_fakes_keep_the_contracts() -> None:
    check_diarizer(FakeDiarizer(), SOUND)
    check_transcriber(
        FakeTranscriber(),
        SOUND,
        speech=Segment(start_ms=1000, end_ms=3000),
    )
    check_labeler(
        FakeLabeler(["a", "b"]),
        clips(SOUND),
        labels=["a", "b"],
    )


class LateDiarizer(FakeDiarizer):
    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        def late(s: SpeakerSegment) -> SpeakerSegment:
            return replace(
                s,
                segment=Segment(start_ms=s.segment.start_ms, end_ms=s.segment.end_ms + 60_000),
            )

        diarizations = []
        for diarization in super().diarize(sounds):
            segments = tuple(late(s) for s in diarization.segments)
            diarizations.append(replace(diarization, segments=segments))
        return diarizations


class MisnamingDiarizer(FakeDiarizer):
    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        diarizations = []
        for diarization in super().diarize(sounds):
            segments = tuple(replace(s, speaker="S1") for s in diarization.segments)
            diarizations.append(replace(diarization, segments=segments, embeddings={}))
        return diarizations


class NeighbourlyDiarizer(FakeDiarizer):
    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        return [
            replace(
                diarization,
                segments=diarization.segments[: len(diarization.segments) - (len(sounds) > 1)],
            )
            for diarization in super().diarize(sounds)
        ]


class DeafTranscriber(FakeTranscriber):
    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        return super().transcribe([replace(request, speech=()) for request in requests])


class EagerTranscriber(FakeTranscriber):
    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        return super().transcribe(
            [
                replace(request, speech=(Segment(start_ms=0, end_ms=100_000),))
                for request in requests
            ]
        )


class RankingLabeler(FakeLabeler):
    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        return [{"a": 1 / (i + 1), "b": i / (i + 1)} for i, _ in enumerate(clips)]


class PartialLabeler(FakeLabeler):
    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        return [{"a": 1.0} for _ in clips]


@pytest.mark.parametrize(
    ("diarizer", "clause"),
    [
        (LateDiarizer(), "ends after the audio"),
        (MisnamingDiarizer(), "order of appearance"),
        (NeighbourlyDiarizer(), "depend on the neighbours"),
    ],
)
def test_check_diarizer_names_the_broken_clause(diarizer: FakeDiarizer, clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_diarizer(diarizer, SOUND)


@pytest.mark.parametrize(
    ("transcriber", "clause"),
    [(DeafTranscriber(), "speech gives words"), (EagerTranscriber(), "lie in the speech")],
)
def test_check_transcriber_names_the_broken_clause(
    transcriber: FakeTranscriber, clause: str
) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_transcriber(
            transcriber,
            SOUND,
            speech=Segment(start_ms=1000, end_ms=3000),
        )


@pytest.mark.parametrize(
    ("labeler", "clause"),
    [
        (RankingLabeler(["a", "b"]), "order of the clips"),
        (PartialLabeler(["a", "b"]), "every label"),
    ],
)
def test_check_labeler_names_the_broken_clause(labeler: FakeLabeler, clause: str) -> None:
    with pytest.raises(AssertionError, match=clause):
        check_labeler(labeler, clips(SOUND), labels=["a", "b"])


@pytest.mark.slow
def test_pyannote_keeps_the_contract(diarizer: PyannoteDiarizer, conversation: Samples) -> None:
    check_diarizer(diarizer, conversation)


@pytest.mark.slow
def test_pyannote_finds_both_speakers_of_the_sample(
    diarizer: PyannoteDiarizer, conversation: Samples
) -> None:
    truth = decode_rttm(
        Path(sample_paths()[0]).with_suffix(".rttm").read_text(encoding="utf-8"),
        recording_id="r",
    )
    reference, hypothesis = Annotation(), Annotation()
    for turn in truth:
        reference[Span(turn.segment.start_ms / 1000, turn.segment.end_ms / 1000), turn.segment] = (
            turn.speaker
        )
    for diarization in diarizer.diarize([ArraySound(conversation)])[0].segments:
        hypothesis[
            Span(diarization.segment.start_ms / 1000, diarization.segment.end_ms / 1000),
            diarization,
        ] = diarization.speaker
    assert len(hypothesis.labels()) == 2
    assert (
        DiarizationErrorRate(collar=0.0, skip_overlap=False)(
            reference,
            hypothesis,
            uem=Timeline([Span(0, 30)]),
        )
        < 0.10
    )


@pytest.mark.slow
def test_pyannote_names_the_remedy_when_a_hub_pipeline_cannot_be_had(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="packaged"):
        PyannoteDiarizer(pipeline=str(tmp_path / "nowhere")).diarize(
            [ArraySound(np.ones(16_000, np.float32))]
        )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["packaged-base", "packaged-tiny.en"])
def test_whisper_keeps_the_contract(conversation: Samples, model: str) -> None:
    check_transcriber(
        WhisperTranscriber(model=model),
        conversation,
        speech=Segment(start_ms=21_766, end_ms=28_500),
    )


@pytest.mark.slow
def test_whisper_hears_the_words_and_the_language(conversation: Samples) -> None:
    transcript = WhisperTranscriber().transcribe(
        [
            SpeechRequest(
                sound=ArraySound(conversation), speech=(Segment(start_ms=6500, end_ms=30_000),)
            )
        ]
    )[0]
    text = "".join(word.text for word in transcript.words).lower()
    assert transcript.language == "en"
    assert [word for word in ("hello", "chicago", "yankee", "jersey") if word not in text] == []


def test_cut_windows_covers_all_speech_without_overlap() -> None:
    spoken = [
        Segment(start_ms=500, end_ms=3000),
        Segment(start_ms=3500, end_ms=4000),
        Segment(start_ms=10_000, end_ms=70_000),
    ]
    windows = cut_windows(spoken, end_ms=70_000)
    for s in spoken:
        for at in range(s.start_ms, s.end_ms, 100):
            assert any(w.start_ms <= at < w.end_ms for w in windows)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(windows))
    assert max(w.duration_ms for w in windows) <= 30_000


@pytest.mark.slow
def test_similarity_keeps_the_contract_and_prefers_the_nearest_label(conversation: Samples) -> None:
    labeler = SimilarityLabeler(scheme=INTENT)
    check_labeler(labeler, clips(conversation), labels=INTENT.label_names)
    answers = labeler.label(clips(conversation))
    assert answers[0]["question"] > 0.6
    assert answers[1]["问候"] > 0.6
    assert labeler.model.weak


@pytest.mark.slow
def test_similarity_abstains_on_empty_text_and_other_languages(conversation: Samples) -> None:
    strangers = [
        Clip(
            utterance_id="a",
            speaker="s",
            sound=ArraySound(conversation),
            text="",
            language="en",
        ),
        Clip(
            utterance_id="b",
            speaker="s",
            sound=ArraySound(conversation),
            text="你好",
            language="zh",
        ),
        Clip(
            utterance_id="c",
            speaker="s",
            sound=ArraySound(conversation),
            text="...",
            language="en",
        ),
    ]
    labelled = SimilarityLabeler(scheme=INTENT).label(strangers)
    assert labelled == [{"question": 0.5, "问候": 0.5}] * 3


def test_similarity_names_labels_without_examples() -> None:
    with pytest.raises(BackendError, match="happy, sad"):
        SimilarityLabeler(scheme=EMOTION)
    blank = replace(
        INTENT,
        labels=(
            SchemeLabel(name="a", examples=("hello",)),
            SchemeLabel(name="b", examples=(" ",)),
        ),
    )
    with pytest.raises(BackendError, match="for b;"):
        SimilarityLabeler(scheme=blank)


def test_affect_keeps_the_contract_and_hears_the_words(conversation: Samples) -> None:
    labeler = AffectLabeler(scheme=EMOTION)
    check_labeler(labeler, clips(conversation), labels=EMOTION.label_names)
    answers = labeler.label(clips(conversation))
    assert answers[3]["happy"] > 0.5 > answers[4]["happy"]


def test_affect_survives_empty_and_silent_clips() -> None:
    empty = [
        Clip(
            utterance_id=str(i),
            speaker="s",
            sound=ArraySound(np.zeros(length, np.float32)),
            text="",
            language="und",
        )
        for i, length in enumerate((0, 1, 640, 16_000))
    ]
    labelled = AffectLabeler(scheme=EMOTION).label(empty)
    assert all(abs(answer["happy"] - 0.5) < 0.4 for answer in labelled)


def test_affect_names_labels_without_a_place() -> None:
    with pytest.raises(BackendError, match="question"):
        AffectLabeler(scheme=INTENT)


def test_affect_takes_what_a_clip_does_not_give_as_unknown() -> None:
    sounds = [tone(1000, frequency_hz=hz) for hz in (220, 240, 260)]
    told = [
        Clip(
            utterance_id=str(i),
            speaker="s",
            sound=ArraySound(x),
            text="ten chars!",
            language="en",
        )
        for i, x in enumerate(sounds)
    ]
    mute = Clip(
        utterance_id="m",
        speaker="s",
        sound=ArraySound(np.zeros(16_000, np.float32)),
        text="",
        language="und",
    )
    alone = AffectLabeler(scheme=EMOTION).label(told)
    beside = AffectLabeler(scheme=EMOTION).label([*told, mute])
    assert beside[:3] == alone
    assert beside[3] == {"happy": 0.5, "sad": 0.5}


@pytest.mark.parametrize(
    ("text", "language"),
    [("我很生气", "zh"), ("怒っています", "ja"), ("...", "en"), ("", "und")],
)
def test_affect_abstains_when_neither_words_nor_voice_tell_anything(
    text: str, language: str
) -> None:
    clip = Clip(
        utterance_id="a",
        speaker="s",
        sound=ArraySound(tone(1000)),
        text=text,
        language=language,
    )
    neutral = replace(
        EMOTION,
        labels=(
            *EMOTION.labels,
            SchemeLabel(
                name="neutral",
                valence=0.0,
                arousal=0.0,
            ),
        ),
    )
    labelled = AffectLabeler(scheme=neutral).label([clip])
    assert labelled == [dict.fromkeys(neutral.label_names, pytest.approx(1 / 3))]


def test_affect_hears_the_voice_through_mains_hum() -> None:
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(16_000) / 16_000)
    sounds = [(tone(1000, frequency_hz=hz) + hum).astype(np.float32) for hz in (100, 120, 140, 200)]
    humming = [
        Clip(
            utterance_id=str(i),
            speaker="s",
            sound=ArraySound(x),
            text="same",
            language="en",
        )
        for i, x in enumerate(sounds)
    ]
    arousal = estimate_arousal(humming)
    assert arousal == sorted(arousal)
    assert arousal[3] - arousal[0] > 0.3
    assert median_pitch_hz(hum) == 0.0


@pytest.mark.parametrize("hz", [100.0, 220.0])
def test_median_pitch_hz_hears_a_tone(hz: float) -> None:
    assert abs(median_pitch_hz(tone(1000, frequency_hz=hz)) - hz) < 5


def test_weights_are_all_present_and_checked() -> None:
    details = [status.detail for status in weights_status() if not status.present]
    assert details == []


def test_locate_names_unknown_weights() -> None:
    with pytest.raises(BackendError, match="nothing-such"):
        locate("nothing-such")


def test_load_backend_takes_a_strangers_class() -> None:
    assert isinstance(
        load_backend("diarizer", "voxdata.testing.backends:FakeDiarizer", floor=0.2),
        FakeDiarizer,
    )


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("nobody", {}, "pyannote"),
        ("pyannote", {"treshold": 1}, "treshold"),
        ("no.where:X", {}, "no.where"),
    ],
)
def test_load_backend_says_what_is_wrong(
    name: str,
    options: dict[str, object],
    told: str,
) -> None:
    with pytest.raises(BackendError, match=told):
        load_backend("diarizer", name, **options)
