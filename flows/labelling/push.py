"""Push: put clips with their proposals into Label Studio, each once, without the personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prefect import flow

from flows.labelling.choose import Budget, embed_utterances, read_budget
from flows.labelling.clips import cut_clips, remove_other_clips
from flows.labelling.outgoing import Outgoing
from flows.labelling.plan import PushPlan, Reason, find_barriers, plan_push
from flows.labelling.push_state import (
    PushState,
    push_context,
    read_push_state,
    require_todays_labels,
)
from flows.labelling.queues import (
    Project,
    ProjectQueue,
    build_queue,
    connect_receiver,
    open_project,
)
from flows.labelling.reconcile import mend_clips
from flows.locks import pushing
from flows.models import build_labelers
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.steps import call, show_table, step
from flows.stored_audio import note_bad, open_guard
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio_digest import AudioGuard
from voxdata.counted import counted
from voxdata.errors import DropReason
from voxdata.label import Annotation
from voxdata.ports import PushResult, QueueEntry
from voxdata.progress import Progress
from voxdata.tally import add_up
from warehouse.checks import add_checks
from warehouse.ledger import Drop, record_drops
from warehouse.push_passes import PushPass, find_pass, last_seq, record_pass
from warehouse.pushes import record_pushes

BATCH_SIZE = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSummary:
    """What a push did, in clips.

    Attributes:
        pushed: Newly in Label Studio.
        already_there: Found there though the warehouse did not know (an earlier push died
            half-way), or changed since.
        predictions_added: Got newer proposals beside the old ones.
        replaced: Were there with another text or clip; Label Studio shows the new one now.
        blind: How many of the new ones withhold the proposed labels.
        without_guess: How many of the new ones have proposals that tick nothing, since none is sure
            enough.
        unchanged: Were there as they are.
        too_short: Not sent; in the ledger.
        not_scanned: Not sent, since nobody has looked for personal data in them yet; `voxdata
            prelabel` does.
        not_chosen: Not sent, since the budget is spent.
        no_consent: Not sent, since the consent of their recordings does not cover what [release]
            wants them for.
        bad_audio: Not sent, since the canonical audio of their recordings is missing, damaged or
            another; in the ledger.
    """

    pushed: int = 0
    already_there: int = 0
    predictions_added: int = 0
    replaced: int = 0
    blind: int = 0
    without_guess: int = 0
    unchanged: int = 0
    too_short: int = 0
    not_scanned: int = 0
    not_chosen: int = 0
    no_consent: int = 0
    bad_audio: int = 0


@step("push-clips")
def push_clips(
    project: Project, clips: list[Outgoing], recorded: frozenset[str], say: Say
) -> PushSummary:
    """Push clips and record, as they arrive, that they are there.

    Args:
        recorded: Ids of clips that are on record as being in the project.
    """
    by_id = {clip.utterance_id: clip for clip in clips}
    arrived: list[str] = []

    def note(part: PushResult) -> None:
        ids = [*part.pushed, *part.already_there]
        pushed = [by_id[utterance_id].pushed for utterance_id in ids]
        workspace = project.workspace
        with workspace.warehouse() as con:
            record_pushes(con, pushed, project_id=project.project_id, run_id=workspace.run_id)
        arrived.extend(ids)
        _tell_sent(len(arrived), len(clips), say=say)

    entries = [clip.entry for clip in clips]
    result = project.queue.push(entries, recorded=recorded, done=note)
    new = [by_id[utterance_id].entry for utterance_id in result.pushed]
    return PushSummary(
        pushed=len(result.pushed),
        already_there=len(result.already_there),
        predictions_added=len(result.predictions_added),
        replaced=len(result.replaced),
        blind=sum(entry.blind for entry in new),
        without_guess=sum(_ticks_nothing(entry) for entry in new),
    )


def _tell_sent(num_sent: int, num_clips: int, *, say: Say) -> None:
    say(Progress(f"push: {num_sent}/{num_clips} clips", done=num_sent, total=num_clips))


def _ticks_nothing(entry: QueueEntry) -> bool:
    return bool(entry.predictions) and not entry.sure and not entry.blind


def push_pending(
    workspace: Workspace,
    *,
    say: Say,
    queue: ProjectQueue | None = None,
    budget: Budget | None = None,
) -> PushSummary:
    """Push every utterance that Label Studio lacks, or has with other proposals, another text or
    another clip; one push at a time.

    Args:
        queue: Where people label; None for the Label Studio project of the settings.
        budget: Push only as many new clips as people have time for, the most useful first.
    """
    with pushing(workspace, say=say):
        return push_while_alone(workspace, queue=queue, answers={}, budget=budget, say=say)


def push_while_alone(
    workspace: Workspace,
    *,
    answers: Mapping[str, Sequence[Annotation]],
    budget: Budget | None,
    say: Say,
    queue: ProjectQueue | None = None,
) -> PushSummary:
    """The same for whoever is `pushing` already.

    Args:
        answers: Utterance id -> annotations of a lost project that come back with the clip.
    """
    with workspace.warehouse() as con:
        require_todays_labels(con, workspace)
    project = open_project(workspace, build_queue(workspace) if queue is None else queue)
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    recorded = mend_clips(project, say=say)
    project_id, context = project.project_id, push_context(workspace, models)
    with workspace.warehouse() as con:
        passing = PushPass(context=context, through_seq=last_seq(con))
        state = read_push_state(
            con,
            workspace,
            project_id=project_id,
            models=models,
            returning=answers,
            costs=budget is not None,
            since=find_pass(con, project_id=project_id, context=context),
        )
    guard = open_guard(workspace, state.recordings)
    state = _listen(workspace, state, guard, say=say)
    plan = plan_push(state, budget=budget)
    _note_plan(workspace, plan)
    total = add_up(_count(state, plan), _send(project, state, plan, recorded, guard, say=say))
    connect_receiver(project, say=say)
    if plan.outgoing:
        mend_clips(project, say=say)
    _clear_clips(workspace, state, plan, say=say)
    if not guard.refused:  # else what could not be cut would be passed over once it can
        with workspace.warehouse() as con:
            record_pass(con, passing, project_id=project_id, run_id=workspace.run_id)
    note_bad(workspace, guard.refused, stage="push")
    for error in guard.refused.values():
        say(f"push: its clips are not given out: {error}")
    _tell_summary(total, say=say)
    _tell_held_back(state, plan, say=say)
    show_table("push", [asdict(total)], description="Clips pushed by this run")
    return total


def _listen(workspace: Workspace, state: PushState, guard: AudioGuard, *, say: Say) -> PushState:
    """The state with what the clips sound like, where the settings ask for it."""
    if not state.settings.embeddings:
        return state
    barriers = find_barriers(state)
    embeddings = embed_utterances(
        workspace,
        [u for u in state.utterances if u.utterance_id not in barriers],
        {name: stored.audio_file for name, stored in state.recordings.items()},
        guard=guard,
        say=say,
    )
    bad_audio = {name: str(error) for name, error in guard.refused.items()}
    return replace(state, embeddings=embeddings, bad_audio=bad_audio)


def _note_plan(workspace: Workspace, plan: PushPlan) -> None:
    """Write down what is too short, and the check clips that were drawn."""
    too_short = [
        Drop(
            subject=held.utterance.utterance_id,
            reason=DropReason.TOO_SHORT,
            recording_id=held.utterance.recording_id,
            detail=held.why,
            value=held.utterance.segment.duration_ms,
            threshold=workspace.settings.annotation.min_clip_ms,
        )
        for held in plan.list_held_back(Reason.TOO_SHORT)
    ]
    with workspace.warehouse() as con:
        record_drops(con, too_short, stage="push", run_id=workspace.run_id)
        add_checks(con, plan.new_checks, run_id=workspace.run_id)


def _count(state: PushState, plan: PushPlan) -> PushSummary:
    """What is known before anything is sent."""
    passed = state.passed
    return PushSummary(
        unchanged=len(plan.unchanged) + passed.unchanged,
        too_short=plan.count(Reason.TOO_SHORT) + passed.too_short,
        not_scanned=plan.count(Reason.NOT_SCANNED) + passed.not_scanned,
        not_chosen=plan.count(Reason.NOT_CHOSEN),
        no_consent=plan.count(Reason.NO_CONSENT) + sum(passed.no_consent.values()),
        bad_audio=plan.count(Reason.BAD_AUDIO),
    )


def _send(
    project: Project,
    state: PushState,
    plan: PushPlan,
    recorded: frozenset[str],
    guard: AudioGuard,
    *,
    say: Say,
) -> PushSummary:
    """Cut what goes out and push it; the clips of a batch are cut while the server takes the one
    before."""
    clips = plan.outgoing
    batches = [clips[start : start + BATCH_SIZE] for start in range(0, len(clips), BATCH_SIZE)]
    sent = PushSummary()
    with ThreadPoolExecutor(max_workers=1) as cutter:
        cuts = [
            cutter.submit(cut_clips, project.workspace, state.recordings, batch, guard)
            for batch in batches
        ]
        for batch, cut in zip(batches, cuts, strict=True):
            _tell_sent(0, len(batch), say=say)
            ready = cut.result()
            part = call(push_clips, project, ready, recorded, say)
            recorded |= {clip.utterance_id for clip in ready}
            lost = PushSummary(bad_audio=len(batch) - len(ready))
            sent = add_up(add_up(sent, part), lost)
    return sent


def _clear_clips(workspace: Workspace, state: PushState, plan: PushPlan, *, say: Say) -> None:
    """Delete clips that may hold what nobody should hear."""
    unknown = remove_other_clips(
        workspace.media_dir,
        plan.kept,
        state.recordings,
        keep_others=state.private is None,
        everywhere=state.is_whole,
    )
    if unknown:
        say(
            f"push: {counted(unknown, 'clip')} in {workspace.media_dir / 'clips'} of recordings "
            "that this warehouse does not know: left alone; delete what nobody needs"
        )


def _tell_summary(total: PushSummary, *, say: Say) -> None:
    say(
        f"push: {total.pushed} new, {total.predictions_added} with newer proposals, "
        f"{total.replaced} replaced, {total.unchanged} unchanged"
    )
    if total.without_guess:
        say(
            f"push: {total.without_guess} of the new clips come with nothing ticked, since no "
            "model is sure enough of them"
        )


def _tell_held_back(state: PushState, plan: PushPlan, *, say: Say) -> None:
    not_chosen = plan.count(Reason.NOT_CHOSEN)
    if not_chosen:
        waiting = counted(not_chosen, "clip waits", "clips wait")
        say(f"push: {waiting}, since the budget is spent")
    refused = Counter(held.why for held in plan.list_held_back(Reason.NO_CONSENT))
    refused.update(state.passed.no_consent)
    if refused:
        barring = counted(refused.total(), "clip is", "clips are")
        whys = _describe_whys(refused)
        say(f"push: {barring} not given out, since a release refuses such clips: {whys}")
    barred = Counter(state.barred[u.recording_id] for u in plan.barred)
    barred.update(state.passed.barred)
    if barred:
        given_out = counted(barred.total(), "clip is", "clips are")
        whys = _describe_whys(barred)
        say(
            f"push: {given_out} in Label Studio already, though a release refuses such clips: "
            f"{whys}; `voxdata forget` takes a recording away everywhere"
        )
    not_scanned = plan.count(Reason.NOT_SCANNED) + state.passed.not_scanned
    if not_scanned:
        waiting = counted(not_scanned, "clip waits", "clips wait")
        say(f"push: {waiting} for the scan for personal data: run `voxdata prelabel`")


def _describe_whys(whys: Mapping[str, int]) -> str:
    ordered = sorted(whys.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{why} {count}" for why, count in ordered)


@flow(
    name="push",
    flow_run_name="push",
    validate_parameters=False,
    log_prints=True,
)
def push(root: str, budget: str = "", annotators: int = 1) -> dict[str, int]:
    """Push what is pending in the workspace at `root`.

    Args:
        budget: Such as "45min": send only what that many annotators have time for.
    """
    quiet_child()
    time = read_budget(budget, annotators)
    return asdict(push_pending(open_workspace(Path(root)), say=tell, budget=time))
