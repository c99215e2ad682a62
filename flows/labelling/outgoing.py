"""Outgoing clips: what goes to people, masked, ranked and in disguise."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One clip on its way out.

    Attributes:
        window: What of the recording they hear: the utterance, and some context.
        hidden: (kind, characters) of the text that the annotators do not see.
        muted: Stretches of the recording that they do not hear.
        arm: "active" when it was chosen, "random" when it belongs to the control arm.
    """

    entry: QueueEntry
    utterance: Utterance
    window: Segment
    hidden: tuple[tuple[str, str], ...] = ()
    muted: tuple[Segment, ...] = ()
    arm: str = ""

    @property
    def key(self) -> str:
        """Identity of what leaves: proposals with what they leave unticked, text and clip."""
        proposals = sorted(f"{p.scheme}={p.model.key}" for p in self.entry.predictions)
        unticked = sorted(f"{p.scheme}?" for p in self.entry.predictions if not (self.entry.blind or p in self.entry.ticked))
        return digest(self.entry.text, self.entry.audio_file, *proposals, *unticked)

    @property
    def pushed(self) -> PushedClip:
        """As it is noted once it is there."""
        return PushedClip(
            utterance_id=self.entry.utterance_id,
            key=self.key,
            hidden=self.hidden,
            arm=self.arm,
            blind=self.entry.blind,
            votes_wanted=self.entry.votes_wanted,
            proposal=model_version(self.entry.sure),
        )


def give_out(
    going: Outgoing, known: PushedClip | None, settings: AnnotationSettings, *, answers: Mapping[str, Sequence[Annotation]] | None = None
) -> Outgoing:
    """Decide whether a clip is shown without proposals, and to how many people; what was decided once holds.

    The draw is a hash of the clip's key, so that a repeated push draws the same.

    Args:
        known: How it was given out before.
        answers: Key -> what people said about it in a project that was lost.
    """
    key = going.entry.utterance_id
    if known is not None:
        blind, votes = known.blind, known.votes_wanted
    else:
        blind = draw(key, "blind") < settings.blind_share
        votes = max(settings.votes_wanted, settings.overlap_votes if draw(key, "overlap") < settings.overlap_share else 0)
    entry = replace(
        going.entry,
        blind=blind,
        min_confidence=settings.min_confidence,
        votes_wanted=votes,
        answers=tuple((answers or {}).get(key, ())),
    )
    return replace(going, entry=entry)


def _rank(going: Outgoing, choices: Mapping[str, Choice], known: PushedClip | None) -> Outgoing | None:
    """Put a clip into the order of work; None when it is new and was not chosen."""
    choice = choices.get(going.entry.utterance_id)
    if choice is None:
        return going if known is not None or going.entry.answers else None
    arm = known.arm if known is not None else choice.arm
    return replace(going, arm=arm, entry=replace(going.entry, priority=1 - choice.score))


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
    said = _private_speech((*utterances, *unsent), private)
    leaving = []
    for u in utterances:
        if private is None or u.utterance_id in private:
            # Whoever is named in a file name is named to the annotators too.
            name = Path(recordings[u.recording_id].uri).name if private is None else u.recording_id[:8]
            window = _window(u, recordings[u.recording_id].recording.duration_ms, context_ms)
            spans = (private or {}).get(u.utterance_id, ())
            leaving.append(_outgoing(u, window, proposals, spans, said[u.recording_id], recording=name))
    return leaving


def _private_speech(
    utterances: Sequence[Utterance], private: Mapping[str, Sequence[PrivateSpan]] | None
) -> defaultdict[str, list[tuple[int, PrivateSpan]]]:
    """Recording id -> everything private that is said in it, with the channel."""
    said: defaultdict[str, list[tuple[int, PrivateSpan]]] = defaultdict(list)
    for u in utterances:
        said[u.recording_id] += [(u.channel, span) for span in (private or {}).get(u.utterance_id, ())]
    return said


def _disguised(
    leaving: Sequence[Outgoing],
    checks: Mapping[str, CheckClip],
    recordings: Mapping[str, StoredRecording],
    said: Mapping[str, Sequence[tuple[int, PrivateSpan]]],
    *,
    private: Mapping[str, Sequence[PrivateSpan]] | None,
    context_ms: int,
) -> list[Outgoing]:
    """Check clips as they leave: like the clip they are of, with other edges, another key and a place of their own in the order."""
    originals = {going.utterance.utterance_id: going for going in leaving}
    out = []
    for check in checks.values():
        original = originals.get(check.utterance_id)
        if original is None:
            continue
        recording = recordings[original.utterance.recording_id]
        heard = disguise(original.utterance, shift_ms=check.shift_ms, num_ms=recording.recording.duration_ms)
        name = Path(recording.uri).name if private is None else heard.recording_id[:8]
        window = _window(heard, recording.recording.duration_ms, context_ms)
        spans = (private or {}).get(check.utterance_id, ())
        going = _outgoing(heard, window, {}, spans, said.get(heard.recording_id, ()), recording=name)
        entry = replace(
            going.entry,
            predictions=tuple(replace(p, utterance_id=check.key) for p in original.entry.predictions),
            min_confidence=original.entry.min_confidence,
            priority=draw(check.key, "priority"),
        )
        out.append(replace(going, arm="check", entry=entry))
    return out


def _window(utterance: Utterance, num_ms: int, context_ms: int) -> Segment:
    start_ms, end_ms = utterance.segment.start_ms - context_ms, utterance.segment.end_ms + context_ms
    return Segment(start_ms=max(0, start_ms), end_ms=max(utterance.segment.end_ms, min(num_ms, end_ms)))


def _outgoing(
    utterance: Utterance,
    window: Segment,
    proposals: Mapping[str, Mapping[str, Prediction]],
    spans: Sequence[PrivateSpan],
    nearby: Sequence[tuple[int, PrivateSpan]],
    *,
    recording: str,
) -> Outgoing:
    # A clip also holds what a neighbour says at its edges or while its speaker speaks, and what leaks from the other party's channel.
    reaching = [span.heard_in(utterance.channel, said_in=channel) for channel, span in nearby]
    heard = [span for span in reaching if span is not None and overlap_ms(span.segment, window)]
    key = masking_key(heard)
    suffix = (f"-{key[:12]}" if key else "") + (f"-{window.start_ms}-{window.end_ms}" if window != utterance.segment else "")
    start = utterance.segment.start_ms
    entry = QueueEntry(
        utterance_id=utterance.utterance_id,
        audio_file=f"clips/{utterance.recording_id}/{utterance.utterance_id}{suffix}.wav",
        text=mask_text(utterance.text, spans),
        note=f"{recording} · {utterance.speaker} · {start // 60_000:02d}:{start % 60_000 / 1000:04.1f}",
        predictions=tuple(found[utterance.utterance_id] for found in proposals.values() if utterance.utterance_id in found),
    )
    hidden = tuple(hidden_parts(utterance.text, spans))
    return Outgoing(entry=entry, utterance=utterance, window=window, hidden=hidden, muted=tuple(span.segment for span in heard))
