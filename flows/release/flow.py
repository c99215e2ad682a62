"""Release: resolve the votes into gold labels, assign splits, and cut an immutable dataset version."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from duckdb import DuckDBPyConnection
from prefect import flow
from prefect.events import emit_event

from annotation.settle import Answers, as_method, require_no_orphans, settle_all
from flows.labelling.answers import read_answers
from flows.quiet_exit import quiet_child
from flows.release.recipes import choose_recipe
from flows.retrain.lineage_events import emit_release
from flows.say import tell
from flows.services.prefect_api import prefect_answers
from flows.signing.sign import sign_version, try_signing
from flows.steps import call, in_flow_run, show_text, step
from flows.workspace import Say, Workspace, open_workspace
from voxdata.counted import counted
from voxdata.dataset import Example, Split, stored_form
from voxdata.draft import Draft, build_examples, corrected_texts, separate_by_phrase
from voxdata.errors import ConfigError, DropReason, NotFoundError, SplitLossError
from voxdata.losses import SplitCounts, count_by_split, describe_losses, find_losses
from voxdata.name_slips import find_meant_name
from voxdata.recipe import Recipe, encode_recipe
from voxdata.reliability import krippendorff_alpha
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
from warehouse.selection import select_utterances
from warehouse.utterances import list_utterances
from warehouse.versions import (
    CREATED_EVENT,
    DatasetVersion,
    create_version,
    list_versions,
    load_examples,
    split_assignments,
)
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


def draft_version(
    con: DuckDBPyConnection, workspace: Workspace, recipe: Recipe, *, name: str, today: date
) -> tuple[Draft, dict[str, object]]:
    """What a recipe makes of the votes there are; writes nothing.

    Args:
        name: The dataset whose newest version it is compared with.
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
    settled = settle_all(
        answers, schemes, method=as_method(recipe.consensus), min_votes=recipe.min_votes
    )
    labelled = {scheme: found.gold for scheme, found in settled.items()}
    if not any(labelled.values()):
        raise NotFoundError(
            f"nothing to release: no utterance has {counted(recipe.min_votes, 'vote')} yet; annotate in Label Studio, then `voxdata pull`"
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
    no_consent = Counter(
        barred[u.recording_id]
        for u in utterances
        if u.utterance_id in gold_ids and u.recording_id in barred
    )
    draft = replace(
        draft, left_out=left_out, barred=barred, num_labelled=num_labelled, no_consent=no_consent
    )
    for scheme in recipe.phrases:
        draft = separate_by_phrase(draft, scheme, recipe, split_assignments(con))
    if not draft.examples:
        raise NotFoundError(
            f"nothing to release: the recipe leaves out every labelled utterance: {draft.reasons}; widen it"
        )
    newest = _newest(con, name)
    if newest is not None:
        labels = {scheme.name: scheme.label_names for scheme in schemes}
        lost = find_losses(_held(con, newest), count_by_split(draft.examples), labels=labels)
        draft = replace(draft, before=newest.ref, lost=lost)
    stored = {
        **encode_recipe(recipe),
        "schemes": {s.name: s.version for s in schemes},
        "today": today.isoformat(),
        "agreement_alpha": {
            scheme: krippendorff_alpha(found.votes) for scheme, found in settled.items()
        },
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


@step("cut-version")
def cut_draft(
    workspace: Workspace, name: str, recipe: Recipe, accept_losses: bool = False
) -> ReleaseSummary:
    """Draft a version and write it with its outbox row in one transaction; who was left out goes to the ledger.

    Raises:
        SplitLossError: A split would lose all examples or all of a label, and nobody has accepted that.
    """
    with workspace.warehouse() as con:
        draft, stored = draft_version(
            con, workspace, recipe, name=name, today=datetime.now(UTC).date()
        )
        if draft.lost and not accept_losses:
            raise SplitLossError(
                f"nothing is released: {describe_losses(draft.lost, before=draft.before)}; look at `voxdata release {name} --dry-run`, "
                "undo what took it away (such as `voxdata voices split` after a merge), or go on with --accept-losses"
            )
        version, created = create_version(
            con, name, draft.examples, recipe=stored, run_id=workspace.run_id, places=draft.places
        )
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


def _record_left_out(
    con: DuckDBPyConnection, workspace: Workspace, draft: Draft, version: DatasetVersion
) -> None:
    uris = {stored.recording.recording_id: stored.uri for stored in list_recordings(con)}
    with transaction(con):
        for recording_id, why in sorted(draft.barred.items()):
            record_drop(
                con,
                stage="release",
                subject=uris.get(recording_id, recording_id),
                reason=DropReason.NO_CONSENT,
                detail=why,
                recording_id=recording_id,
                key=version.ref,
                run_id=workspace.run_id,
            )
        for voice in draft.conflicts:
            record_drop(
                con,
                stage="release",
                subject=f"voice {voice}",
                reason=DropReason.SPLIT_CONFLICT,
                key=version.ref,
                run_id=workspace.run_id,
                detail="it joins groups that earlier versions put into different splits",
            )


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
        emit_event(
            event=row.event,
            resource=_resource(row),
            payload={"root": str(workspace.root), **row.payload},
        )
        with workspace.warehouse() as con:
            mark_sent(con, row.event_id, run_id=workspace.run_id)
    return len(waiting)


def _resource(row: OutboxEvent) -> dict[str, str]:
    if row.event == CREATED_EVENT:
        name, version_id = row.payload["name"], str(row.payload["version_id"])
        return {"prefect.resource.id": f"voxdata.dataset.{name}", "voxdata.version": version_id}
    return {"prefect.resource.id": f"voxdata.{row.event_id}"}


def check_dataset_name(
    con: DuckDBPyConnection, name: str, *, project: str, new: bool = False
) -> str:
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
    summary = call(
        cut_draft, workspace, name, recipe or workspace.settings.release.recipe, accept_losses
    )
    version = summary.version
    counts = ", ".join(f"{split.value} {summary.splits.get(split, 0)}" for split in Split)
    what = "new version" if summary.created else "nothing changed since"
    say(
        f"release: {what} {version.ref} ({version.version_id[:12]}), {counted(version.num_examples, 'example')}: {counts}"
    )
    if begun:
        say(f"release: {begun}")
    if summary.left_out:
        say(
            "release: left out by "
            + ", ".join(f"{reason} {count}" for reason, count in sorted(summary.left_out.items()))
        )
    for warning in summary.warnings:
        say(f"release: warning: {warning}")
    for voice in summary.conflicts:
        say(
            f"release: left out voice {voice}: it now joins groups that earlier versions put into different splits"
        )
    # Also when it is there already: whoever made it may have died before this.
    try_signing(version.ref, lambda: sign_version(workspace, version), say=say)
    if summary.created:
        emit_release(workspace, version)
    show_text(
        "release",
        f"**{version.ref}** `{version.version_id}`: {counts}",
        description="Dataset version",
    )
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
        "labels": _balance(
            draft.examples, lambda e: [f"{scheme}={gold.label}" for scheme, gold in e.gold.items()]
        ),
        "left out": dict(draft.left_out),
        "conflicts": list(draft.conflicts),
        "lost": [
            {"split": loss.split.value, "lost": loss.what, "examples before": loss.num_before}
            for loss in draft.lost
        ],
        "warnings": list(draft.warnings),
    }


def _minutes(examples: Iterable[Example]) -> float:
    return sum(e.segment.duration_ms for e in examples) / 60_000


def _balance(
    examples: Sequence[Example], keys: Callable[[Example], Sequence[str]]
) -> dict[str, dict[str, object]]:
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
    quiet_child()
    workspace = open_workspace(Path(root))
    chosen = choose_recipe(workspace, path=Path(recipe) if recipe else None, where=where)
    try:
        summary = release_version(
            workspace, name, say=tell, recipe=chosen, accept_losses=accept_losses, new=new
        )
    except NotFoundError as error:
        if not scheduled:
            raise
        tell(f"release: {error}")
        return ""
    if in_flow_run():
        announce_versions(workspace)
    elif summary.created:
        tell(
            f"release: training starts when Prefect is up (`voxdata up`), or by `voxdata train SCHEME --version {summary.version.ref}`"
        )
    return summary.version.version_id
