"""Push: put clips with their proposals into Label Studio, each once, without the personal data in them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from annotation.acquire import Choice
from annotation.budget import parse_duration
from annotation.encode import model_version
from flows.acquire import Budget, choose_clips, embed_utterances, learn_lead_times
from flows.checks import disguise, draw_checks
from flows.clip_names import clip_key
from flows.draw import draw
from flows.locks import PUSH, hold_lock
from flows.models import build_labelers
from flows.quiet_exit import quiet_child
from flows.reconcile import mend_clips
from flows.say import tell
from flows.settings import AnnotationSettings
from flows.steps import call, show_table, step
from flows.stored_audio import note_bad, open_guard
from flows.votes import read_answers, require_no_orphans, settle_all
from flows.wiring import build_queue, connect_receiver, note_queue
from flows.workspace import Say, Workspace, open_workspace
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip, write_clip_wav
from voxdata.errors import AudioError, DropReason
from voxdata.identity import digest
from voxdata.label import Annotation, Prediction
from voxdata.ports import AnnotationQueue, PushResult, QueueEntry
from voxdata.privacy import PrivateSpan, hidden_parts, mask_text, masking_key, mute
from voxdata.segment import Segment, overlap_ms
from voxdata.utterance import Utterance
from warehouse.annotations import current_annotations
from warehouse.checks import CheckClip, add_checks, list_checks
from warehouse.consent import find_barred
from warehouse.labels import list_predictions
from warehouse.ledger import record_drop
from warehouse.privacy import list_private_spans
from warehouse.pushes import GONE, PushedClip, list_projects, list_pushed, record_pushes
from warehouse.recordings import StoredRecording, list_recordings
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
        blind: Of those newly there, how many withhold the proposed labels.
        without_guess: Of those newly there, how many have proposals that tick nothing, since none is sure enough.
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


def push_pending(
    workspace: Workspace, *, say: Say, answers: Mapping[str, Sequence[Annotation]] | None = None, budget: Budget | None = None
) -> PushSummary:
    """Push every utterance that Label Studio lacks, or has with other proposals, another text or another clip; one push at a time.

    Args:
        answers: Key -> annotations of a lost project that come back with the clip.
        budget: Push only as many new clips as people have time for, the most useful first.
    """
    with hold_lock(workspace.state_dir / f"{PUSH}.lock", doing="pushing clips", say=say):
        return _push_pending(workspace, answers=answers or {}, budget=budget, say=say)


def _push_pending(workspace: Workspace, *, answers: Mapping[str, Sequence[Annotation]], budget: Budget | None, say: Say) -> PushSummary:
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
            f"push: {unknown} clips in {workspace.media_dir / 'clips'} are of recordings that this warehouse does not know; they are left "
            "alone: delete them if nobody needs them"
        )
    note_bad(workspace, guard.refused, stage="push")
    for error in guard.refused.values():
        say(f"push: its clips are not given out: {error}")
    say(f"push: {total.pushed} new, {total.predictions_added} with newer proposals, {total.replaced} replaced, {total.unchanged} unchanged")
    if total.without_guess:
        say(f"push: {total.without_guess} of the new clips come with nothing ticked, since no model is sure enough of them")
    if total.not_chosen:
        say(f"push: {total.not_chosen} clips wait, since the budget is spent")
    if held_back:
        say(f"push: {total.no_consent} clips are not given out, since a release would refuse them: {_count_whys(held_back, barred)}")
    kept = [u for u in long if u.recording_id in barred]
    if kept:
        say(
            f"push: {len(kept)} clips that a release would refuse are in Label Studio already: {_count_whys(kept, barred)}; "
            "`voxdata forget` takes a recording away everywhere"
        )
    if total.not_scanned:
        say(f"push: {total.not_scanned} clips wait until they are scanned for personal data: run `voxdata prelabel`")
    show_table("push", [asdict(total)], description="Clips pushed by this run")
    return total


def _stays(utterance_id: str, there: Mapping[str, PushedClip], answers: Collection[str]) -> bool:
    """Whether a clip is in Label Studio, or comes back with what people said about it."""
    clip = there.get(utterance_id)
    return utterance_id in answers or (clip is not None and clip.key != GONE)


def _count_whys(utterances: Sequence[Utterance], barred: Mapping[str, str]) -> str:
    whys = Counter(barred[u.recording_id] for u in utterances)
    return ", ".join(f"{why} {count}" for why, count in sorted(whys.items(), key=lambda pair: (-pair[1], pair[0])))


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


def cut_clips(
    workspace: Workspace, recordings: Mapping[str, StoredRecording], batch: Sequence[Outgoing], guard: AudioGuard
) -> list[Outgoing]:
    """Write the clips that are not there yet, with what is private muted.

    Args:
        guard: Lets a recording be read when its file is what was stored; it knows afterwards which did not.

    Returns:
        Those whose clips are there now.
    """
    ready = []
    for going in batch:
        target = workspace.media_dir / going.entry.audio_file
        if not target.exists():
            u = going.utterance
            path = workspace.audio_dir / recordings[u.recording_id].audio_file
            try:
                expected = guard.admit(path, u.recording_id)
                samples = read_clip(path, channel=u.channel, segment=going.window, expected=expected)
            except AudioError as error:
                guard.refuse(u.recording_id, error)
                continue
            write_clip_wav(target, mute(samples, going.muted, offset_ms=going.window.start_ms))
        ready.append(going)
    return ready


def remove_other_clips(media_dir: Path, entries: Collection[QueueEntry], recordings: Collection[str], *, keep_others: bool) -> int:
    """Delete clips that may hold what nobody should hear: those of these utterances that were cut with other spans.

    Args:
        recordings: Ids of those that the warehouse knows. Clips of others are not judged: a warehouse that knows nothing deletes nothing.
        keep_others: Leave clips of their other utterances alone; else they go too, since what was cut when nothing was masked is not
            masked.

    Returns:
        How many are of recordings that the warehouse does not know.
    """
    wanted = {entry.utterance_id: media_dir / entry.audio_file for entry in entries}
    unknown = 0
    for path in sorted((media_dir / "clips").glob("*/*.wav")):
        if path.parent.name not in recordings:
            unknown += 1
            continue
        key = clip_key(path.name)
        if key is not None and path != wanted.get(key, path if keep_others else None):
            path.unlink()
    return unknown


@flow(
    name="push",
    flow_run_name="push",
    validate_parameters=False,
    log_prints=True,
    on_running=[quiet_child],
)
def push(root: str, budget: str = "", annotators: int = 1) -> dict[str, int]:
    """Push what is pending in the workspace at `root`; with a budget such as "45min", what that many annotators have time for."""
    time = Budget(time_ms=parse_duration(budget), annotators=annotators) if budget else None
    return asdict(push_pending(open_workspace(Path(root)), say=tell, budget=time))
