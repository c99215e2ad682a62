"""Adjudicate: give experts the clips that people do not agree about, or whose labels are probably wrong, with the rival answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from string import ascii_uppercase

from annotation.label_errors import LabelDoubt, find_label_errors, out_of_fold
from annotation.settle import Answers, Settled
from flows.labelling.answers import read_answers
from flows.labelling.clips import cut_clips
from flows.labelling.outgoing import prepare
from flows.labelling.queues import build_queue, connect_receiver, note_queue
from flows.labelling.reconcile import mend_clips
from flows.locks import copying, pushing
from flows.stored_audio import note_bad, open_guard
from flows.workspace import Say, Workspace
from training.config import load_recipe
from training.encoder import load_encoder
from training.features import load_features
from voxdata.counted import counted
from voxdata.errors import NotFoundError
from voxdata.identity import digest
from voxdata.label import Annotation
from voxdata.ports import Rival
from voxdata.utterance import Utterance
from warehouse.consent import find_barred
from warehouse.privacy import list_private_spans
from warehouse.pushes import record_pushes
from warehouse.recordings import list_recordings
from warehouse.utterances import list_utterances
from warehouse.versions import find_version, load_examples

CONTESTED = ("ambiguous", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A clip for an expert.

    Attributes:
        why: For a person, such as "emotion: angry 2, sad 1".
        urgency: Larger comes first.
    """

    utterance_id: str
    why: str
    urgency: float


def find_contested(answers: Answers, settled: Mapping[str, Settled]) -> list[Case]:
    """Clips that several people heard without agreeing, and no expert has decided yet, the most contested first; then those whose label
    was split or removed since.

    Disagreement that careless annotators explain is left out: consensus settles it.
    """
    decided = {a.utterance_id for a in answers.decisions if not a.skipped}
    found: dict[str, Case] = {}
    for scheme, state in settled.items():
        for key, contest in state.contests.items():
            if key in decided or contest.standing.value not in CONTESTED:
                continue
            shares = state.gold[key].distribution if key in state.gold else {}
            why = f"{scheme}: " + ", ".join(f"{label} {share:.0%}" for label, share in sorted(shares.items(), key=lambda x: -x[1]))
            before = found.get(key, Case(utterance_id=key, why="", urgency=0.0))
            found[key] = Case(
                utterance_id=key, why="; ".join(filter(None, [before.why, why])), urgency=before.urgency + contest.disagreement
            )
    for vote in answers.undecided:
        if vote.utterance_id not in decided:
            why = f"{vote.scheme}: {vote.label} became {', '.join(vote.candidates) or 'nothing'}"
            found.setdefault(vote.utterance_id, Case(utterance_id=vote.utterance_id, why=why, urgency=0.0))
    return sorted(found.values(), key=lambda case: (-case.urgency, case.utterance_id))


def find_doubts(workspace: Workspace, *, scheme: str, version: str, count: int, say: Say) -> list[LabelDoubt]:
    """Labels of a dataset version that are probably wrong, worst first: models of other voices would not have given them.

    Args:
        count: Length of the queue.

    Raises:
        NotFoundError: Too few examples have a label under the scheme.
    """
    cache = workspace.models_dir / "features"
    with copying(workspace, say=say):
        with workspace.warehouse(read_only=True) as con:
            examples = [e for e in load_examples(con, find_version(con, version).version_id) if scheme in e.gold]
        if len(examples) < 10:
            raise NotFoundError(f"{version} has {counted(len(examples), 'label')} under {scheme!r}; to look for wrong ones takes 10")
        guard = open_guard(workspace, {e.recording_id for e in examples})
        encoder = load_encoder(load_recipe(scheme, overrides=workspace.settings.training.recipe).encoder)
        features = load_features(encoder, examples, audio_root=workspace.audio_dir, cache_dir=cache, guard=guard, progress=say)
    labels = [e.gold[scheme].label for e in examples]
    predicted = out_of_fold(features.values.reshape(len(examples), -1), labels, [e.group for e in examples])
    return find_label_errors([e.utterance_id for e in examples], labels, predicted, count=count)


def push_cases(workspace: Workspace, cases: Sequence[Case], *, say: Say) -> int:
    """Push clips into the adjudication project, with the answers that people gave; each once.

    Returns:
        How many are new there.
    """
    queue = build_queue(workspace, "adjudicate")
    project_id = note_queue(workspace, queue, "adjudicate")
    with pushing(workspace, say=say):
        recorded = mend_clips(workspace, queue, project_id, say=say)
        with workspace.warehouse() as con:
            wanted = {case.utterance_id: place for place, case in enumerate(cases)}
            everything = list_utterances(con)
            recordings = {stored.recording.recording_id: stored for stored in list_recordings(con)}
            private = list_private_spans(con) if workspace.settings.privacy.mask else None
            answers = read_answers(con, workspace.histories)
            terms = workspace.settings.release
            barred = find_barred(con, purpose=terms.purpose, policy=terms.consent, today=datetime.now(UTC).date())
        guard = open_guard(workspace, recordings)
        heard = [u for u in everything if u.utterance_id in wanted and u.recording_id not in barred]
        others = [u for u in everything if u.utterance_id not in wanted or u.recording_id in barred]
        refused = sum(u.utterance_id in wanted and u.recording_id in barred for u in everything)
        if refused:
            held_back = counted(refused, "clip is", "clips are")
            say(f"adjudicate: {held_back} not given out, since a release refuses such clips for want of consent")
        leaving = [
            replace(going, entry=replace(going.entry, rivals=rivals, priority=wanted[going.entry.utterance_id] / len(wanted)))
            for going in prepare(heard, recordings, {}, private=private, unsent=others, context_ms=workspace.settings.annotation.context_ms)
            if (rivals := name_rivals(going.utterance, answers.labels))
        ]
        leaving = cut_clips(workspace, recordings, leaving, guard)
        note_bad(workspace, guard.refused, stage="adjudicate")
        for error in guard.refused.values():
            say(f"adjudicate: its clips are not given out: {error}")
        result = queue.push([going.entry for going in leaving], recorded=recorded)
        with workspace.warehouse() as con:
            record_pushes(con, [going.pushed for going in leaving], project_id=project_id, run_id=workspace.run_id)
        connect_receiver(workspace, queue, say=say)
    new, old = counted(len(result.pushed), "clip is", "clips are"), counted(len(result.already_there), "was", "were")
    say(f"adjudicate: {new} new in {queue.title!r}, {old} there: {queue.page()}")
    return len(result.pushed)


def name_rivals(utterance: Utterance, annotations: Sequence[Annotation]) -> tuple[Rival, ...]:
    """The answers to one utterance under pseudonyms; who is "Listener A" differs from clip to clip, so that nobody is recognised."""
    mine = [a for a in annotations if a.utterance_id == utterance.utterance_id and not a.skipped]
    newest = {a.annotator: a for a in sorted(mine, key=lambda a: (a.updated_at, a.annotation_id))}
    shuffled = sorted(newest.values(), key=lambda a: digest(utterance.utterance_id, a.annotator))
    return tuple(
        Rival(pseudonym=f"Listener {_letters(place)}", labels=a.labels, ratings=a.ratings, text=a.text or "")
        for place, a in enumerate(shuffled)
    )


def _letters(place: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    return (_letters(place // 26 - 1) if place >= 26 else "") + ascii_uppercase[place % 26]
