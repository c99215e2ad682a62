"""Pre-labelling: from canonical audio to turns, transcripts, utterances, measures, personal data
and proposals.

Several recordings go through each stage together, so that batches fill up; no answer depends on the
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from voxdata.segment import Segment
from voxdata.sound import cut_sound, duration_ms
from voxdata.turn import Turn, merge_turns, sort_turns
from voxdata.utterance import MIN_MS, Transcript, Utterance, cut_utterances

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
        second, scan, mos = self.second_transcriber, self.scanner, self.mos
        stages = [
            StageSpec(
                name=DIARIZE, model=self.diarizer.model, params={"max_speakers": self.max_speakers}
            ),
            StageSpec(name=TRANSCRIBE, model=self.transcriber.model, params={}, reads=(DIARIZE,)),
        ]
        if second is not None:
            stages.append(
                StageSpec(name=SECOND_OPINION, model=second.model, params={}, reads=(DIARIZE,))
            )
        # Cuts from before `min_ms` could be set were made with its default; their keys do not name
        # it, so they hold.
        cutting: dict[str, object] = {
            name: value
            for name, value in self.cutting.items()
            if (name, value) != ("min_ms", MIN_MS)
        }
        if self.chinese is not None:
            # Transcripts are kept as heard: another script costs no second listening.
            cutting |= {"chinese": self.chinese.name, "chinese_revision": self.chinese.revision}
        stages.append(StageSpec(name=CUT, model=None, params=cutting, reads=(DIARIZE, TRANSCRIBE)))
        heard = (CUT, SECOND_OPINION) if second is not None else (CUT,)
        stages.append(
            StageSpec(
                name=MEASURE, model=None if mos is None else mos.model, params={}, reads=heard
            )
        )
        if scan is not None:
            stages.append(StageSpec(name=SCAN, model=scan.model, params={}, reads=(CUT,)))
        for name, labeler in self.labelers.items():
            params = {"scheme_version": scheme_versions[name]}
            stages.append(
                StageSpec(name=f"{LABEL}{name}", model=labeler.model, params=params, reads=(CUT,))
            )
        return tuple(stages)


@dataclass(slots=True, kw_only=True)
class RecordingWork:
    """One recording on its way through the stages: results it has are given, those in `wanted` are
    filled in.

    Attributes:
        sounds: One a canonical channel. A lone channel is diarized; of several, each is one party,
            so its speaker is the channel ("C0", "C1", ...) and overlap survives.
        source_rate_hz: Of the original, which bounds its true bandwidth.
        wanted: Stages to run.
        diarizations: One a channel, as the diarizer gave them.
        transcripts, second_transcripts: One a channel.
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
    work: Sequence[RecordingWork], models: Models, *, progress: Progress | None = None
) -> None:
    """Run the wanted stages of some recordings and fill in their results.

    Raises:
        AudioError: A recording cannot be read.
        BackendError: A model cannot be loaded or failed. Which recording is to blame is not known:
            run them one by one to find out.
    """
    tell = progress or (lambda stage: None)
    tell(DIARIZE)
    diarize([w for w in work if DIARIZE in w.wanted], models)
    tell(TRANSCRIBE)
    for w, found in _transcribe([w for w in work if TRANSCRIBE in w.wanted], models.transcriber):
        w.transcripts = found
    if models.second_transcriber is not None:
        tell(SECOND_OPINION)
        for w, found in _transcribe(
            [w for w in work if SECOND_OPINION in w.wanted], models.second_transcriber
        ):
            w.second_transcripts = found
    tell(CUT)
    for w in work:
        if CUT in w.wanted:
            w.utterances = cut_recording(w, models.cutting, chinese=models.chinese)
    tell(MEASURE)
    for w in work:
        if MEASURE in w.wanted:
            _measure(w, models)
    if models.scanner is not None:
        tell(SCAN)
        for w in work:
            if SCAN in w.wanted:
                w.private = measure_leaks(
                    scan_utterances(models.scanner, w.utterances), w.utterances, w.sounds
                )
    for scheme, labeler in models.labelers.items():
        tell(f"{LABEL}{scheme}")
        _label([w for w in work if f"{LABEL}{scheme}" in w.wanted], scheme, labeler)


def diarize(work: Sequence[RecordingWork], models: Models) -> None:
    """Fill in turns and diarizations."""
    rooms = [w for w in work if len(w.sounds) == 1]
    parties = [w for w in work if len(w.sounds) > 1]
    for w, found in zip(
        rooms,
        models.diarizer.diarize([w.sounds[0] for w in rooms], max_speakers=models.max_speakers),
        strict=True,
    ):
        w.diarizations = [found]
    apart = iter(
        models.diarizer.diarize([sound for w in parties for sound in w.sounds], max_speakers=1)
    )
    for w in parties:
        w.diarizations = [_rename(next(apart), f"C{channel}") for channel in range(len(w.sounds))]
    for w in work:
        turns = [
            Turn(recording_id=w.recording_id, channel=channel, speaker=s.speaker, segment=s.segment)
            for channel, found in enumerate(w.diarizations)
            for s in found.segments
        ]
        w.turns = tuple(sort_turns(merge_turns(turns)))


def _rename(found: Diarization, speaker: str) -> Diarization:
    return replace(
        found,
        segments=tuple(replace(s, speaker=speaker) for s in found.segments),
        embeddings=dict.fromkeys(
            (speaker,) if found.embeddings else (), next(iter(found.embeddings.values()), ())
        ),
    )


def _transcribe(
    work: Sequence[RecordingWork], transcriber: Transcriber
) -> list[tuple[RecordingWork, list[Transcript]]]:
    requests = [
        SpeechRequest(sound=sound, speech=tuple(turn.segment for turn in w.channel_turns(channel)))
        for w in work
        for channel, sound in enumerate(w.sounds)
    ]
    answers = iter(transcriber.transcribe(requests))
    return [(w, [next(answers) for _ in w.sounds]) for w in work]


def cut_recording(
    work: RecordingWork, cutting: Mapping[str, int], *, chinese: Script | None = None
) -> tuple[Utterance, ...]:
    """Utterances of all channels, none reaching past the end of the audio, each marked where its
    text is doubtful.
    """
    utterances: list[Utterance] = []
    for channel in range(len(work.sounds)):
        transcript = _written(work.transcripts[channel], chinese)
        for u in cut_utterances(work.channel_turns(channel), transcript, **cutting):
            utterances.append(replace(u, marks=mark_utterance(u, transcript.passages)))
    end_ms = min((duration_ms(sound) for sound in work.sounds), default=0)
    inside = [u for u in (_clamp(u, end_ms=end_ms) for u in utterances) if u is not None]
    return tuple(sorted(inside, key=lambda u: (u.segment, u.channel, u.speaker)))


def _written(transcript: Transcript, chinese: Script | None) -> Transcript:
    return transcript if chinese is None else write_in_script(transcript, chinese)


def _clamp(utterance: Utterance, *, end_ms: int) -> Utterance | None:
    """Padding around words may reach past the end of the audio."""
    if utterance.segment.end_ms <= end_ms:
        return utterance
    if utterance.segment.start_ms >= end_ms:
        return None
    return replace(utterance, segment=Segment(start_ms=utterance.segment.start_ms, end_ms=end_ms))


def _measure(work: RecordingWork, models: Models) -> None:
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
    others = [
        u
        for channel, transcript in enumerate(work.second_transcripts)
        for u in cut_second_opinion(
            work.utterances, _written(transcript, models.chinese), channel=channel
        )
    ]
    second = {u.utterance_id: u.text for u in others}
    work.quality = {
        u.utterance_id: replace(
            measured[u.utterance_id],
            second_error_rate=models.agreement(u.text, second.get(u.utterance_id, ""), u.language),
        )
        for u in work.utterances
    }


def cut_second_opinion(
    utterances: Sequence[Utterance], transcript: Transcript, *, channel: int
) -> list[Utterance]:
    """What a second transcript says in the utterances of one channel: each word goes where its
    middle lies.
    """
    found = []
    for u in utterances:
        if u.channel == channel:
            words = [
                w
                for w in transcript.words
                if u.segment.start_ms
                <= (w.segment.start_ms + w.segment.end_ms) // 2
                < u.segment.end_ms
            ]
            found.append(
                replace(u, text="".join(w.text for w in words).strip(), words=tuple(words))
            )
    return found


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


def _label(work: Sequence[RecordingWork], scheme: str, labeler: Labeler) -> None:
    for w in work:
        clips = make_clips(w.utterances, w.sounds)
        w.predictions = (*w.predictions, *predict(clips, scheme=scheme, labeler=labeler))


def predict(clips: Sequence[Clip], *, scheme: str, labeler: Labeler) -> list[Prediction]:
    """One prediction a clip, in order."""
    model: ModelRef = labeler.model
    return [
        Prediction(utterance_id=clip.utterance_id, scheme=scheme, distribution=answer, model=model)
        for clip, answer in zip(clips, labeler.label(clips), strict=True)
    ]
