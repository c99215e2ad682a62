"""What a push decides, from a state that stands in no warehouse."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.budget import fit_lead_times
from annotation.settle import Answers, settle_all
from flows.labelling.choose import Budget
from flows.labelling.plan import HeldBack, PushPlan, Reason, plan_push
from flows.labelling.push_state import PushState
from flows.settings import AnnotationSettings
from voxdata.check import CheckClip
from voxdata.label import Annotation
from voxdata.privacy import PrivateSpan
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing import make_recording, make_utterance
from voxdata.utterance import Utterance
from warehouse.pushes import GONE, PushedClip
from warehouse.recordings import StoredRecording

RECORDINGS = [make_recording(number) for number in range(3)]
SCHEME = Scheme(
    name="intent",
    version=1,
    labels=(SchemeLabel(name="ask"), SchemeLabel(name="tell")),
)
PRIOR = fit_lead_times([])


def utterance(
    start_ms: int = 1_000,
    length_ms: int = 1_000,
    *,
    number: int = 0,
) -> Utterance:
    name = RECORDINGS[number].recording_id
    return make_utterance(start_ms, start_ms + length_ms, recording_id=name)


def state_of(*utterances: Utterance, **fields: Any) -> PushState:
    """A state in which all of these may go out, and nothing has."""
    plain = PushState(
        settings=AnnotationSettings(),
        schemes=(SCHEME,),
        recordings={
            recording.recording_id: StoredRecording(
                recording=recording,
                audio_file="a.flac",
                uri="/calls/a.wav",
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
            for recording in RECORDINGS
        },
        utterances=utterances,
        proposals={},
        pushed={},
        pushed_before={},
        answered=frozenset(),
        settled={},
        returning={},
        lead_times=PRIOR,
        private={u.utterance_id: () for u in utterances},
        barred={},
        checks={},
    )
    return replace(plain, **fields)


def pushed_as_planned(state: PushState) -> PushState:
    """The state after everything that goes out arrived."""
    clips = {clip.utterance_id: clip.pushed for clip in plan_push(state).outgoing}
    return replace(state, pushed=clips, pushed_before=clips)


def said_of(clip: Utterance, number: int) -> Annotation:
    return Annotation(
        annotation_id=number,
        project_id=1,
        utterance_id=clip.utterance_id,
        annotator=f"person-{number}",
        labels={"intent": ("ask",)},
        updated_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    )


def ids(held: Collection[HeldBack]) -> list[str]:
    return [one.utterance.utterance_id for one in held]


CLIP = utterance()
NAME, RECORDING = CLIP.utterance_id, CLIP.recording_id
OTHERWISE = PushedClip(utterance_id=NAME, clip_digest="another")
LOST = PushedClip(utterance_id=NAME, clip_digest=GONE)
SHORT = AnnotationSettings(min_clip_ms=1_001)


@pytest.mark.parametrize(
    ("state", "reason", "why"),
    [
        (state_of(CLIP), None, ""),
        (state_of(CLIP, private=None), None, ""),
        (state_of(CLIP, settings=SHORT), Reason.TOO_SHORT, "min_clip_ms"),
        (state_of(CLIP, settings=SHORT, pushed={NAME: OTHERWISE}), Reason.TOO_SHORT, ""),
        (state_of(CLIP, barred={RECORDING: "refused"}), Reason.NO_CONSENT, "refused"),
        (
            state_of(CLIP, barred={RECORDING: "refused"}, pushed={NAME: LOST}),
            Reason.NO_CONSENT,
            "refused",
        ),
        (
            state_of(CLIP, barred={RECORDING: "refused"}, returning={NAME: (said_of(CLIP, 1),)}),
            None,
            "",
        ),
        (state_of(CLIP, private={}), Reason.NOT_SCANNED, "voxdata prelabel"),
        (state_of(CLIP, bad_audio={RECORDING: "cut short"}), Reason.BAD_AUDIO, "cut short"),
        (
            state_of(
                CLIP,
                bad_audio={RECORDING: "cut short"},
                pushed={NAME: OTHERWISE},
                pushed_before={NAME: OTHERWISE},
            ),
            None,
            "",
        ),
        (state_of(CLIP, answered=frozenset([NAME])), Reason.NOT_CHOSEN, "no push of it"),
        (state_of(CLIP, pushed={NAME: LOST}, pushed_before={NAME: LOST}), None, ""),
    ],
)
def test_plan_push_sends_a_clip_or_names_the_reason(
    state: PushState, reason: Reason | None, why: str
) -> None:
    plan = plan_push(state)
    if reason is None:
        assert [clip.utterance_id for clip in plan.outgoing] == [NAME]
        assert plan.held_back == ()
    else:
        assert plan.outgoing == ()
        assert [held.reason for held in plan.held_back] == [reason]
        assert why in plan.held_back[0].why


def test_plan_push_leaves_a_clip_that_is_there_as_it_is() -> None:
    plan = plan_push(pushed_as_planned(state_of(CLIP)))
    assert [clip.utterance_id for clip in plan.unchanged] == [NAME]
    assert plan.outgoing == ()
    assert plan.held_back == ()


def test_plan_push_names_what_is_there_though_a_release_would_refuse_it() -> None:
    state = replace(pushed_as_planned(state_of(CLIP)), barred={RECORDING: "withdrawn"})
    plan = plan_push(state)
    assert plan.barred == (CLIP,)
    assert [clip.utterance_id for clip in plan.unchanged] == [NAME]


def test_plan_push_keeps_to_the_budget_and_says_who_has_no_room() -> None:
    clips = [utterance(2_000 * place) for place in range(4)]
    one_ms = PRIOR.predict(1_000, num_words=1)
    plan = plan_push(state_of(*clips), budget=Budget(time_ms=2 * one_ms, annotators=1))
    assert len(plan.outgoing) == 2
    reasons = {held.why for held in plan.list_held_back(Reason.NOT_CHOSEN)}
    assert reasons == {"no room in the budget"}
    assert plan.count(Reason.NOT_CHOSEN) == 2


def test_plan_push_gives_each_clip_another_place() -> None:
    clips = [utterance(2_000 * place) for place in range(4)]
    plan = plan_push(state_of(*clips))
    priorities = sorted(clip.entry.priority for clip in plan.outgoing)
    assert priorities == [0, 0.25, 0.5, 0.75]
    assert {clip.arm for clip in plan.outgoing} == {"active", "random"}
    assert all(clip.reason for clip in plan.outgoing)


def test_plan_push_mutes_a_neighbour_of_whom_no_clip_goes_out() -> None:
    brief = utterance(1_200, 100)
    name = PrivateSpan(
        kind="name",
        start=0,
        end=4,
        segment=brief.segment,
        score=0.9,
    )
    private = {NAME: (), brief.utterance_id: (name,)}
    plan = plan_push(state_of(CLIP, brief, private=private))
    (clip,) = plan.outgoing
    assert clip.muted == (brief.segment,)
    assert ids(plan.list_held_back(Reason.TOO_SHORT)) == [brief.utterance_id]


def test_plan_push_draws_a_known_clip_beside_a_new_one_and_disguises_it() -> None:
    heard = utterance(1_000)
    new = utterance(5_000)
    before = pushed_as_planned(state_of(heard, settings=AnnotationSettings(check_share=0.5)))
    labels = tuple(said_of(heard, number) for number in range(3))
    state = replace(
        before,
        utterances=(heard, new),
        private={heard.utterance_id: (), new.utterance_id: ()},
        settled=settle_all(Answers(labels=labels, checks=(), decisions=()), (SCHEME,)),
        answered=frozenset([heard.utterance_id]),
    )
    plan = plan_push(state)
    (check,) = plan.new_checks
    assert check.utterance_id == heard.utterance_id
    assert check.purpose == "gold"
    utterance_ids = [clip.utterance_id for clip in plan.outgoing]
    assert utterance_ids == [new.utterance_id, check.key]
    assert plan.outgoing[1].window != heard.segment
    pushed = {clip.utterance_id: clip.pushed for clip in (*plan.outgoing, *plan.unchanged)}
    after = replace(
        state,
        checks={check.key: check},
        pushed=pushed,
        pushed_before=pushed,
    )
    again = plan_push(after)
    assert again.new_checks == ()
    assert again.outgoing == ()
    utterance_ids = {clip.utterance_id for clip in again.unchanged}
    assert utterance_ids == set(pushed)


def test_without_uncut_holds_back_what_cannot_be_cut_and_nothing_else() -> None:
    cut = utterance(1_000)
    uncut = utterance(5_000)
    sound = utterance(number=1)
    plan = plan_push(state_of(cut, uncut, sound))
    by_id = {clip.utterance_id: clip for clip in plan.outgoing}
    to_cut = [by_id[uncut.utterance_id], by_id[sound.utterance_id]]
    told = plan.without_uncut(to_cut, {RECORDING: "is cut short"})
    assert ids(told.list_held_back(Reason.BAD_AUDIO)) == [uncut.utterance_id]
    assert [held.why for held in told.held_back] == ["is cut short"]
    utterance_ids = {clip.utterance_id for clip in told.outgoing}
    assert utterance_ids == {
        cut.utterance_id,
        sound.utterance_id,
    }


@dataclass(frozen=True)
class Fate:
    """What became of an utterance before a push."""

    length_ms: int
    number: int
    before: str
    scanned: bool
    answered: bool
    returns: bool


FATES = st.builds(
    Fate,
    length_ms=st.sampled_from([100, 299, 300, 1_500]),
    number=st.integers(0, 2),
    before=st.sampled_from(["never", "as it is", "otherwise", "lost", "elsewhere"]),
    scanned=st.booleans(),
    answered=st.booleans(),
    returns=st.booleans(),
)
SOME_RECORDINGS = st.sets(st.sampled_from([r.recording_id for r in RECORDINGS]))


def state_after(fates: Mapping[Utterance, Fate], **fields: Any) -> PushState:
    """The state that some fates have led to."""
    state = state_of(*fates, **fields)
    shown = {clip.utterance_id: clip.pushed for clip in plan_push(state_of(*fates)).outgoing}
    pushed, elsewhere = {}, {}
    for clip, fate in fates.items():
        name = clip.utterance_id
        if fate.before == "as it is" and name in shown:
            pushed[name] = shown[name]
        elif fate.before == "otherwise":
            pushed[name] = PushedClip(utterance_id=name, clip_digest="another")
        elif fate.before == "lost":
            pushed[name] = PushedClip(utterance_id=name, clip_digest=GONE)
        elif fate.before == "elsewhere":
            elsewhere[name] = PushedClip(utterance_id=name, clip_digest="another")
    returning = [clip for clip, fate in fates.items() if fate.returns]
    return replace(
        state,
        pushed=pushed,
        pushed_before={**elsewhere, **pushed},
        answered=frozenset(clip.utterance_id for clip, fate in fates.items() if fate.answered),
        private={clip.utterance_id: () for clip, fate in fates.items() if fate.scanned},
        returning={clip.utterance_id: (said_of(clip, 1),) for clip in returning},
    )


@settings(deadline=None)
@given(
    fates=st.lists(FATES, max_size=8),
    barred=SOME_RECORDINGS,
    bad=SOME_RECORDINGS,
    minutes=st.sampled_from([None, 1, 10]),
)
def test_every_utterance_is_sent_or_there_or_held_back_for_one_reason(
    fates: list[Fate],
    barred: set[str],
    bad: set[str],
    minutes: int | None,
) -> None:
    said = {
        utterance(1_000 * place, fate.length_ms, number=fate.number): fate
        for place, fate in enumerate(fates)
    }
    state = state_after(
        said,
        barred=dict.fromkeys(barred, "refused"),
        bad_audio=dict.fromkeys(bad, "cut short"),
        checks={
            "k": CheckClip(
                key="k",
                utterance_id="nobody",
                purpose="gold",
                shift_ms=80,
            )
        },
    )
    budget = None if minutes is None else Budget(time_ms=60_000 * minutes, annotators=1)
    plan = plan_push(state, budget=budget)
    assert_every_one_is_placed(plan, state)
    kept = {entry.utterance_id for entry in plan.kept}
    utterance_ids = {clip.utterance_id for clip in (*plan.outgoing, *plan.unchanged)}
    assert utterance_ids <= kept
    told = plan.without_uncut(plan.outgoing, dict.fromkeys(bad, "cut short"))
    assert_every_one_is_placed(told, state)
    assert not bad & {clip.utterance.recording_id for clip in told.outgoing}


def assert_every_one_is_placed(plan: PushPlan, state: PushState) -> None:
    sent = [clip.utterance_id for clip in plan.outgoing]
    unchanged = [clip.utterance_id for clip in plan.unchanged]
    placed = [*sent, *unchanged, *ids(plan.held_back)]
    assert sorted(placed) == sorted(u.utterance_id for u in state.utterances)
    assert sum(plan.count(reason) for reason in Reason) == len(plan.held_back)
    assert all(held.why for held in plan.held_back)
