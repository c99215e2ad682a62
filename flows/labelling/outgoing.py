"""Outgoing clips: what goes to people, masked, ranked and in disguise. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotation.acquire import Choice
from annotation.checks import disguise
from annotation.encode import model_version
from flows.settings import AnnotationSettings
from voxdata.check import CheckClip
from voxdata.identity import digest, draw
from voxdata.label import Annotation, Prediction
from voxdata.ports import QueueEntry
from voxdata.privacy import PrivateSpan, hidden_parts, mask_text, masking_key
from voxdata.segment import Segment, overlap_ms
from voxdata.utterance import Utterance
from warehouse.pushes import PushedClip
from warehouse.recordings import StoredRecording

ChannelSpan = tuple[int, PrivateSpan]
"""Something private, and the channel in which it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One clip on its way out.

    Attributes:
        window: What of the recording they hear: the utterance, and some context.
        hidden: (kind, characters) of the text that the annotators do not see.
        muted: Stretches of the recording that they do not hear.
        arm: "active" when it was chosen, "random" when it belongs to the control arm, "check" when
            it is known.
        reason: Why it stands where it does in the order of work, for the operator.
    """

    entry: QueueEntry
    utterance: Utterance
    window: Segment
    hidden: tuple[tuple[str, str], ...] = ()
    muted: tuple[Segment, ...] = ()
    arm: str = ""
    reason: str = ""

    @property
    def utterance_id(self) -> str:
        """Its key in Label Studio."""
        return self.entry.utterance_id

    @property
    def clip_digest(self) -> str:
        """Identity of what leaves: proposals with what they leave unticked, text and clip."""
        entry = self.entry
        proposals = sorted(f"{p.scheme}={p.model.key}" for p in entry.predictions)
        ticked = entry.predictions if entry.blind else entry.ticked
        unticked = sorted(f"{p.scheme}?" for p in entry.predictions if p not in ticked)
        return digest(entry.text, entry.audio_file, *proposals, *unticked)

    @property
    def pushed(self) -> PushedClip:
        """As it is noted once it is there."""
        return PushedClip(
            utterance_id=self.utterance_id,
            clip_digest=self.clip_digest,
            hidden=self.hidden,
            arm=self.arm,
            blind=self.entry.blind,
            votes_wanted=self.entry.votes_wanted,
            proposal=model_version(self.entry.sure),
        )


def give_out(
    clip: Outgoing,
    pushed_before: PushedClip | None,
    settings: AnnotationSettings,
    *,
    answers: Sequence[Annotation] = (),
) -> Outgoing:
    """Decide whether a clip is shown without proposals, and to how many people.

    What was decided once holds. The draw is a hash of the clip's id, so that a repeated push draws
    the same.

    Args:
        pushed_before: How it was given out before.
        answers: What people said about it in a project that was lost.
    """
    if pushed_before is not None:
        blind, votes_wanted = pushed_before.blind, pushed_before.votes_wanted
    else:
        blind = draw(clip.utterance_id, "blind") < settings.blind_share
        votes_wanted = _draw_votes(clip.utterance_id, settings)
    entry = replace(
        clip.entry,
        blind=blind,
        min_confidence=settings.min_confidence,
        votes_wanted=votes_wanted,
        answers=tuple(answers),
    )
    return replace(clip, entry=entry)


def _draw_votes(utterance_id: str, settings: AnnotationSettings) -> int:
    if draw(utterance_id, "overlap") < settings.overlap_share:
        return max(settings.votes_wanted, settings.overlap_votes)
    return settings.votes_wanted


def rank_clip(
    clip: Outgoing, choice: Choice | None, pushed_before: PushedClip | None
) -> Outgoing | None:
    """Put a clip into the order of work; None when it is new and was not chosen."""
    if choice is None:
        return clip if pushed_before is not None or clip.entry.answers else None
    arm = pushed_before.arm if pushed_before is not None else choice.arm
    entry = replace(clip.entry, priority=1 - choice.score)
    return replace(clip, arm=arm, reason=choice.reason, entry=entry)


def prepare(
    utterances: Sequence[Utterance],
    recordings: Mapping[str, StoredRecording],
    proposals: Mapping[str, Mapping[str, Prediction]],
    *,
    private: Mapping[str, Sequence[PrivateSpan]] | None,
    unsent: Sequence[Utterance] = (),
    context_ms: int = 0,
) -> list[Outgoing]:
    """What of some utterances leaves.

    Args:
        proposals: Scheme -> utterance id -> proposal.
        private: Utterance id -> its personal data, for those that were scanned; None masks nothing.
        unsent: Utterances that stay, and may be heard in the clips of others.
        context_ms: Heard before and after each utterance.

    Returns:
        One for each utterance, but none for those that should be masked and were not scanned.
    """
    spoken = private_speech((*utterances, *unsent), private)
    clips = []
    for utterance in utterances:
        if private is not None and utterance.utterance_id not in private:
            continue
        recording = recordings[utterance.recording_id]
        clip = _mask_clip(
            utterance,
            _window(utterance, recording.recording.duration_ms, context_ms),
            own=(private or {}).get(utterance.utterance_id, ()),
            nearby=spoken[utterance.recording_id],
            shown_as=_shown_as(recording, masked=private is not None),
        )
        entry = replace(clip.entry, predictions=_predictions(utterance.utterance_id, proposals))
        clips.append(replace(clip, entry=entry))
    return clips


def private_speech(
    utterances: Sequence[Utterance], private: Mapping[str, Sequence[PrivateSpan]] | None
) -> defaultdict[str, list[ChannelSpan]]:
    """Recording id -> everything private that is said in it, in the order of the utterances."""
    spoken: defaultdict[str, list[ChannelSpan]] = defaultdict(list)
    for utterance in utterances:
        spans = (private or {}).get(utterance.utterance_id, ())
        spoken[utterance.recording_id] += [(utterance.channel, span) for span in spans]
    return spoken


def disguise_clips(
    clips: Sequence[Outgoing],
    checks: Mapping[str, CheckClip],
    recordings: Mapping[str, StoredRecording],
    spoken: Mapping[str, Sequence[ChannelSpan]],
    *,
    private: Mapping[str, Sequence[PrivateSpan]] | None,
    context_ms: int,
) -> list[Outgoing]:
    """Check clips as they leave: like the clip they are of, with other edges, another id and a
    place of their own in the order.

    Args:
        clips: What leaves undisguised; checks of other clips are left out.
        spoken: Recording id -> what is private in it.
    """
    originals = {clip.utterance.utterance_id: clip for clip in clips}
    disguised = []
    for check in checks.values():
        original = originals.get(check.utterance_id)
        if original is None:
            continue
        recording = recordings[original.utterance.recording_id]
        num_ms = recording.recording.duration_ms
        shifted = disguise(original.utterance, shift_ms=check.shift_ms, num_ms=num_ms)
        clip = _mask_clip(
            shifted,
            _window(shifted, num_ms, context_ms),
            own=(private or {}).get(check.utterance_id, ()),
            nearby=spoken.get(shifted.recording_id, ()),
            shown_as=_shown_as(recording, masked=private is not None),
        )
        predictions = [replace(p, utterance_id=check.key) for p in original.entry.predictions]
        entry = replace(
            clip.entry,
            predictions=tuple(predictions),
            min_confidence=original.entry.min_confidence,
            priority=draw(check.key, "priority"),
        )
        disguised.append(replace(clip, arm="check", reason=f"{check.purpose} check", entry=entry))
    return disguised


def _predictions(
    utterance_id: str, proposals: Mapping[str, Mapping[str, Prediction]]
) -> tuple[Prediction, ...]:
    by_scheme = [of_scheme.get(utterance_id) for of_scheme in proposals.values()]
    return tuple(prediction for prediction in by_scheme if prediction is not None)


def _shown_as(recording: StoredRecording, *, masked: bool) -> str:
    # Whoever is named in a file name is named to the annotators too.
    return recording.recording.recording_id[:8] if masked else Path(recording.uri).name


def _window(utterance: Utterance, num_ms: int, context_ms: int) -> Segment:
    segment = utterance.segment
    start_ms = max(0, segment.start_ms - context_ms)
    end_ms = min(num_ms, segment.end_ms + context_ms)
    return Segment(start_ms=start_ms, end_ms=max(segment.end_ms, end_ms))


def _mask_clip(
    utterance: Utterance,
    window: Segment,
    *,
    own: Sequence[PrivateSpan],
    nearby: Sequence[ChannelSpan],
    shown_as: str,
) -> Outgoing:
    """A clip without proposals, with what is private in it masked and muted.

    Args:
        own: What is private in the utterance itself.
        nearby: What is private in its recording.
        shown_as: What the recording is called on the labelling screen.
    """
    # A clip also holds what a neighbour says at its edges or while its speaker speaks, and what
    # leaks from the other party's channel.
    reaching = [span.heard_in(utterance.channel, said_in=channel) for channel, span in nearby]
    audible = [span for span in reaching if span is not None and overlap_ms(span.segment, window)]
    entry = QueueEntry(
        utterance_id=utterance.utterance_id,
        audio_file=_audio_file(utterance, window, masking_key(audible)),
        text=mask_text(utterance.text, own),
        note=f"{shown_as} · {utterance.speaker} · {_clock(utterance.segment.start_ms)}",
        predictions=(),
    )
    return Outgoing(
        entry=entry,
        utterance=utterance,
        window=window,
        hidden=tuple(hidden_parts(utterance.text, own)),
        muted=tuple(span.segment for span in audible),
    )


def _audio_file(utterance: Utterance, window: Segment, mask_digest: str) -> str:
    name = utterance.utterance_id
    if mask_digest:
        name += f"-{mask_digest[:12]}"
    if window != utterance.segment:
        name += f"-{window.start_ms}-{window.end_ms}"
    return f"clips/{utterance.recording_id}/{name}.wav"


def _clock(ms: int) -> str:
    """As minutes and seconds, such as "00:12.3"."""
    return f"{ms // 60_000:02d}:{ms % 60_000 / 1000:04.1f}"
