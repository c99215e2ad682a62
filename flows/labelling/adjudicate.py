"""Adjudicate: give experts the clips that people do not agree about, or whose labels are probably
wrong, with the rival answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from string import ascii_uppercase

from duckdb import DuckDBPyConnection

from annotation.label_errors import LabelDoubt, find_label_errors, out_of_fold
from annotation.settle import Answers, Settled
from flows.labelling.answers import read_answers
from flows.labelling.clips import cut_clips
from flows.labelling.outgoing import Outgoing, prepare
from flows.labelling.queues import build_queue, connect_receiver, open_project
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
from warehouse.recordings import StoredRecording, list_recordings
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
    """Clips that several people heard without agreeing, and no expert has decided yet, the most
    contested first; then those whose label was split or removed since.

    Disagreement that careless annotators explain is left out: consensus settles it.
    """
    decided = {a.utterance_id for a in answers.decisions if not a.skipped}
    cases: dict[str, Case] = {}
    for scheme, state in settled.items():
        for utterance_id, contest in state.contests.items():
            if utterance_id in decided or contest.standing.value not in CONTESTED:
                continue
            why = f"{scheme}: {_shares(state, utterance_id)}"
            before = cases.get(utterance_id)
            cases[utterance_id] = Case(
                utterance_id=utterance_id,
                why=why if before is None else f"{before.why}; {why}",
                urgency=contest.disagreement + (0.0 if before is None else before.urgency),
            )
    for vote in answers.undecided:
        if vote.utterance_id not in decided:
            why = f"{vote.scheme}: {vote.label} became {', '.join(vote.candidates) or 'nothing'}"
            case = Case(utterance_id=vote.utterance_id, why=why, urgency=0.0)
            cases.setdefault(vote.utterance_id, case)
    return sorted(cases.values(), key=lambda case: (-case.urgency, case.utterance_id))


def _shares(settled: Settled, utterance_id: str) -> str:
    """What the votes say about an utterance, such as "angry 67%, sad 33%"."""
    gold = settled.gold.get(utterance_id)
    shares = {} if gold is None else gold.distribution
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{label} {share:.0%}" for label, share in ordered)


def find_doubts(
    workspace: Workspace, *, scheme: str, version: str, count: int, say: Say
) -> list[LabelDoubt]:
    """Labels of a dataset version that are probably wrong, worst first: models of other voices
    would not have given them.

    Args:
        count: Length of the queue.

    Raises:
        NotFoundError: Too few examples have a label under the scheme.
    """
    recipe = load_recipe(scheme, overrides=workspace.settings.training.recipe)
    with copying(workspace, say=say):
        with workspace.warehouse(read_only=True) as con:
            version_id = find_version(con, version).version_id
            examples = [e for e in load_examples(con, version_id) if scheme in e.gold]
        if len(examples) < 10:
            raise NotFoundError(
                f"{version} has {counted(len(examples), 'label')} under {scheme!r}; to look for "
                "wrong ones takes 10"
            )
        features = load_features(
            load_encoder(recipe.encoder, compute=workspace.settings.training.compute),
            examples,
            audio_root=workspace.audio_dir,
            cache_dir=workspace.models_dir / "features",
            guard=open_guard(workspace, {e.recording_id for e in examples}),
            pooling=recipe.audio.pooling,
            progress=say,
        )
    labels = [e.gold[scheme].label for e in examples]
    rows = features.values.reshape(len(examples), -1)
    predicted = out_of_fold(rows, labels, [e.group for e in examples])
    return find_label_errors([e.utterance_id for e in examples], labels, predicted, count=count)


def push_cases(workspace: Workspace, cases: Sequence[Case], *, say: Say) -> int:
    """Push clips into the adjudication project, with the answers that people gave; each once.

    Returns:
        How many are new there.
    """
    queue = build_queue(workspace, "adjudicate")
    project = open_project(workspace, queue, "adjudicate")
    with pushing(workspace, say=say):
        recorded = mend_clips(project, say=say)
        with workspace.warehouse() as con:
            recordings = {stored.recording.recording_id: stored for stored in list_recordings(con)}
            clips = _prepare_cases(con, workspace, cases, recordings, say=say)
        guard = open_guard(workspace, recordings)
        ready = cut_clips(workspace, recordings, clips, guard)
        note_bad(workspace, guard.refused, stage="adjudicate")
        for error in guard.refused.values():
            say(f"adjudicate: its clips are not given out: {error}")
        result = queue.push([clip.entry for clip in ready], recorded=recorded)
        with workspace.warehouse() as con:
            record_pushes(
                con,
                [clip.pushed for clip in ready],
                project_id=project.project_id,
                run_id=workspace.run_id,
            )
        connect_receiver(project, say=say)
    new = counted(len(result.pushed), "clip is", "clips are")
    old = counted(len(result.already_there), "was", "were")
    say(f"adjudicate: {new} new in {queue.title!r}, {old} there: {queue.page()}")
    return len(result.pushed)


def _prepare_cases(
    con: DuckDBPyConnection,
    workspace: Workspace,
    cases: Sequence[Case],
    recordings: Mapping[str, StoredRecording],
    *,
    say: Say,
) -> list[Outgoing]:
    """The clips of cases as they leave, in their order, without those a release would refuse."""
    terms, settings = workspace.settings.release, workspace.settings.annotation
    today = datetime.now(UTC).date()
    places = {case.utterance_id: place for place, case in enumerate(cases)}
    answers = read_answers(con, workspace.histories)
    barred = find_barred(con, purpose=terms.purpose, policy=terms.consent, today=today)
    utterances = list_utterances(con)
    wanted = [u for u in utterances if u.utterance_id in places]
    heard = [u for u in wanted if u.recording_id not in barred]
    heard_ids = {u.utterance_id for u in heard}
    num_refused = len(wanted) - len(heard)
    if num_refused:
        held_back = counted(num_refused, "clip is", "clips are")
        say(
            f"adjudicate: {held_back} not given out, since a release refuses such clips for want "
            "of consent"
        )
    clips = []
    for clip in prepare(
        heard,
        recordings,
        {},
        private=list_private_spans(con) if workspace.settings.privacy.mask else None,
        unsent=[u for u in utterances if u.utterance_id not in heard_ids],
        context_ms=settings.context_ms,
    ):
        rivals = name_rivals(clip.utterance, answers.labels)
        if rivals:
            priority = places[clip.utterance_id] / len(places)
            entry = replace(clip.entry, rivals=rivals, priority=priority)
            clips.append(replace(clip, entry=entry))
    return clips


def name_rivals(utterance: Utterance, annotations: Sequence[Annotation]) -> tuple[Rival, ...]:
    """The answers to one utterance under pseudonyms.

    Who is "Listener A" differs from clip to clip, so that nobody is recognised.
    """
    mine = [a for a in annotations if a.utterance_id == utterance.utterance_id and not a.skipped]
    newest = {a.annotator: a for a in sorted(mine, key=lambda a: (a.updated_at, a.annotation_id))}
    shuffled = sorted(newest.values(), key=lambda a: digest(utterance.utterance_id, a.annotator))
    return tuple(
        Rival(
            pseudonym=f"Listener {_letters(place)}",
            labels=a.labels,
            ratings=a.ratings,
            text=a.text or "",
        )
        for place, a in enumerate(shuffled)
    )


def _letters(place: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    return (_letters(place // 26 - 1) if place >= 26 else "") + ascii_uppercase[place % 26]
