"""Push: put clips with their proposals into Label Studio, each once, without the personal data in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from annotation.budget import parse_duration
from annotation.checks import draw_checks
from annotation.settle import require_no_orphans, settle_all
from flows.labelling.answers import read_answers
from flows.labelling.choose import Budget, choose_clips, embed_utterances, learn_lead_times
from flows.labelling.clips import cut_clips, remove_other_clips
from flows.labelling.outgoing import Outgoing, _disguised, _private_speech, _rank, give_out, prepare
from flows.labelling.queues import build_queue, connect_receiver, note_queue
from flows.labelling.reconcile import mend_clips
from flows.locks import pushing
from flows.models import build_labelers
from flows.quiet_exit import quiet_child
from flows.say import tell
from flows.steps import call, show_table, step
from flows.stored_audio import note_bad, open_guard
from flows.workspace import Say, Workspace, open_workspace
from voxdata.counted import counted
from voxdata.errors import DropReason
from voxdata.label import Annotation
from voxdata.ports import AnnotationQueue, PushResult, QueueEntry
from voxdata.utterance import Utterance
from warehouse.annotations import current_annotations
from warehouse.checks import add_checks, list_checks
from warehouse.consent import find_barred
from warehouse.labels import list_predictions
from warehouse.ledger import record_drop
from warehouse.privacy import list_private_spans
from warehouse.pushes import GONE, PushedClip, list_projects, list_pushed, record_pushes
from warehouse.recordings import list_recordings
from warehouse.utterances import list_utterances

BATCH_SIZE = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSummary:
    """What a push did, in clips.

    Attributes:
        pushed: Newly in Label Studio.
        already_there: Found there though the warehouse did not know (an earlier push died half-way), or changed since.
        predictions_added: Got newer proposals beside the old ones.
        replaced: Were there with another text or clip; Label Studio shows the new one now.
        blind: How many of the new ones withhold the proposed labels.
        without_guess: How many of the new ones have proposals that tick nothing, since none is sure enough.
        unchanged: Were there as they are.
        too_short: Not sent; in the ledger.
        not_chosen: Not sent, since the budget is spent.
        bad_audio: Not sent, since the canonical audio of their recordings is missing, damaged or another; in the ledger.
        no_consent: Not sent, since the consent of their recordings does not cover what [release] wants them for.
        not_scanned: Not sent, since nobody has looked for personal data in them yet; `voxdata prelabel` does.
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
    workspace: Workspace, queue: AnnotationQueue, project_id: int, pending: list[Outgoing], recorded: frozenset[str], say: Say
) -> PushSummary:
    """Push clips and record, as they arrive, that they are there."""
    going = {each.entry.utterance_id: each for each in pending}
    seen: list[str] = []

    def note(part: PushResult) -> None:
        keys = [*part.pushed, *part.already_there]
        with workspace.warehouse() as con:
            record_pushes(con, [going[key].pushed for key in keys], project_id=project_id, run_id=workspace.run_id)
        seen.extend(keys)
        say(f"push: {len(seen)}/{len(pending)} clips")

    result = queue.push([each.entry for each in pending], recorded=recorded, done=note)
    return PushSummary(
        pushed=len(result.pushed),
        already_there=len(result.already_there),
        predictions_added=len(result.predictions_added),
        replaced=len(result.replaced),
        blind=sum(going[key].entry.blind for key in result.pushed),
        without_guess=sum(_ticks_nothing(going[key].entry) for key in result.pushed),
    )


def _ticks_nothing(entry: QueueEntry) -> bool:
    return bool(entry.predictions) and not entry.sure and not entry.blind


def push_pending(workspace: Workspace, *, say: Say, budget: Budget | None = None) -> PushSummary:
    """Push every utterance that Label Studio lacks, or has with other proposals, another text or another clip; one push at a time.

    Args:
        budget: Push only as many new clips as people have time for, the most useful first.
    """
    with pushing(workspace, say=say):
        return push_while_alone(workspace, answers={}, budget=budget, say=say)


def push_while_alone(workspace: Workspace, *, answers: Mapping[str, Sequence[Annotation]], budget: Budget | None, say: Say) -> PushSummary:
    """The same for whoever is `pushing` already.

    Args:
        answers: Key -> annotations of a lost project that come back with the clip.
    """
    with workspace.warehouse() as con:
        # Label Studio would let a label that is in use go without a word.
        require_no_orphans(read_answers(con, workspace.histories))
    context_ms = workspace.settings.annotation.context_ms
    queue = build_queue(workspace)
    project_id = note_queue(workspace, queue)
    models = {name: labeler.model for name, labeler in build_labelers(workspace).items()}
    recorded = mend_clips(workspace, queue, project_id, say=say)
    with workspace.warehouse() as con:
        recordings = {stored.recording.recording_id: stored for stored in list_recordings(con)}
        utterances = list_utterances(con)
        proposals = {name: list_predictions(con, scheme=name, model_key=model.key) for name, model in models.items()}
        former = [p.project_id for p in list_projects(con) if p.purpose == "label" and not p.current]
        given_out = {key: clip for number in (*former, project_id) for key, clip in list_pushed(con, project_id=number).items()}
        there = list_pushed(con, project_id=project_id)
        answered = {a.utterance_id for a in current_annotations(con) if not a.deleted and not a.skipped}
        lead_times = learn_lead_times(con)
        private = list_private_spans(con) if workspace.settings.privacy.mask else None
        terms = workspace.settings.release
        barred = find_barred(con, purpose=terms.purpose, policy=terms.consent, today=datetime.now(UTC).date())
        long = [u for u in utterances if u.segment.duration_ms >= workspace.settings.annotation.min_clip_ms]
        short = [u for u in utterances if u.segment.duration_ms < workspace.settings.annotation.min_clip_ms]
        for u in short:
            record_drop(
                con, stage="push", subject=u.utterance_id, reason=DropReason.TOO_SHORT, recording_id=u.recording_id,
                detail="shorter than [annotation] min_clip_ms", value=u.segment.duration_ms,
                threshold=workspace.settings.annotation.min_clip_ms, run_id=workspace.run_id,
            )  # fmt: skip
    guard = open_guard(workspace, recordings)
    held_back = [u for u in long if u.recording_id in barred and not _stays(u.utterance_id, there, answers)]
    unsent = {u.utterance_id for u in held_back}
    long = [u for u in long if u.utterance_id not in unsent]
    leaving = [
        give_out(going, given_out.get(going.entry.utterance_id), workspace.settings.annotation, answers=answers)
        for going in prepare(long, recordings, proposals, private=private, unsent=(*short, *held_back), context_ms=context_ms)
    ]
    embeddings = {}
    if workspace.settings.annotation.embeddings:
        files = {key: stored.audio_file for key, stored in recordings.items()}
        embeddings = embed_utterances(workspace, [going.utterance for going in leaving], files, guard=guard, say=say)
    lost = [g for g in leaving if g.utterance.recording_id in guard.refused and g.entry.utterance_id not in there]
    leaving = [g for g in leaving if g.utterance.recording_id not in guard.refused or g.entry.utterance_id in there]
    choices = choose_clips(
        [going.utterance for going in leaving if going.entry.utterance_id not in answered],
        proposals,
        settings=workspace.settings.annotation,
        new={going.entry.utterance_id for going in leaving if going.entry.utterance_id not in given_out},
        lead_times=lead_times,
        budget=budget,
        embeddings=embeddings,
        heard=[going.utterance for going in leaving if going.entry.utterance_id in answered],
    )
    ranked = [_rank(going, choices, given_out.get(going.entry.utterance_id)) for going in leaving]
    leaving = [going for going in ranked if going is not None]
    new = sum(going.entry.utterance_id not in given_out for going in leaving)
    with workspace.warehouse() as con:
        if new and workspace.settings.annotation.check_share:
            settled = settle_all(read_answers(con, workspace.histories), workspace.schemes)
            durations = {key: stored.recording.duration_ms for key, stored in recordings.items()}
            heard = [going.utterance for going in leaving if going.utterance.recording_id not in barred]
            share = workspace.settings.annotation.check_share
            add_checks(con, draw_checks(settled, heard, durations, known=list_checks(con), new=new, share=share), run_id=workspace.run_id)
        checks = list_checks(con)
    leaving += _disguised(
        leaving, checks, recordings, _private_speech((*long, *short, *held_back), private), private=private, context_ms=context_ms
    )
    pending = [going for going in leaving if (known := there.get(going.entry.utterance_id)) is None or known.key != going.key]
    total = PushSummary(
        unchanged=len(leaving) - len(pending),
        too_short=len(short),
        not_chosen=ranked.count(None),
        not_scanned=len(long) - len(ranked) - len(lost),
        no_consent=len(held_back),
        bad_audio=len(lost),
    )
    batches = [pending[start : start + BATCH_SIZE] for start in range(0, len(pending), BATCH_SIZE)]
    # The clips of a batch are cut while the server takes the one before.
    with ThreadPoolExecutor(max_workers=1) as cutter:
        cuts = [cutter.submit(cut_clips, workspace, recordings, batch, guard) for batch in batches]
        for batch, cut in zip(batches, cuts, strict=True):
            ready = cut.result()
            total = replace(total, bad_audio=total.bad_audio + len(batch) - len(ready))
            part = call(push_clips, workspace, queue, project_id, ready, recorded, say)
            recorded |= {going.entry.utterance_id for going in ready}
            total = PushSummary(**{name: getattr(total, name) + getattr(part, name) for name in PushSummary.__slots__})
    connect_receiver(workspace, queue, say=say)
    if pending:
        mend_clips(workspace, queue, project_id, say=say)
    entries = [going.entry for going in (*leaving, *lost)]
    unknown = remove_other_clips(workspace.media_dir, entries, recordings, keep_others=private is None)
    if unknown:
        say(
            f"push: {counted(unknown, 'clip')} in {workspace.media_dir / 'clips'} of recordings that this warehouse does not know: left "
            "alone; delete what nobody needs"
        )
    note_bad(workspace, guard.refused, stage="push")
    for error in guard.refused.values():
        say(f"push: its clips are not given out: {error}")
    say(f"push: {total.pushed} new, {total.predictions_added} with newer proposals, {total.replaced} replaced, {total.unchanged} unchanged")
    if total.without_guess:
        say(f"push: {total.without_guess} of the new clips come with nothing ticked, since no model is sure enough of them")
    if total.not_chosen:
        say(f"push: {counted(total.not_chosen, 'clip waits', 'clips wait')}, since the budget is spent")
    if held_back:
        barring = counted(total.no_consent, "clip is", "clips are")
        say(f"push: {barring} not given out, since a release refuses such clips: {_count_whys(held_back, barred)}")
    kept = [u for u in long if u.recording_id in barred]
    if kept:
        say(
            f"push: {counted(len(kept), 'clip is', 'clips are')} in Label Studio already, though a release refuses such clips: "
            f"{_count_whys(kept, barred)}; "
            "`voxdata forget` takes a recording away everywhere"
        )
    if total.not_scanned:
        say(f"push: {counted(total.not_scanned, 'clip waits', 'clips wait')} for the scan for personal data: run `voxdata prelabel`")
    show_table("push", [asdict(total)], description="Clips pushed by this run")
    return total


def _stays(utterance_id: str, there: Mapping[str, PushedClip], answers: Collection[str]) -> bool:
    """Whether a clip is in Label Studio, or comes back with what people said about it."""
    clip = there.get(utterance_id)
    return utterance_id in answers or (clip is not None and clip.key != GONE)


def _count_whys(utterances: Sequence[Utterance], barred: Mapping[str, str]) -> str:
    whys = Counter(barred[u.recording_id] for u in utterances)
    return ", ".join(f"{why} {count}" for why, count in sorted(whys.items(), key=lambda pair: (-pair[1], pair[0])))


@flow(
    name="push",
    flow_run_name="push",
    validate_parameters=False,
    log_prints=True,
)
def push(root: str, budget: str = "", annotators: int = 1) -> dict[str, int]:
    """Push what is pending in the workspace at `root`; with a budget such as "45min", what that many annotators have time for."""
    quiet_child()
    time = Budget(time_ms=parse_duration(budget), annotators=annotators) if budget else None
    return asdict(push_pending(open_workspace(Path(root)), say=tell, budget=time))
