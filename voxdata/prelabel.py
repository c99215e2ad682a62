"""Pre-labelling: from canonical audio to turns, utterances, measures and proposals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Prediction
from voxdata.ports import MODEL_RATE_HZ, Clip, Diarizer, Labeler, Samples, Transcriber
from voxdata.quality import Quality, measure_quality
from voxdata.segment import Segment
from voxdata.turn import Turn, merge_turns, sort_turns
from voxdata.utterance import Utterance, cut_utterances


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelabels:
    """Everything the models say about one recording.

    Attributes:
        turns: Sorted by start.
        utterances: Sorted by start.
        quality: Utterance id -> measures.
        predictions: One for each utterance and scheme.
        models: Stage ("diarizer", "transcriber") -> the model that ran.
    """

    recording_id: str
    turns: tuple[Turn, ...]
    utterances: tuple[Utterance, ...]
    quality: Mapping[str, Quality]
    predictions: tuple[Prediction, ...]
    models: Mapping[str, ModelRef]


def prelabel(
    recording_id: str,
    channels: Sequence[Samples],
    *,
    source_rate_hz: int,
    diarizer: Diarizer,
    transcriber: Transcriber,
    labelers: Mapping[str, Labeler],
    max_speakers: int | None = None,
    pause_ms: int = 500,
    max_ms: int = 15_000,
    progress: Callable[[str], None] | None = None,
) -> Prelabels:
    """Run the models over one recording.

    Args:
        channels: Canonical audio, one (num_samples,) array a channel. One channel is diarized; of several, each is one party,
            so its speaker is the channel ("C0", "C1", ...) and overlap survives.
        source_rate_hz: Of the original, which bounds its true bandwidth.
        labelers: Scheme name -> labeler.
        max_speakers: Upper bound for a diarized channel.
        pause_ms, max_ms: See `cut_utterances`.
        progress: Told the name of each stage as it begins.

    Returns:
        Empty when nobody speaks.
    """
    tell = progress or (lambda stage: None)
    turns: list[Turn] = []
    utterances: list[Utterance] = []
    for channel, samples in enumerate(channels):
        tell(f"diarize channel {channel}")
        found = diarizer.diarize(samples, max_speakers=1 if len(channels) > 1 else max_speakers)
        here = [
            Turn(
                recording_id=recording_id,
                channel=channel,
                speaker=f"C{channel}" if len(channels) > 1 else segment.speaker,
                segment=segment.segment,
            )
            for segment in found
        ]
        here = merge_turns(here)
        tell(f"transcribe channel {channel}")
        transcript = transcriber.transcribe(samples, speech=[turn.segment for turn in here])
        turns += here
        utterances += cut_utterances(here, transcript, pause_ms=pause_ms, max_ms=max_ms)
    end_ms = min((len(samples) * 1000 // MODEL_RATE_HZ for samples in channels), default=0)
    inside = [u for u in (_clamp(u, end_ms=end_ms) for u in utterances) if u is not None]
    ordered = tuple(sorted(inside, key=lambda u: (u.segment, u.channel, u.speaker)))
    clips = [_clip(utterance, channels[utterance.channel]) for utterance in ordered]
    predictions: list[Prediction] = []
    for scheme, labeler in labelers.items():
        tell(f"label {scheme}")
        answers = labeler.label(clips)
        predictions += [
            Prediction(utterance_id=clip.utterance_id, scheme=scheme, distribution=answer, model=labeler.model)
            for clip, answer in zip(clips, answers, strict=True)
        ]
    return Prelabels(
        recording_id=recording_id,
        turns=tuple(sort_turns(turns)),
        utterances=ordered,
        quality={clip.utterance_id: measure_quality(clip.samples, source_rate_hz=source_rate_hz) for clip in clips},
        predictions=tuple(predictions),
        models={"diarizer": diarizer.model, "transcriber": transcriber.model},
    )


def _clamp(utterance: Utterance, *, end_ms: int) -> Utterance | None:
    """Padding around words may reach past the end of the audio."""
    if utterance.segment.end_ms <= end_ms:
        return utterance
    if utterance.segment.start_ms >= end_ms:
        return None
    return replace(utterance, segment=Segment(start_ms=utterance.segment.start_ms, end_ms=end_ms))


def _clip(utterance: Utterance, samples: Samples) -> Clip:
    start = utterance.segment.start_ms * MODEL_RATE_HZ // 1000
    stop = -(-utterance.segment.end_ms * MODEL_RATE_HZ // 1000)
    return Clip(
        utterance_id=utterance.utterance_id,
        speaker=f"{utterance.recording_id}:{utterance.channel}:{utterance.speaker}",
        samples=samples[start:stop],
        text=utterance.text,
        language=utterance.language,
    )


def prelabel_key(diarizer: Diarizer, transcriber: Transcriber, labelers: Mapping[str, Labeler], params: Mapping[str, object]) -> str:
    """Identity of a pre-labelling: it changes with any model, revision or parameter, and with nothing else."""
    models = [f"diarizer={diarizer.model.key}", f"transcriber={transcriber.model.key}"]
    models += [f"{scheme}={labeler.model.key}" for scheme, labeler in sorted(labelers.items())]
    return digest("prelabel/1", *models, canonical_json(dict(params)))
