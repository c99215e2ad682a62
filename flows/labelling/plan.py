"""Plan a push: which clips go out, in which order, and why the others do not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from annotation.acquire import Choice
from annotation.checks import draw_checks
from flows.labelling.choose import Budget, choose_clips
from flows.labelling.outgoing import (
    Outgoing,
    disguise_clips,
    give_out,
    prepare,
    private_speech,
    rank_clip,
)
from flows.labelling.push_state import PushState
from voxdata.check import CheckClip
from voxdata.ports import QueueEntry
from voxdata.utterance import Utterance


class Reason(StrEnum):
    """Why a clip does not go out."""

    TOO_SHORT = "too short"
    NO_CONSENT = "a release would refuse it"
    NOT_SCANNED = "not scanned for personal data"
    BAD_AUDIO = "bad audio"
    NOT_CHOSEN = "not chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """An utterance whose clip does not go out.

    Attributes:
        why: The particulars, for a person.
    """

    utterance: Utterance
    reason: Reason
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushPlan:
    """What a push does.

    Attributes:
        outgoing: Clips that Label Studio lacks or shows otherwise, in the order in which they are
            sent; people hear them in the order of their entries' priorities.
        unchanged: Clips that are there as they are.
        held_back: Utterances that stay, each for one reason.
        new_checks: Check clips drawn for this push.
        barred: Utterances that go out or are there though a release would refuse them.
        kept: Entries whose clips may lie in the media folder.
    """

    outgoing: tuple[Outgoing, ...]
    unchanged: tuple[Outgoing, ...]
    held_back: tuple[HeldBack, ...]
    new_checks: tuple[CheckClip, ...]
    barred: tuple[Utterance, ...]
    kept: tuple[QueueEntry, ...]

    def list_held_back(self, reason: Reason) -> list[HeldBack]:
        """Those that stay for one reason."""
        return [held for held in self.held_back if held.reason is reason]

    def count(self, reason: Reason) -> int:
        """How many stay for one reason."""
        return len(self.list_held_back(reason))

    def without_uncut(self, uncut: Sequence[Outgoing], bad_audio: Mapping[str, str]) -> PushPlan:
        """The plan once the audio of some recordings turned out to be bad.

        Args:
            uncut: Outgoing clips that are still to be cut.
            bad_audio: Recording id -> what is wrong with its audio.
        """
        lost = {
            clip.utterance_id: bad_audio[clip.utterance.recording_id]
            for clip in uncut
            if clip.utterance.recording_id in bad_audio
        }
        held_back = [
            HeldBack(utterance=clip.utterance, reason=Reason.BAD_AUDIO, why=lost[clip.utterance_id])
            for clip in self.outgoing
            if clip.utterance_id in lost
        ]
        outgoing = [clip for clip in self.outgoing if clip.utterance_id not in lost]
        return replace(self, outgoing=tuple(outgoing), held_back=(*self.held_back, *held_back))


def plan_push(state: PushState, *, budget: Budget | None = None) -> PushPlan:
    """Decide about every utterance: it goes out, is there already, or stays for a reason.

    Args:
        budget: Send only as many new clips as people have time for.

    Raises:
        ConfigError: The budget fits no clip, or the strategy lacks what it needs.
    """
    barriers = find_barriers(state)
    clips = _prepare_clips(state, barriers)
    sound = [clip for clip in clips if clip.utterance_id not in barriers]
    choices = _choose(state, sound, budget)
    ranked = [
        rank_clip(clip, choices.get(clip.utterance_id), state.pushed_before.get(clip.utterance_id))
        for clip in sound
    ]
    chosen = [clip for clip in ranked if clip is not None]
    new_checks = _draw_checks(state, chosen)
    checks = {**state.checks, **{check.key: check for check in new_checks}}
    chosen += _disguise(state, barriers, chosen, checks)
    shown = {clip.utterance_id for clip in chosen if _is_shown(state, clip)}
    not_chosen = _not_chosen(state, sound, chosen)
    lost = [clip.entry for clip in clips if clip.utterance_id in barriers]
    return PushPlan(
        outgoing=tuple(clip for clip in chosen if clip.utterance_id not in shown),
        unchanged=tuple(clip for clip in chosen if clip.utterance_id in shown),
        held_back=(*barriers.values(), *not_chosen),
        new_checks=tuple(new_checks),
        barred=tuple(u for u in _unhindered(state, barriers) if u.recording_id in state.barred),
        kept=(*(clip.entry for clip in chosen), *lost),
    )


def find_barriers(state: PushState) -> dict[str, HeldBack]:
    """Utterance id -> why its clip does not go out, whatever else waits; only those that stay."""
    barriers = {}
    for utterance in state.utterances:
        barrier = _find_barrier(state, utterance)
        if barrier is not None:
            barriers[utterance.utterance_id] = barrier
    return barriers


def _find_barrier(state: PushState, utterance: Utterance) -> HeldBack | None:
    utterance_id, recording_id = utterance.utterance_id, utterance.recording_id
    if utterance.segment.duration_ms < state.settings.min_clip_ms:
        why = "shorter than [annotation] min_clip_ms"
        return HeldBack(utterance=utterance, reason=Reason.TOO_SHORT, why=why)
    if recording_id in state.barred and not state.stays(utterance_id):
        why = state.barred[recording_id]
        return HeldBack(utterance=utterance, reason=Reason.NO_CONSENT, why=why)
    if state.private is not None and utterance_id not in state.private:
        why = "run `voxdata prelabel`"
        return HeldBack(utterance=utterance, reason=Reason.NOT_SCANNED, why=why)
    if recording_id in state.bad_audio and utterance_id not in state.pushed:
        why = state.bad_audio[recording_id]
        return HeldBack(utterance=utterance, reason=Reason.BAD_AUDIO, why=why)
    return None


def _of_reason(barriers: Mapping[str, HeldBack], reason: Reason) -> list[Utterance]:
    return [held.utterance for held in barriers.values() if held.reason is reason]


def _unsent(barriers: Mapping[str, HeldBack]) -> list[Utterance]:
    """Utterances of which no clip is prepared; they may be heard in the clips of others."""
    too_short = _of_reason(barriers, Reason.TOO_SHORT)
    return [*too_short, *_of_reason(barriers, Reason.NO_CONSENT)]


def _unhindered(state: PushState, barriers: Mapping[str, HeldBack]) -> list[Utterance]:
    """The others."""
    unsent = {utterance.utterance_id for utterance in _unsent(barriers)}
    return [u for u in state.utterances if u.utterance_id not in unsent]


def _prepare_clips(state: PushState, barriers: Mapping[str, HeldBack]) -> list[Outgoing]:
    """The clips as they may leave, those with bad audio among them, for they may lie there cut."""
    prepared = prepare(
        _unhindered(state, barriers),
        state.recordings,
        state.proposals,
        private=state.private,
        unsent=_unsent(barriers),
        context_ms=state.settings.context_ms,
    )
    return [
        give_out(
            clip,
            state.pushed_before.get(clip.utterance_id),
            state.settings,
            answers=state.returning.get(clip.utterance_id, ()),
        )
        for clip in prepared
    ]


def _choose(
    state: PushState, clips: Sequence[Outgoing], budget: Budget | None
) -> dict[str, Choice]:
    """Utterance id -> its place in the order of work."""
    return choose_clips(
        [clip.utterance for clip in clips if clip.utterance_id not in state.answered],
        state.proposals,
        settings=state.settings,
        new=_new_ids(state, clips),
        lead_times=state.lead_times,
        budget=budget,
        embeddings=state.embeddings,
        heard=[clip.utterance for clip in clips if clip.utterance_id in state.answered],
    )


def _new_ids(state: PushState, clips: Sequence[Outgoing]) -> set[str]:
    """Ids of the clips that were never given out."""
    return {clip.utterance_id for clip in clips} - set(state.pushed_before)


def _draw_checks(state: PushState, clips: Sequence[Outgoing]) -> list[CheckClip]:
    """Known clips to give out again beside the new ones."""
    num_new = len(_new_ids(state, clips))
    if not num_new or not state.settings.check_share:
        return []
    return draw_checks(
        state.settled,
        [clip.utterance for clip in clips if clip.utterance.recording_id not in state.barred],
        {name: stored.recording.duration_ms for name, stored in state.recordings.items()},
        known=state.checks,
        new=num_new,
        share=state.settings.check_share,
    )


def _disguise(
    state: PushState,
    barriers: Mapping[str, HeldBack],
    clips: Sequence[Outgoing],
    checks: Mapping[str, CheckClip],
) -> list[Outgoing]:
    # In the order in which the clips were prepared: the name of a masked clip depends on it.
    spoken_first = _unhindered(state, barriers)
    return disguise_clips(
        clips,
        checks,
        state.recordings,
        private_speech((*spoken_first, *_unsent(barriers)), state.private),
        private=state.private,
        context_ms=state.settings.context_ms,
    )


def _is_shown(state: PushState, clip: Outgoing) -> bool:
    """Whether Label Studio shows the clip as it would leave now."""
    pushed = state.pushed.get(clip.utterance_id)
    return pushed is not None and pushed.clip_digest == clip.clip_digest


def _not_chosen(
    state: PushState, clips: Sequence[Outgoing], chosen: Sequence[Outgoing]
) -> list[HeldBack]:
    chosen_ids = {clip.utterance_id for clip in chosen}
    held_back = []
    for clip in clips:
        if clip.utterance_id not in chosen_ids:
            why = "no room in the budget"
            if clip.utterance_id in state.answered:
                why = "somebody labelled it already, and no push of it is on record"
            held = HeldBack(utterance=clip.utterance, reason=Reason.NOT_CHOSEN, why=why)
            held_back.append(held)
    return held_back
