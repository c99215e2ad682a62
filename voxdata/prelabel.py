"""Pre-labelling: from canonical audio to all that models say about it.

That is turns, transcripts, utterances, measures, personal data and proposals. Several recordings go
through each stage together, so that batches fill up; no answer depends on the neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from voxdata.crosstalk import measure_leaks
from voxdata.guards import mark_utterance
from voxdata.identity import ModelRef
from voxdata.increment import (
    CUT,
    DIARIZE,
    LABEL,
    MEASURE,
    SCAN,
    SECOND_OPINION,
    TRANSCRIBE,
    Progress,
    StageSpec,
)
from voxdata.label import Prediction
from voxdata.measure import Quality
from voxdata.ports import (
    Clip,
    Diarization,
    Diarizer,
    Labeler,
    PrivacyScanner,
    Sound,
    SpeechRequest,
    Transcriber,
)
from voxdata.privacy import PrivateSpan, scan_utterances
from voxdata.quality import MosPredictor, measure_utterances
from voxdata.script import Script, write_in_script
from voxdata.sound import cut_sound, duration_ms
from voxdata.turn import Turn, merge_turns, sort_turns
from voxdata.utterance import MIN_MS, Transcript, Utterance, Word, cut_utterances

Agreement = Callable[[str, str, str], float | None]
"""(text, second text, language) -> error rate of the second against the first.

None where there is nothing to compare.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What pre-labelling runs.

    Attributes:
        second_transcriber: Hears everything once more; how far the two agree is a measure of
            quality.
        agreement: Needed with `second_transcriber`.
        mos: Predicts how good the audio sounds to people.
        labelers: Scheme name -> labeler.
        cutting: Keyword arguments of `cut_utterances`.
        chinese: The script in which Chinese is written, whichever a transcriber chose; None leaves
            it as heard.
    """

    diarizer: Diarizer
    transcriber: Transcriber
    labelers: Mapping[str, Labeler]
    second_transcriber: Transcriber | None = None
    agreement: Agreement | None = None
    scanner: PrivacyScanner | None = None
    mos: MosPredictor | None = None
    max_speakers: int | None = None
    cutting: Mapping[str, int] = field(default_factory=dict)
    chinese: Script | None = None

    def specs(self, *, scheme_versions: Mapping[str, int]) -> tuple[StageSpec, ...]:
        """The stages in order of execution."""
        stages: list[StageSpec] = []

        def add(
            name: str,
            model: ModelRef | None,
            *,
            reads: tuple[str, ...] = (),
            params: Mapping[str, object] | None = None,
        ) -> None:
            stages.append(
                StageSpec(
                    name=name,
                    model=model,
                    params=params or {},
                    reads=reads,
                )
            )

        add(
            DIARIZE,
            self.diarizer.model,
            params={"max_speakers": self.max_speakers},
        )
        add(TRANSCRIBE, self.transcriber.model, reads=(DIARIZE,))
        measured: tuple[str, ...] = (CUT,)
        if self.second_transcriber is not None:
            add(SECOND_OPINION, self.second_transcriber.model, reads=(DIARIZE,))
            measured = (CUT, SECOND_OPINION)
        add(
            CUT,
            None,
            params=self._cutting_params(),
            reads=(DIARIZE, TRANSCRIBE),
        )
        add(
            MEASURE,
            None if self.mos is None else self.mos.model,
            reads=measured,
        )
        if self.scanner is not None:
            add(SCAN, self.scanner.model, reads=(CUT,))
        for scheme, labeler in self.labelers.items():
            params = {"scheme_version": scheme_versions[scheme]}
            add(
                f"{LABEL}{scheme}",
                labeler.model,
                params=params,
                reads=(CUT,),
            )
        return tuple(stages)

    def _cutting_params(self) -> dict[str, object]:
        params: dict[str, object] = dict(self.cutting)
        # Cuts from before `min_ms` could be set were made with its default; their keys do not name
        # it, so they hold.
        if params.get("min_ms") == MIN_MS:
            del params["min_ms"]
        # Transcripts are kept as heard: another script costs no second listening.
        if self.chinese is not None:
            params["chinese"] = self.chinese.name
            params["chinese_revision"] = self.chinese.revision
        return params


@dataclass(slots=True, kw_only=True)
class RecordingWork:
    """One recording on its way through the stages.

    Results it has are given, those in `wanted` are filled in.

    Attributes:
        sounds: One per canonical channel. A lone channel is diarized; of several, each is one
            party, so its speaker is the channel ("C0", "C1", ...) and overlap survives.
        source_rate_hz: Rate of the original, which bounds its true bandwidth.
        wanted: Stages to run.
        diarizations: One per channel, as the diarizer gave them.
        transcripts, second_transcripts: One per channel.
        quality: Utterance id -> measures.
        private: Utterance id -> personal data in its text.
        predictions: One for each utterance and scheme wanted.
    """

    recording_id: str
    sounds: Sequence[Sound]
    source_rate_hz: int
    wanted: frozenset[str]
    turns: tuple[Turn, ...] = ()
    diarizations: Sequence[Diarization] = ()
    transcripts: Sequence[Transcript] = ()
    second_transcripts: Sequence[Transcript] = ()
    utterances: tuple[Utterance, ...] = ()
    quality: Mapping[str, Quality] = field(default_factory=dict)
    private: Mapping[str, Sequence[PrivateSpan]] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()

    def channel_turns(self, channel: int) -> list[Turn]:
        """The turns of one channel."""
        return [turn for turn in self.turns if turn.channel == channel]


def run_stages(
    work: Sequence[RecordingWork],
    models: Models,
    *,
    progress: Progress | None = None,
) -> None:
    """Run the wanted stages of some recordings and fill in their results.

    Raises:
        AudioError: A recording cannot be read.
        BackendError: A model cannot be loaded or failed. Which recording is to blame is not known:
            run them one by one to find out.
    """

    def begin(stage: str) -> list[RecordingWork]:
        if progress is not None:
            progress(stage)
        return [recording for recording in work if stage in recording.wanted]

    diarize(begin(DIARIZE), models)

    wanted = begin(TRANSCRIBE)
    for recording, transcripts in _transcribe(wanted, models.transcriber):
        recording.transcripts = transcripts
    if models.second_transcriber is not None:
        wanted = begin(SECOND_OPINION)
        for recording, transcripts in _transcribe(wanted, models.second_transcriber):
            recording.second_transcripts = transcripts

    for recording in begin(CUT):
        recording.utterances = cut_recording(recording, models.cutting, chinese=models.chinese)
    for recording in begin(MEASURE):
        _measure(recording, models)
    if models.scanner is not None:
        for recording in begin(SCAN):
            spans = scan_utterances(models.scanner, recording.utterances)
            recording.private = measure_leaks(spans, recording.utterances, recording.sounds)
    for scheme, labeler in models.labelers.items():
        _label(begin(f"{LABEL}{scheme}"), scheme, labeler)


def diarize(work: Sequence[RecordingWork], models: Models) -> None:
    """Fill in turns and diarizations."""
    rooms = [recording for recording in work if len(recording.sounds) == 1]
    answers = models.diarizer.diarize(
        [room.sounds[0] for room in rooms],
        max_speakers=models.max_speakers,
    )
    for room, diarization in zip(rooms, answers, strict=True):
        room.diarizations = [diarization]

    calls = [recording for recording in work if len(recording.sounds) > 1]
    channels = list(chain.from_iterable(call.sounds for call in calls))
    channel_answers = iter(models.diarizer.diarize(channels, max_speakers=1))
    for call in calls:
        call.diarizations = [
            _rename(next(channel_answers), f"C{channel}") for channel in range(len(call.sounds))
        ]

    for recording in work:
        recording.turns = _turns(recording)


def _turns(recording: RecordingWork) -> tuple[Turn, ...]:
    """The turns of a recording that was diarized, across short silences."""
    turns: list[Turn] = []
    for channel, diarization in enumerate(recording.diarizations):
        for heard in diarization.segments:
            turns.append(
                Turn(
                    recording_id=recording.recording_id,
                    channel=channel,
                    speaker=heard.speaker,
                    segment=heard.segment,
                )
            )
    return tuple(sort_turns(merge_turns(turns)))


def _rename(diarization: Diarization, speaker: str) -> Diarization:
    """The diarization of a party by itself, with the speaker called so."""
    embeddings = list(diarization.embeddings.values())
    return replace(
        diarization,
        segments=tuple(replace(s, speaker=speaker) for s in diarization.segments),
        embeddings={speaker: embeddings[0]} if embeddings else {},
    )


def _transcribe(
    work: Sequence[RecordingWork], transcriber: Transcriber
) -> list[tuple[RecordingWork, list[Transcript]]]:
    """Each recording with a transcript per channel."""
    requests: list[SpeechRequest] = []
    for recording in work:
        for channel, sound in enumerate(recording.sounds):
            speech = tuple(turn.segment for turn in recording.channel_turns(channel))
            requests.append(
                SpeechRequest(
                    sound=sound,
                    speech=speech,
                )
            )
    answers = iter(transcriber.transcribe(requests))
    transcribed: list[tuple[RecordingWork, list[Transcript]]] = []
    for recording in work:
        transcripts = [next(answers) for _ in recording.sounds]
        transcribed.append((recording, transcripts))
    return transcribed


def cut_recording(
    work: RecordingWork,
    cutting: Mapping[str, int],
    *,
    chinese: Script | None = None,
) -> tuple[Utterance, ...]:
    """Utterances of all channels, none reaching past the end of the audio.

    Each is marked where its text is doubtful.
    """
    end_ms = min((duration_ms(sound) for sound in work.sounds), default=0)
    utterances: list[Utterance] = []
    for channel in range(len(work.sounds)):
        transcript = _written(work.transcripts[channel], chinese)
        for utterance in cut_utterances(work.channel_turns(channel), transcript, **cutting):
            marks = mark_utterance(utterance, transcript.passages)
            clamped = _clamp(replace(utterance, marks=marks), end_ms=end_ms)
            if clamped is not None:
                utterances.append(clamped)
    return tuple(sorted(utterances, key=lambda u: (u.segment, u.channel, u.speaker)))


def _written(transcript: Transcript, chinese: Script | None) -> Transcript:
    return transcript if chinese is None else write_in_script(transcript, chinese)


def _clamp(utterance: Utterance, *, end_ms: int) -> Utterance | None:
    """An utterance up to the end of the audio, past which its padding may reach; None beyond it."""
    segment = utterance.segment
    if segment.end_ms <= end_ms:
        return utterance
    if segment.start_ms >= end_ms:
        return None
    return replace(utterance, segment=replace(segment, end_ms=end_ms))


def _measure(work: RecordingWork, models: Models) -> None:
    """Fill in the measures, with how far the second transcript agrees where there is one."""
    measured = measure_utterances(
        work.utterances,
        work.sounds,
        turns=work.turns,
        source_rate_hz=work.source_rate_hz,
        mos=models.mos,
    )
    if models.agreement is None or not work.second_transcripts:
        work.quality = measured
        return

    second_texts: dict[str, str] = {}
    for channel, transcript in enumerate(work.second_transcripts):
        written = _written(transcript, models.chinese)
        for utterance in cut_second_opinion(work.utterances, written, channel=channel):
            second_texts[utterance.utterance_id] = utterance.text

    quality: dict[str, Quality] = {}
    for utterance in work.utterances:
        utterance_id = utterance.utterance_id
        second_text = second_texts.get(utterance_id, "")
        error_rate = models.agreement(utterance.text, second_text, utterance.language)
        quality[utterance_id] = replace(measured[utterance_id], second_error_rate=error_rate)
    work.quality = quality


def cut_second_opinion(
    utterances: Sequence[Utterance], transcript: Transcript, *, channel: int
) -> list[Utterance]:
    """The utterances of one channel with the words of a second transcript.

    Each word goes where its middle lies.
    """
    heard_again: list[Utterance] = []
    for utterance in utterances:
        if utterance.channel != channel:
            continue
        start_ms = utterance.segment.start_ms
        end_ms = utterance.segment.end_ms
        words = [word for word in transcript.words if start_ms <= _middle_ms(word) < end_ms]
        text = "".join(word.text for word in words).strip()
        heard_again.append(replace(utterance, text=text, words=tuple(words)))
    return heard_again


def _middle_ms(word: Word) -> int:
    return (word.segment.start_ms + word.segment.end_ms) // 2


def make_clips(utterances: Sequence[Utterance], sounds: Sequence[Sound]) -> list[Clip]:
    """The utterances of one recording as labelers see them."""
    return [
        Clip(
            utterance_id=u.utterance_id,
            speaker=f"{u.recording_id}:{u.channel}:{u.speaker}",
            sound=cut_sound(sounds[u.channel], u.segment),
            text=u.text,
            language=u.language,
        )
        for u in utterances
    ]


def _label(
    work: Sequence[RecordingWork],
    scheme: str,
    labeler: Labeler,
) -> None:
    for recording in work:
        clips = make_clips(recording.utterances, recording.sounds)
        predictions = predict(clips, scheme=scheme, labeler=labeler)
        recording.predictions = (*recording.predictions, *predictions)


def predict(
    clips: Sequence[Clip],
    *,
    scheme: str,
    labeler: Labeler,
) -> list[Prediction]:
    """One prediction per clip, in order."""
    model: ModelRef = labeler.model
    return [
        Prediction(
            utterance_id=clip.utterance_id,
            scheme=scheme,
            distribution=answer,
            model=model,
        )
        for clip, answer in zip(clips, labeler.label(clips), strict=True)
    ]
