"""Promote and demote by hand: a person puts a model to use, or takes a role back to its start."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from flows.workspace import Say, Workspace
from voxdata.errors import NotFoundError, TrainingError
from voxdata.role import TRANSCRIBE, label_role, scheme_of
from voxdata.scheme import find_scheme
from warehouse.promotions import Promotion, add_promotion, current_promotions
from warehouse.proofs import forgotten_since, has_heard
from warehouse.runs import TrainingRun, find_training_run
from warehouse.versions import find_version


def promote_run(workspace: Workspace, ref: str, *, reason: str, say: Say) -> Promotion:
    """Put the model of a training run to use for its role, whatever the judge said.

    Args:
        ref: The run's id, or the first characters of it.
        reason: On record.

    Returns:
        What is on record now; a model that is in use already is not promoted again.

    Raises:
        NotFoundError: None, or several, begin so.
        TrainingError: The run made no model, its checkpoint cannot be read, or no reason was given.
    """
    _require_reason(reason)
    with workspace.warehouse() as con:
        run = find_training_run(con, ref)
    _require_model(workspace, run)
    with workspace.warehouse() as con:
        _warn_of_erasures(con, run, say=say)
        current = current_promotions(con).get(run.role)
        if current is not None and current.training_id == run.training_id:
            say(f"promote: run {run.training_id[:12]} is in use for {run.role} already")
            return current
        promotion = Promotion(
            role=run.role,
            training_id=run.training_id,
            decided_by="person",
            reason=reason,
        )
        add_promotion(con, promotion, run_id=workspace.run_id)
    say(f"promote: {run.role} is served by {run.model_name} of run {run.training_id[:12]} now")
    return promotion


def demote_role(workspace: Workspace, ref: str, *, reason: str, say: Say) -> Promotion:
    """Take a role back to what served it before any model was trained.

    Args:
        ref: A role, such as "transcribe", or a scheme, whose labels are meant.
        reason: On record.

    Raises:
        SchemeError: There is no such scheme.
        NotFoundError: No trained model is in use for the role.
        TrainingError: No reason was given.
    """
    _require_reason(reason)
    role = find_role(workspace, ref)
    with workspace.warehouse() as con:
        current = current_promotions(con).get(role)
        if current is None or not current.training_id:
            raise NotFoundError(
                f"no trained model is in use for {role}; there is nothing to demote"
            )
        promotion = Promotion(role=role, training_id="", decided_by="person", reason=reason)
        add_promotion(con, promotion, run_id=workspace.run_id)
    say(f"demote: {role} is served by {_start_of(role)} again")
    return promotion


def find_role(workspace: Workspace, ref: str) -> str:
    """The role that a person means.

    Raises:
        SchemeError: Neither a role nor a scheme of this workspace is called so.
    """
    if ref == TRANSCRIBE:
        return ref
    return label_role(find_scheme(workspace.schemes, scheme_of(ref) or ref).name)


def _start_of(role: str) -> str:
    return "the transcriber of voxdata.toml" if role == TRANSCRIBE else "the cold start"


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise TrainingError("give a --reason: it stays on record beside the decision")


def _require_model(workspace: Workspace, run: TrainingRun) -> None:
    """Refuse a run whose model cannot serve.

    Raises:
        TrainingError: Says why.
    """
    if run.state != "done":
        raise TrainingError(
            f"training run {run.training_id[:12]} made no model ({run.state}: {run.reason})"
        )
    workspace.require_folders("models")
    folder = workspace.root / run.checkpoint_dir
    if run.role == TRANSCRIBE:
        from flows.models import build_transcriber

        build_transcriber(workspace, checkpoint=str(folder))
    else:
        from training.labeler import TrainedLabeler

        labeler = TrainedLabeler(folder)
        if labeler.model.key != run.model_key:
            raise TrainingError(
                f"{folder}: holds another model than run {run.training_id[:12]} made; restore it "
                "or train again"
            )
        scheme = find_scheme(workspace.schemes, run.scheme)
        unknown = sorted(set(labeler.labels) - set(scheme.label_names))
        if unknown:
            raise TrainingError(
                f"the model of run {run.training_id[:12]} answers {', '.join(unknown)}, which "
                f"scheme {scheme.name!r} does not have; train on a newer version"
            )


def _warn_of_erasures(con: DuckDBPyConnection, run: TrainingRun, *, say: Say) -> None:
    """Say so when a model heard somebody who was forgotten since."""
    try:
        version = find_version(con, run.version_id)
    except NotFoundError:
        say(f"promote: run {run.training_id[:12]} was trained on a version that is not here")
        return
    for receipt in forgotten_since(con, version):
        if has_heard(run, receipt, {version.version_id}):
            say(
                f"promote: run {run.training_id[:12]} heard who was forgotten since "
                f"(receipt {receipt.receipt_id[:12]}); train on a newer version"
            )
