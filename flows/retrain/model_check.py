"""From a model's folder to the version it was trained on, and to who was forgotten since."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.retrain.results import result_of
from flows.signing.keys import read_envelope, read_keys, signer_of
from flows.signing.sign import (
    MODEL_STATEMENT,
    STATEMENT_FILE,
    Standing,
    digest_file,
    standing_of,
    version_standing,
)
from flows.workspace import Workspace
from voxdata.errors import NotFoundError, StatementError
from voxdata.statement import Statement, open_statement
from warehouse.erase import Receipt
from warehouse.proofs import find_hearers, forgotten_since, has_heard
from warehouse.runs import TrainingRun, list_training_runs
from warehouse.verify import verify_version
from warehouse.versions import DatasetVersion, find_version

CARD = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """What verifying a model found.

    Attributes:
        folder: Its checkpoint.
        run: Id of the training run; "" when this workspace knows none that made it.
        statement: Who signed its files, or "unsigned".
        version: What it was trained on.
        root: Who signed the version's root, or "unsigned".
        heard: Receipt id -> rows of the version that were erased since the model heard them.
        retrained: A newer model of the scheme that heard none of these; "" when there is none, or
            none is needed.
        problems: What is wrong, a line each.
    """

    folder: Path
    run: str
    statement: str
    version: str
    root: str
    heard: dict[str, int]
    retrained: str
    problems: tuple[str, ...]


def find_checkpoint(path: Path) -> Path | None:
    """The checkpoint in a model's folder, or the folder itself when it is one.

    Returns:
        None when the path is something else.
    """
    for folder in (path, path / "checkpoint"):
        if (folder / CARD).is_file():
            return folder
    return None


def check_model(workspace: Workspace, con: DuckDBPyConnection, folder: Path) -> ModelCheck:
    """Verify a model's files, its version and the version's root, and look for erasures since.

    Args:
        folder: A checkpoint.

    Raises:
        StatementError: Its card cannot be read.
        NotFoundError: It was trained on a version that is not in this warehouse.
    """
    card = _read_card(folder)
    version = _find_version(con, folder, str(card.get("version_id", "")))
    standing, words, said = _check_statement(workspace, folder)
    problems = [words] if standing == "wrong" else []
    if said is not None:
        problems += _differences(folder, said, version)
    verified = verify_version(con, version)
    problems += [f"{version.ref}: {line}" for line in verified.problems]
    rooted, root_words = version_standing(workspace, version)
    problems += [f"{version.ref}: {root_words}"] if rooted == "wrong" else []
    run = _find_run(workspace, con, folder, said, card)
    receipts = [
        receipt
        for receipt in forgotten_since(con, version)
        if run is None or has_heard(run, receipt, {version.version_id})
    ]
    return ModelCheck(
        folder=folder,
        run="" if run is None else run.training_id,
        statement=words,
        version=version.ref,
        root=root_words,
        heard={receipt.receipt_id: receipt.versions.get(version.ref, 0) for receipt in receipts},
        retrained="" if run is None else _retrained(con, run, receipts),
        problems=tuple(problems),
    )


def _check_statement(workspace: Workspace, folder: Path) -> tuple[Standing, str, Statement | None]:
    path = folder / STATEMENT_FILE
    if not path.exists():
        return "unsigned", "unsigned", None
    try:
        envelope = read_envelope(path)
        said = open_statement(envelope)
        if said.predicate_type != MODEL_STATEMENT:
            raise StatementError(f"{path}: speaks of {said.predicate_type}, not of a model")
        standing, words = standing_of(envelope, signer_of(envelope, read_keys(workspace)))
    except StatementError as error:
        return "wrong", str(error), None
    return standing, words, said


def _differences(folder: Path, said: Statement, version: DatasetVersion) -> list[str]:
    """What is otherwise than a statement says.

    The result is looked at where it lies beside the checkpoint.
    """
    expected = {
        folder / name: value.get("sha256", "")
        for name, value in said.subject.items()
        if "/" not in name
    }
    result = folder.parent / "result.json"
    if result.is_file():
        expected[result] = str(said.predicate.get("result", {}).get("sha256", ""))
    found = [
        f"{path.name} is not the file that was signed"
        for path, value in expected.items()
        if not _is(path, value)
    ]
    if said.predicate.get("root") != version.root:
        found.append(f"its statement names another root than {version.ref} has")
    return found


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and digest_file(path) == sha256


def _read_card(folder: Path) -> dict[str, object]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StatementError(f"{folder / CARD}: cannot be read ({error})") from error
    if not isinstance(card, dict):
        raise StatementError(f"{folder / CARD}: no model card")
    return card


def _find_version(con: DuckDBPyConnection, folder: Path, version_id: str) -> DatasetVersion:
    try:
        return find_version(con, version_id)
    except NotFoundError as error:
        raise NotFoundError(
            f"{folder}: trained on version {version_id[:12] or '(none named)'}, "
            "which this warehouse does not have"
        ) from error


def _find_run(
    workspace: Workspace,
    con: DuckDBPyConnection,
    folder: Path,
    said: Statement | None,
    card: dict[str, object],
) -> TrainingRun | None:
    """The run that made a model.

    It is the one its statement names, the one that lies there, or the newest with this revision.
    """
    runs = [run for run in list_training_runs(con) if run.state == "done"]
    named = said.predicate.get("training_id") if said is not None else None
    for run in runs:
        checkpoint = workspace.root / run.checkpoint_dir
        if run.training_id == named or checkpoint.resolve() == folder.resolve():
            return run
    same_revision = [run for run in runs if _made(run, card.get("revision"))]
    return same_revision[-1] if same_revision else None


def _made(run: TrainingRun, revision: object) -> bool:
    """Whether a run has made the model of a revision."""
    result = result_of(run)
    if result is None or result.model is None:
        return False
    return result.model.revision == revision


def _retrained(con: DuckDBPyConnection, run: TrainingRun, receipts: list[Receipt]) -> str:
    """The newest model that heard nothing of any of some erasures."""
    clean: list[TrainingRun] = []
    for receipt in receipts:
        for hearer in find_hearers(con, receipt):
            if hearer.run.training_id != run.training_id:
                continue
            if hearer.retrained is None:
                return ""
            clean.append(hearer.retrained)
    if not clean:
        return ""
    return max(clean, key=lambda newer: newer.created_at).training_id
