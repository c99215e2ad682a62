"""Release: resolve the votes into gold labels, assign splits, and cut an immutable dataset version."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow
from prefect.events import emit_event

from flows.say import tell
from flows.steps import call, in_flow_run, show_text, step
from flows.votes import read_answers, require_no_orphans, settle_all
from flows.workspace import Say, Workspace, open_workspace
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import NotFoundError
from voxdata.label import Annotation, Gold
from voxdata.privacy import restore_text
from voxdata.reliability import krippendorff_alpha
from voxdata.split import assign_splits, find_conflicts, fix_groups, group_voices
from voxdata.utterance import Utterance
from voxdata.voice import Speaker
from warehouse.annotations import chain_head
from warehouse.duplicates import duplicate_groups
from warehouse.metadata import list_call_groups
from warehouse.outbox import list_outbox, mark_sent
from warehouse.privacy import list_hidden
from warehouse.recordings import list_recordings
from warehouse.utterances import list_utterances
from warehouse.versions import DatasetVersion, create_version, split_assignments
from warehouse.voices import current_voices, divided_voices

VERSION_CREATED = "voxdata.dataset.version.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSummary:
    """What a release did.

    Attributes:
        version: The version, new or the one that says the same.
        created: False when nothing had changed since.
        splits: Examples in each split.
        conflicts: Voices whose splits contradict each other now; their examples were left out.
    """

    version: DatasetVersion
    created: bool
    splits: Mapping[Split, int]
    conflicts: tuple[str, ...]


Hidden = Mapping[tuple[int, str], Sequence[tuple[datetime, Sequence[tuple[str, str]]]]]
"""(project id, utterance id) -> what each push of it masked, as (kind, characters), with its time, oldest first."""


def corrected_texts(annotations: Sequence[Annotation], hidden: Hidden | None = None) -> dict[str, str]:
    """Utterance id -> the transcript as last corrected by a person, with what was masked for that person put back.

    Args:
        hidden: What the annotators did not see.
    """
    ordered = sorted(annotations, key=lambda a: (a.updated_at, a.annotation_id))
    return {
        a.utterance_id: restore_text(a.text, _hidden_from(a, hidden or {}))
        for a in ordered
        if a.text is not None and not a.deleted and not a.skipped
    }


def _hidden_from(annotation: Annotation, hidden: Hidden) -> Sequence[tuple[str, str]]:
    """What was masked when an annotation was made: by the last push before it, since clocks may differ at least the first."""
    pushes = hidden.get((annotation.project_id, annotation.utterance_id), ())
    return next((parts for at, parts in reversed(pushes) if at <= annotation.updated_at), pushes[0][1] if pushes else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a version would hold.

    Attributes:
        examples: Of utterances with a gold label.
        places: Speaker ("recording/speaker") -> its split, so that it stays there whatever voice it is given later.
        conflicts: Voices left out because earlier splits contradict each other.
    """

    examples: list[Example]
    places: Mapping[str, Split]
    conflicts: tuple[str, ...]


def build_examples(
    utterances: Sequence[Utterance],
    gold: Mapping[str, Mapping[str, Gold]],
    *,
    texts: Mapping[str, str],
    audio_files: Mapping[str, str],
    fixed: Mapping[str, Split],
    ratios: Mapping[Split, float],
    seed: int,
    voices: Mapping[Speaker, str] | None = None,
    kin: Mapping[str, Sequence[str]] | None = None,
) -> Draft:
    """Join utterances with gold labels and splits.

    Args:
        utterances: All there are; those without any gold label are left out.
        gold: Scheme -> utterance id -> gold label.
        texts: Corrected transcripts by utterance id.
        audio_files: Recording id -> canonical file.
        fixed: Voice or speaker -> the split it was given before.
        ratios: Wanted shares.
        seed: Decides among equals.
        voices: Speaker -> the voice recognised across recordings; without one a speaker is a voice by itself.
        kin: Recording id -> what it shares with other recordings, such as a call; these stay in one split too.
    """
    labelled = [u for u in utterances if any(u.utterance_id in found for found in gold.values())]
    speaker_of = {u.utterance_id: f"{u.recording_id}/{u.speaker}" for u in labelled}
    voice_of = {u.utterance_id: (voices or {}).get((u.recording_id, u.channel, u.speaker), speaker_of[u.utterance_id]) for u in labelled}
    groups = group_voices(_shared(labelled, speaker_of, voice_of, kin or {}))
    conflicts = find_conflicts(groups, fixed)
    counts: dict[str, Counter[str]] = {}
    for u in labelled:
        tally = counts.setdefault(groups[voice_of[u.utterance_id]], Counter())
        tally["examples"] += 1
        tally.update(f"{scheme}={found[u.utterance_id].label}" for scheme, found in gold.items() if u.utterance_id in found)
    splits = assign_splits(counts, fixed=fix_groups(groups, fixed), ratios=ratios, seed=seed)
    kept = [u for u in labelled if groups[voice_of[u.utterance_id]] not in conflicts]
    examples = [
        Example(
            utterance_id=u.utterance_id,
            recording_id=u.recording_id,
            channel=u.channel,
            segment=u.segment,
            voice=voice_of[u.utterance_id],
            group=groups[voice_of[u.utterance_id]],
            audio_file=audio_files[u.recording_id],
            text=texts.get(u.utterance_id, u.text),
            language=u.language,
            gold={
                scheme: GoldLabel(
                    label=g.label, distribution=g.distribution, num_votes=g.num_votes, posterior=g.posterior, standing=g.standing
                )
                for scheme, found in gold.items()
                if (g := found.get(u.utterance_id)) is not None
            },
            split=splits[groups[voice_of[u.utterance_id]]],
        )
        for u in kept
    ]
    left_out = {voice_of[u.utterance_id] for u in labelled if groups[voice_of[u.utterance_id]] in conflicts}
    places = {speaker_of[u.utterance_id]: splits[groups[voice_of[u.utterance_id]]] for u in kept}
    return Draft(examples=examples, places=places, conflicts=tuple(sorted(left_out)))


def _shared(
    labelled: Sequence[Utterance], speaker_of: Mapping[str, str], voice_of: Mapping[str, str], kin: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """(what may not be divided, voice or speaker), as `group_voices` takes it."""
    for u in labelled:
        speaker = speaker_of[u.utterance_id]
        yield f"speaker {speaker}", voice_of[u.utterance_id]
        yield f"speaker {speaker}", speaker
        yield f"recording {u.recording_id}", speaker
        for tie in kin.get(u.recording_id, ()):
            yield tie, speaker


@step("cut-version")
def cut_version(workspace: Workspace, name: str) -> ReleaseSummary:
    """Read votes, build examples and write the version with its outbox row in one transaction."""
    settings = workspace.settings.release
    with workspace.warehouse() as con:
        answers = read_answers(con, workspace.histories)
        require_no_orphans(answers)
        settled = settle_all(answers, workspace.schemes, method=settings.consensus, min_votes=settings.min_votes)
        draft = build_examples(
            list_utterances(con),
            {scheme: found.gold for scheme, found in settled.items()},
            texts=corrected_texts((*answers.labels, *answers.decisions), list_hidden(con)),
            audio_files={s.recording.recording_id: s.audio_file for s in list_recordings(con)},
            fixed=_fixed(con),
            ratios=settings.ratios,
            seed=settings.seed,
            voices=current_voices(con),
            kin=_kin(con),
        )
        if not draft.examples:
            raise NotFoundError(
                f"nothing to release: no utterance has {settings.min_votes} vote(s) yet; annotate in Label Studio, then `voxdata pull`"
            )
        recipe = {
            "consensus": settings.consensus,
            "min_votes": settings.min_votes,
            "ratios": {split.value: share for split, share in settings.ratios.items()},
            "seed": settings.seed,
            "schemes": workspace.scheme_versions,
            "agreement_alpha": {scheme: krippendorff_alpha(found.votes) for scheme, found in settled.items()},
            "ledger_head": chain_head(con),
        }
        version, created = create_version(con, name, draft.examples, recipe=recipe, run_id=workspace.run_id, places=draft.places)
    return ReleaseSummary(version=version, created=created, splits=Counter(e.split for e in draft.examples), conflicts=draft.conflicts)


def _fixed(con: DuckDBPyConnection) -> dict[str, Split]:
    """Voice or speaker -> the split it stays in. Of a voice that was divided only its speakers are known to have been there."""
    divided = divided_voices(con)
    return {name: split for name, split in split_assignments(con).items() if name not in divided}


def _kin(con: DuckDBPyConnection) -> dict[str, list[str]]:
    """Recording id -> the call it is part of, and the recordings it shares its sound with."""
    kin: defaultdict[str, list[str]] = defaultdict(list)
    for what, groups in (("call", list_call_groups(con)), ("duplicates", duplicate_groups(con))):
        for recording_id, group in groups.items():
            kin[recording_id].append(f"{what} {group}")
    return dict(kin)


def announce_versions(workspace: Workspace) -> int:
    """Emit an event for every version in the outbox that was not announced yet.

    Returns:
        Events emitted. The caller must be connected to the workspace's Prefect server.
    """
    with workspace.warehouse() as con:
        waiting = [row for row in list_outbox(con) if row.sent_at is None]
    for row in waiting:
        emit_event(
            event=VERSION_CREATED,
            resource={
                "prefect.resource.id": f"voxdata.dataset.{row.payload['name']}",
                "voxdata.version": str(row.payload["version_id"]),
            },
            payload={"root": str(workspace.root), **row.payload},
        )
        with workspace.warehouse() as con:
            mark_sent(con, row.event_id, run_id=workspace.run_id)
    return len(waiting)


def release_version(workspace: Workspace, name: str, *, say: Say) -> ReleaseSummary:
    """Cut a version of the dataset `name` from the votes there are."""
    summary = call(cut_version, workspace, name)
    version = summary.version
    counts = ", ".join(f"{split.value} {summary.splits.get(split, 0)}" for split in Split)
    what = "new version" if summary.created else "nothing changed since"
    say(f"release: {what} {version.ref} ({version.version_id[:12]}), {version.num_examples} examples: {counts}")
    for voice in summary.conflicts:
        say(f"release: left out voice {voice}: it now joins groups that earlier versions put into different splits")
    show_text("release", f"**{version.ref}** `{version.version_id}`: {counts}", description="Dataset version")
    return summary


@flow(name="release", flow_run_name="release-{name}", validate_parameters=False, log_prints=True)
def release(root: str, name: str) -> str:
    """Cut a version in the workspace at `root` and announce it; the training deployment listens."""
    workspace = open_workspace(Path(root))
    summary = release_version(workspace, name, say=tell)
    if in_flow_run():
        announce_versions(workspace)
    elif summary.created:
        tell(f"release: training starts when Prefect is up (`voxdata up`), or by `voxdata train SCHEME --version {summary.version.ref}`")
    return summary.version.version_id
