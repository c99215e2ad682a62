"""Release: resolve the votes into gold labels, assign splits, and cut an immutable version."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection
from prefect import flow
from prefect.events import emit_event

from flows.locks import copying
from flows.quiet_exit import quiet_child
from flows.release.draft import draft_version, newest_version
from flows.release.recipes import choose_recipe
from flows.retrain.lineage_events import emit_release
from flows.say import tell
from flows.services.prefect_api import prefect_answers
from flows.signing.sign import sign_version, try_signing
from flows.steps import call, in_flow_run, show_text, step
from flows.workspace import Say, Workspace, open_workspace
from voxdata.counted import counted
from voxdata.dataset import Split
from voxdata.draft import LABEL, Draft
from voxdata.errors import ConfigError, DropReason, NotFoundError, SplitLossError
from voxdata.losses import describe_losses
from voxdata.name_slips import find_meant_name
from voxdata.progress import Progress
from voxdata.recipe import Recipe
from warehouse.ledger import Drop, record_drops
from warehouse.outbox import OutboxEvent, list_outbox, mark_sent
from warehouse.recordings import first_uris
from warehouse.rows import read_rows
from warehouse.versions import (
    CREATED_EVENT,
    DatasetVersion,
    create_from_frames,
    holds_just,
    list_versions,
)

DRAFTS_FROM_COPIES = 3
"""So often is a version drafted beside others; what changes each time meanwhile has to wait."""


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


@step("cut-version")
def cut_draft(
    workspace: Workspace, name: str, recipe: Recipe, accept_losses: bool = False
) -> ReleaseSummary:
    """Draft a version and write it with its outbox row in one transaction; who was left out goes to
    the ledger.

    It is drafted from a copy of the warehouse, so that others write meanwhile.

    Raises:
        SplitLossError: A split would lose all examples or all of a label, and nobody has accepted
            that.
    """
    for _ in range(DRAFTS_FROM_COPIES):
        # Whoever forgets somebody waits until the copy is gone.
        with copying(workspace, say=tell), workspace.copied_warehouse() as copy:
            tell(Progress(f"release: drafting {name} from the votes", done=0, total=2))
            draft = _draft(copy, workspace, recipe, name=name, accept_losses=accept_losses)
            drafted_at = _read_moment(copy)
        with workspace.warehouse() as con:
            if _read_moment(con) == drafted_at:
                return _cut(con, workspace, name, *draft)
    with workspace.warehouse() as con:
        draft = _draft(con, workspace, recipe, name=name, accept_losses=accept_losses)
        return _cut(con, workspace, name, *draft)


def _read_moment(con: DuckDBPyConnection) -> dict[str, object]:
    """What must not have changed since a version was drafted: versions, splits, and who may not be
    in any, as was forgotten or as a manifest says.

    What people say meanwhile waits for the next version.
    """
    (row,) = read_rows(
        con,
        """select (select max(seq) from dataset_version) as version,
          (select max(seq) from split_assignment) as place,
          (select max(seq) from forgotten) as ban,
          (select max(seq) from recording_metadata) as consent""",
    )
    return row


def _draft(
    con: DuckDBPyConnection, workspace: Workspace, recipe: Recipe, *, name: str, accept_losses: bool
) -> tuple[Draft, dict[str, object]]:
    today = datetime.now(UTC).date()
    draft, stored = draft_version(con, workspace, recipe, name=name, today=today)
    if draft.lost and not accept_losses:
        losses = describe_losses(draft.lost, before=draft.before)
        raise SplitLossError(
            f"nothing is released: {losses}; look at `voxdata release {name} --dry-run`, undo what "
            "took it away (such as `voxdata voices split` after a merge), or go on with "
            "--accept-losses"
        )
    return draft, stored


def _cut(
    con: DuckDBPyConnection,
    workspace: Workspace,
    name: str,
    draft: Draft,
    stored: Mapping[str, object],
) -> ReleaseSummary:
    tell(Progress(f"release: writing a version of {name}", done=1, total=2))
    version, created = create_from_frames(
        con, name, draft.stored(), recipe=stored, run_id=workspace.run_id, places=draft.places
    )
    if created:
        _record_left_out(con, workspace, draft, version)
    counts = draft.count()
    splits = {split: counts[split, "", ""] for split in Split if (split, "", "") in counts}
    return ReleaseSummary(
        version=version,
        created=created,
        splits=splits,
        conflicts=draft.conflicts,
        left_out=draft.left_out,
        warnings=draft.warnings,
    )


def _record_left_out(
    con: DuckDBPyConnection, workspace: Workspace, draft: Draft, version: DatasetVersion
) -> None:
    uris = first_uris(con, draft.barred)
    barred = [
        Drop(
            subject=uris.get(recording_id, recording_id),
            reason=DropReason.NO_CONSENT,
            detail=why,
            recording_id=recording_id,
        )
        for recording_id, why in sorted(draft.barred.items())
    ]
    torn = [
        Drop(
            subject=f"voice {voice}",
            reason=DropReason.SPLIT_CONFLICT,
            detail="it joins groups that earlier versions put into different splits",
        )
        for voice in draft.conflicts
    ]
    drops = [*barred, *torn]
    record_drops(con, drops, stage="release", key=version.ref, run_id=workspace.run_id)


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
            f"there is no dataset {name!r}, and {meant!r} has nearly the same name: write {meant}, "
            "or add --new to begin a dataset"
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
    """Cut a version of the dataset `name` from the votes there are.

    It is made by a recipe, or by that of voxdata.toml.

    Args:
        accept_losses: Go on when a split loses all examples, or all of a label, that it has in the
            version before.
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
        f"release: {what} {version.ref} ({version.version_id[:12]}), "
        f"{counted(version.num_examples, 'example')}: {counts}"
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
            f"release: left out voice {voice}: it now joins groups that earlier versions put into "
            "different splits"
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
        JSON values: whether it would be new, counts in all, by split, by language and by label, and
        why labelled utterances stay out.
    """
    with workspace.warehouse(read_only=True) as con:
        draft, _ = draft_version(con, workspace, recipe, name=name, today=datetime.now(UTC).date())
        newest = newest_version(con, name)
        is_same = newest is not None and holds_just(con, newest.version_id, draft.stored())
    rows = draft.rows
    labels: dict[str, dict[str, object]] = {}
    for scheme in draft.schemes:
        label = pl.format("{}={}", pl.lit(scheme), LABEL + scheme)
        labels |= _balance(rows.drop_nulls(LABEL + scheme), label)
    return {
        "name": name,
        "new": not is_same,
        "newest": newest.ref if newest else None,
        "examples": len(rows),
        "minutes": _minutes(rows),
        "voices": rows["voice"].n_unique(),
        "splits": _balance(rows, pl.col("split")),
        "languages": _balance(rows, pl.col("language")),
        "labels": dict(sorted(labels.items())),
        "left out": dict(draft.left_out),
        "conflicts": list(draft.conflicts),
        "lost": [
            {"split": loss.split.value, "lost": loss.what, "examples before": loss.num_before}
            for loss in draft.lost
        ],
        "warnings": list(draft.warnings),
    }


def _minutes(rows: pl.DataFrame) -> float:
    total_ms: int = rows.select((pl.col("end_ms") - pl.col("start_ms")).sum()).item()
    return total_ms / 60_000


def _balance(rows: pl.DataFrame, key: pl.Expr) -> dict[str, dict[str, object]]:
    """Key -> examples and minutes in all and examples in each split, sorted by key."""
    balance: dict[str, dict[str, object]] = {}
    parts = rows.with_columns(balance_key=key).partition_by("balance_key", as_dict=True)
    for (name,), part in sorted(parts.items()):
        counts = dict(part.group_by("split").len().iter_rows())
        balance[str(name)] = {
            "examples": len(part),
            "minutes": _minutes(part),
            **{split.value: counts.get(split.value, 0) for split in Split},
        }
    return balance


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
            "release: training starts when Prefect is up (`voxdata up`), or by "
            f"`voxdata train SCHEME --version {summary.version.ref}`"
        )
    return summary.version.version_id
