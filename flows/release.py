"""Release: resolve the votes into gold labels, assign splits, and cut an immutable dataset version."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow
from prefect.events import emit_event

from flows.lineage_events import emit_release
from flows.prefect_api import prefect_answers
from flows.quiet_exit import quiet_child
from flows.recipes import choose_recipe
from flows.say import tell
from flows.signing import sign_version, try_signing
from flows.steps import call, in_flow_run, show_text, step
from flows.votes import Answers, as_method, read_answers, require_no_orphans, settle_all
from flows.workspace import Say, Workspace, open_workspace
from voxdata.dataset import Example, GoldLabel, Split, stored_form
from voxdata.errors import ConfigError, DropReason, NotFoundError, SplitLossError
from voxdata.label import Annotation, Gold
from voxdata.losses import SplitCounts, SplitLoss, count_by_split, describe_losses, find_losses
from voxdata.name_slips import find_meant_name
from voxdata.phrases import separate_phrases
from voxdata.privacy import restore_text
from voxdata.recipe import Recipe, encode_recipe
from voxdata.reliability import krippendorff_alpha
from voxdata.split import assign_splits, find_conflicts, fix_groups, group_voices
from voxdata.utterance import Utterance
from voxdata.voice import Speaker
from warehouse.annotations import list_simulated
from warehouse.chain import chain_head
from warehouse.connection import transaction
from warehouse.consent import find_barred
from warehouse.diffs import count_splits
from warehouse.duplicates import duplicate_groups
from warehouse.ledger import record_drop
from warehouse.metadata import list_call_groups
from warehouse.outbox import OutboxEvent, list_outbox, mark_sent
from warehouse.privacy import list_hidden
from warehouse.recordings import list_recordings
from warehouse.selection import CONSENT, select_utterances
from warehouse.utterances import list_utterances
from warehouse.versions import CREATED_EVENT, DatasetVersion, create_version, list_versions, load_examples, split_assignments
from warehouse.voices import current_voices, divided_voices


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSummary:
    """What a release did.

    Attributes:
        version: The version, new or the one that says the same.
        created: False when nothing had changed since.
        splits: Examples in each split.
        conflicts: Voices whose splits contradict each other now; their examples were left out.
        left_out: Why labelled utterances or labels are not in it -> how many.
        warnings: What somebody should look at before the version is used, in whole sentences.
    """

    version: DatasetVersion
    created: bool
    splits: Mapping[Split, int]
    conflicts: tuple[str, ...]
    left_out: Mapping[str, int]
    warnings: tuple[str, ...] = ()


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
        places: Speaker ("recording/speaker") or phrase -> its split, so that it stays there whatever voice it is given later.
        conflicts: Voices left out because earlier splits contradict each other.
        left_out: Why labelled utterances or labels are not in it -> how many.
        barred: Recording id -> why its consent does not cover the purpose.
        num_labelled: Utterances with a gold label, in it or not.
        no_consent: Why consent keeps labelled utterances out -> how many.
        before: The newest version of that name, such as "calls@3"; "" when there is none.
        lost: What its splits held and would no longer hold.
    """

    examples: list[Example]
    places: Mapping[str, Split]
    conflicts: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    barred: Mapping[str, str] = field(default_factory=dict)
    num_labelled: int = 0
    no_consent: Mapping[str, int] = field(default_factory=dict)
    before: str = ""
    lost: tuple[SplitLoss, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should look at: that most of what was labelled stays out, and why; that a split loses what it held."""
        found = [describe_losses(self.lost, before=self.before)] if self.lost else []
        missing = self.num_labelled - len(self.examples)
        if 2 * missing > self.num_labelled:
            found.append(f"{missing} of {self.num_labelled} labelled clips are left out: {self.reasons}")
        return tuple(found)

    @property
    def reasons(self) -> str:
        """Why labelled utterances are not in it, in words; of consent also what it says."""
        whys = [f"{why} {count}" for why, count in sorted(self.no_consent.items(), key=lambda pair: (-pair[1], pair[0]))]
        parts = []
        for reason, count in sorted(self.left_out.items(), key=lambda pair: (-pair[1], pair[0])):
            parts.append(f"{count} by {reason}" + (f" ({', '.join(whys)})" if reason == CONSENT else ""))
        return ", ".join(parts)


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
        tally[f"language={u.language}"] += 1
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


def draft_version(
    con: DuckDBPyConnection, workspace: Workspace, recipe: Recipe, *, name: str, today: date
) -> tuple[Draft, dict[str, object]]:
    """What a recipe makes of the votes there are; writes nothing.

    Args:
        name: Of the dataset whose newest version it is held against.
        today: Consent may have ended.

    Returns:
        The draft, and what is stored beside the version: the recipe, and what it found.

    Raises:
        NotFoundError: Nothing is labelled, or the recipe takes nothing of it.
        AnnotationError: Votes would silently be lost.
    """
    answers = read_answers(con, workspace.histories)
    require_no_orphans(answers)
    schemes = [s for s in workspace.schemes if s.name in recipe.schemes or not recipe.schemes]
    settled = settle_all(answers, schemes, method=as_method(recipe.consensus), min_votes=recipe.min_votes)
    labelled = {scheme: found.gold for scheme, found in settled.items()}
    if not any(labelled.values()):
        raise NotFoundError(
            f"nothing to release: no utterance has {recipe.min_votes} vote(s) yet; annotate in Label Studio, then `voxdata pull`"
        )
    barred = find_barred(con, purpose=recipe.purpose, policy=recipe.consent, today=today)
    seconds = workspace.settings.warehouse.query_seconds
    taken, left_out = select_utterances(con, recipe, labelled, barred=barred, seconds=seconds)
    utterances = list_utterances(con)
    num_labelled = len(taken) + sum(left_out.values())
    draft = build_examples(
        [u for u in utterances if u.utterance_id in taken],
        labelled,
        texts=corrected_texts((*answers.labels, *answers.decisions), list_hidden(con)),
        audio_files={s.recording.recording_id: s.audio_file for s in list_recordings(con)},
        fixed=_fixed(con),
        ratios=recipe.ratios,
        seed=recipe.seed,
        voices=current_voices(con),
        kin=_kin(con),
    )
    if len(draft.examples) < len(taken):
        left_out["split"] = len(taken) - len(draft.examples)
    gold_ids = {key for found in labelled.values() for key in found}
    no_consent = Counter(barred[u.recording_id] for u in utterances if u.utterance_id in gold_ids and u.recording_id in barred)
    draft = replace(draft, left_out=left_out, barred=barred, num_labelled=num_labelled, no_consent=no_consent)
    for scheme in recipe.phrases:
        draft = _separate(draft, scheme, recipe, split_assignments(con))
    if not draft.examples:
        raise NotFoundError(f"nothing to release: the recipe leaves out every labelled utterance: {draft.reasons}; widen it")
    newest = _newest(con, name)
    if newest is not None:
        labels = {scheme.name: scheme.label_names for scheme in schemes}
        lost = find_losses(_held(con, newest), count_by_split(draft.examples), labels=labels)
        draft = replace(draft, before=newest.ref, lost=lost)
    stored = {
        **encode_recipe(recipe),
        "schemes": {s.name: s.version for s in schemes},
        "today": today.isoformat(),
        "agreement_alpha": {scheme: krippendorff_alpha(found.votes) for scheme, found in settled.items()},
        "ledger_head": chain_head(con),
        "left_out": dict(sorted(draft.left_out.items())),
        **({"simulated_annotators": simulated} if (simulated := _simulated(con, answers)) else {}),
    }
    return draft, stored


def _held(con: DuckDBPyConnection, version: DatasetVersion) -> SplitCounts:
    """What the splits of a version hold; what was erased for somebody is not lost by the next one."""
    if version.num_erased:
        return count_by_split(load_examples(con, version.version_id))
    return count_splits(con, version.version_id)


def _newest(con: DuckDBPyConnection, name: str) -> DatasetVersion | None:
    return next((version for version in reversed(list_versions(con)) if version.name == name), None)


def _simulated(con: DuckDBPyConnection, answers: Answers) -> dict[str, float]:
    """Login -> error rate of the scripts behind the votes, so that every export says that they were no people."""
    voters = {a.annotator for a in (*answers.labels, *answers.decisions)}
    return {login: rate for login, rate in list_simulated(con).items() if login in voters}


def _separate(draft: Draft, scheme: str, recipe: Recipe, fixed: Mapping[str, Split]) -> Draft:
    found = separate_phrases(draft.examples, scheme=scheme, fixed=fixed, ratios=recipe.ratios, seed=recipe.seed)
    left_out = {**draft.left_out, **({f"{scheme} phrase in another split": found.num_taken} if found.num_taken else {})}
    return replace(draft, examples=list(found.examples), places={**draft.places, **found.places}, left_out=left_out)


@step("cut-version")
def cut_draft(workspace: Workspace, name: str, recipe: Recipe, accept_losses: bool = False) -> ReleaseSummary:
    """Draft a version and write it with its outbox row in one transaction; who was left out goes to the ledger.

    Raises:
        SplitLossError: A split would lose all examples or all of a label, and nobody has accepted that.
    """
    with workspace.warehouse() as con:
        draft, stored = draft_version(con, workspace, recipe, name=name, today=datetime.now(UTC).date())
        if draft.lost and not accept_losses:
            raise SplitLossError(
                f"nothing is released: {describe_losses(draft.lost, before=draft.before)}; look at `voxdata release {name} --dry-run`, "
                "undo what took it away (such as `voxdata voices split` after a merge), or go on with --accept-losses"
            )
        version, created = create_version(con, name, draft.examples, recipe=stored, run_id=workspace.run_id, places=draft.places)
        if created:
            _record_left_out(con, workspace, draft, version)
    return ReleaseSummary(
        version=version,
        created=created,
        splits=Counter(e.split for e in draft.examples),
        conflicts=draft.conflicts,
        left_out=draft.left_out,
        warnings=draft.warnings,
    )


def _record_left_out(con: DuckDBPyConnection, workspace: Workspace, draft: Draft, version: DatasetVersion) -> None:
    uris = {stored.recording.recording_id: stored.uri for stored in list_recordings(con)}
    with transaction(con):
        for recording_id, why in sorted(draft.barred.items()):
            record_drop(
                con, stage="release", subject=uris.get(recording_id, recording_id), reason=DropReason.NO_CONSENT, detail=why,
                recording_id=recording_id, key=version.ref, run_id=workspace.run_id,
            )  # fmt: skip
        for voice in draft.conflicts:
            record_drop(
                con, stage="release", subject=f"voice {voice}", reason=DropReason.SPLIT_CONFLICT, key=version.ref, run_id=workspace.run_id,
                detail="it joins groups that earlier versions put into different splits",
            )  # fmt: skip


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
    """Emit every event of the outbox that was not announced yet.

    Returns:
        Events emitted: none while Prefect does not answer, so that they wait for it. The caller
        must be connected to the workspace's Prefect server.
    """
    if not prefect_answers(os.environ):
        return 0
    with workspace.warehouse() as con:
        waiting = [row for row in list_outbox(con) if row.sent_at is None]
    for row in waiting:
        emit_event(event=row.event, resource=_resource(row), payload={"root": str(workspace.root), **row.payload})
        with workspace.warehouse() as con:
            mark_sent(con, row.event_id, run_id=workspace.run_id)
    return len(waiting)


def _resource(row: OutboxEvent) -> dict[str, str]:
    if row.event == CREATED_EVENT:
        name, version_id = row.payload["name"], str(row.payload["version_id"])
        return {"prefect.resource.id": f"voxdata.dataset.{name}", "voxdata.version": version_id}
    return {"prefect.resource.id": f"voxdata.{row.event_id}"}


def check_dataset_name(con: DuckDBPyConnection, name: str, *, project: str, new: bool = False) -> str:
    """Make sure that a release begins a dataset only when somebody wants one.

    Args:
        project: The project's own name, which schedules release; it is never taken for a slip.
        new: The name is meant as it is written.

    Returns:
        What to say about it; "" when there is such a dataset, or none at all yet.

    Raises:
        ConfigError: There is no such dataset, and one with nearly the same name.
    """
    known = {version.name for version in list_versions(con)}
    if name in known or not known:
        return ""
    meant = find_meant_name(name, known)
    if meant is not None and not new and name != project:
        raise ConfigError(
            f"there is no dataset {name!r}, and {meant!r} has nearly the same name: write {meant}, or add --new to begin a dataset"
        )
    return f"{name!r} is a new dataset; there are {', '.join(sorted(known))}"


def release_version(
    workspace: Workspace,
    name: str,
    *,
    say: Say,
    recipe: Recipe | None = None,
    accept_losses: bool = False,
    new: bool = False,
) -> ReleaseSummary:
    """Cut a version of the dataset `name` from the votes there are, by a recipe or that of voxdata.toml.

    Args:
        accept_losses: Go on when a split loses all examples, or all of a label, that it has in the version before.
        new: Begin a dataset though there is one with nearly the same name.

    Raises:
        ConfigError: There is no such dataset, and one with nearly the same name.
        SplitLossError: A split loses something, and that was not accepted.
    """
    with workspace.warehouse() as con:
        begun = check_dataset_name(con, name, project=workspace.settings.project.name, new=new)
    summary = call(cut_draft, workspace, name, recipe or workspace.settings.release.recipe, accept_losses)
    version = summary.version
    counts = ", ".join(f"{split.value} {summary.splits.get(split, 0)}" for split in Split)
    what = "new version" if summary.created else "nothing changed since"
    say(f"release: {what} {version.ref} ({version.version_id[:12]}), {version.num_examples} examples: {counts}")
    if begun:
        say(f"release: {begun}")
    if summary.left_out:
        say("release: left out by " + ", ".join(f"{reason} {count}" for reason, count in sorted(summary.left_out.items())))
    for warning in summary.warnings:
        say(f"release: warning: {warning}")
    for voice in summary.conflicts:
        say(f"release: left out voice {voice}: it now joins groups that earlier versions put into different splits")
    # Also when it is there already: whoever made it may have died before this.
    try_signing(version.ref, lambda: sign_version(workspace, version), say=say)
    if summary.created:
        emit_release(workspace, version)
    show_text("release", f"**{version.ref}** `{version.version_id}`: {counts}", description="Dataset version")
    return summary


def preview_version(workspace: Workspace, name: str, recipe: Recipe) -> dict[str, object]:
    """What `release_version` would do: examples, minutes and class balance; nothing is written.

    Returns:
        JSON values: whether it would be new, counts in all, by split, by language and by label, and why labelled utterances stay out.
    """
    with workspace.warehouse(read_only=True) as con:
        draft, _ = draft_version(con, workspace, recipe, name=name, today=datetime.now(UTC).date())
        newest = _newest(con, name)
        same = newest is not None and load_examples(con, newest.version_id) == sorted(
            (stored_form(example) for example in draft.examples), key=lambda e: e.utterance_id
        )
    return {
        "name": name,
        "new": not same,
        "newest": newest.ref if newest else None,
        "examples": len(draft.examples),
        "minutes": _minutes(draft.examples),
        "voices": len({e.voice for e in draft.examples}),
        "splits": _balance(draft.examples, lambda e: [e.split.value]),
        "languages": _balance(draft.examples, lambda e: [e.language]),
        "labels": _balance(draft.examples, lambda e: [f"{scheme}={gold.label}" for scheme, gold in e.gold.items()]),
        "left out": dict(draft.left_out),
        "conflicts": list(draft.conflicts),
        "lost": [{"split": loss.split.value, "lost": loss.what, "examples before": loss.num_before} for loss in draft.lost],
        "warnings": list(draft.warnings),
    }


def _minutes(examples: Iterable[Example]) -> float:
    return sum(e.segment.duration_ms for e in examples) / 60_000


def _balance(examples: Sequence[Example], keys: Callable[[Example], Sequence[str]]) -> dict[str, dict[str, object]]:
    """Key -> examples and minutes in all and examples in each split, sorted by key."""
    found: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        for key in keys(example):
            found[key].append(example)
    return {
        key: {
            "examples": len(those),
            "minutes": _minutes(those),
            **{split.value: sum(e.split is split for e in those) for split in Split},
        }
        for key, those in sorted(found.items())
    }


@flow(
    name="release",
    flow_run_name="release-{name}",
    validate_parameters=False,
    log_prints=True,
    on_running=[quiet_child],
)
def release(
    root: str,
    name: str,
    recipe: str = "",
    where: str = "",
    accept_losses: bool = False,
    new: bool = False,
    scheduled: bool = False,
) -> str:
    """Cut a version in the workspace at `root` and announce it; the training deployment listens.

    Args:
        accept_losses: Go on though a split loses what it held in the version before.
        new: Begin a dataset though there is one with nearly the same name.
        scheduled: Nothing to release is what a schedule often finds, so it is no failure.

    Returns:
        The version's id; "" when there was nothing to release.
    """
    workspace = open_workspace(Path(root))
    chosen = choose_recipe(workspace, path=Path(recipe) if recipe else None, where=where)
    try:
        summary = release_version(workspace, name, say=tell, recipe=chosen, accept_losses=accept_losses, new=new)
    except NotFoundError as error:
        if not scheduled:
            raise
        tell(f"release: {error}")
        return ""
    if in_flow_run():
        announce_versions(workspace)
    elif summary.created:
        tell(f"release: training starts when Prefect is up (`voxdata up`), or by `voxdata train SCHEME --version {summary.version.ref}`")
    return summary.version.version_id
