"""What a workspace signs when it is made: the root of a version, and the files of a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from flows.signing.keys import Keys, make_keys, read_envelope, read_keys, signer_of, write_envelope
from flows.workspace import Say, Workspace
from voxdata.errors import StatementError, VoxdataError
from voxdata.root import ROOT_FORMAT
from voxdata.statement import Envelope, Statement, open_statement, sign_envelope, wrap_statement
from warehouse.runs import TrainingRun
from warehouse.versions import DatasetVersion

VERSION_STATEMENT, MODEL_STATEMENT = "urn:voxdata:dataset-version:1", "urn:voxdata:model:1"
ROOT_ALGORITHM = ROOT_FORMAT.decode().strip()
"""How a root is made from its leaves, as the name of a digest."""

MODEL_FILES = ("head.safetensors", "model.json")
STATEMENT_FILE = "statement.json"
Standing = Literal["signed", "unsigned", "wrong"]


def statements_folder(workspace: Workspace) -> Path:
    """Where the statements about versions and the receipts lie."""
    return workspace.state_dir / "statements"


def version_statement_path(workspace: Workspace, ref: str) -> Path:
    """Where the statement about a version lies."""
    return statements_folder(workspace) / f"{ref}.json"


def version_statement(version: DatasetVersion) -> Statement:
    """What is said about a version: which root it has, and how many leaves."""
    return Statement(
        subject={version.ref: {ROOT_ALGORITHM: version.root}},
        predicate_type=VERSION_STATEMENT,
        predicate={
            "version_id": version.version_id,
            "name": version.name,
            "number": version.number,
            "num_examples": version.num_examples,
            "created_at": version.created_at.isoformat(timespec="seconds"),
            "parent": version.parent,
        },
    )


def model_statement(folder: Path, run: TrainingRun, version: DatasetVersion) -> Statement:
    """What is said about a model: the digests of its files, the version that it was trained on, and
    how it was judged.

    Args:
        folder: Its checkpoint.
    """
    return Statement(
        subject={name: {"sha256": digest_file(folder / name)} for name in MODEL_FILES},
        predicate_type=MODEL_STATEMENT,
        predicate={
            "training_id": run.training_id,
            "scheme": run.scheme,
            "model_key": run.model_key,
            "version": version.ref,
            "version_id": version.version_id,
            "root": version.root,
            "promoted": run.promoted,
            "result": {"sha256": digest_file(folder.parent / "result.json")},
        },
    )


def digest_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sign_version(workspace: Workspace, version: DatasetVersion) -> Envelope:
    """Sign the root of a version, unless that was done.

    Returns:
        The statement; without a signature when the key is kept elsewhere.

    Raises:
        StatementError: Another root was signed under its name, which is not to be done twice.
    """
    path, statement, keys = (
        version_statement_path(workspace, version.ref),
        version_statement(version),
        make_keys(workspace),
    )
    if (
        path.exists()
        and open_statement(before := read_envelope(path)) != statement
        and signer_of(before, keys)
    ):
        raise StatementError(
            f"{path}: another root was signed as {version.ref}, so it was lost and made again; "
            "keep that file elsewhere"
        )
    return put_statement(path, statement, keys)


def sign_model(workspace: Workspace, run: TrainingRun, version: DatasetVersion) -> Envelope:
    """Sign the files of a model that was trained."""
    folder = workspace.root / run.checkpoint_dir
    return put_statement(
        folder / STATEMENT_FILE, model_statement(folder, run, version), make_keys(workspace)
    )


def put_statement(path: Path, statement: Statement, keys: Keys) -> Envelope:
    """Put a signed statement on disk; one that says the same is signed by nobody twice."""
    made = wrap_statement(statement)
    if path.exists():
        before = read_envelope(path)
        if before.payload == made.payload and (keys.private is None or signer_of(before, keys)):
            return before
    if keys.private is not None:
        made = sign_envelope(made, keys.private)
    write_envelope(path, made)
    return made


def try_signing(what: str, sign: Callable[[], object], *, say: Say) -> None:
    """Sign what is done already, so that a trouble with the signature is told and nothing else."""
    try:
        sign()
    except (VoxdataError, OSError) as error:
        say(f"{what} is not signed: {error}; `voxdata verify` will call it unsigned")


def version_standing(workspace: Workspace, version: DatasetVersion) -> tuple[Standing, str]:
    """Whether the root of a version is signed.

    Returns:
        The standing, and in a few words by whom or why not.
    """
    path = version_statement_path(workspace, version.ref)
    if not path.exists():
        return "unsigned", "unsigned"
    try:
        envelope, keys = read_envelope(path), read_keys(workspace)
        signer = signer_of(envelope, keys)
        if open_statement(envelope) != version_statement(version):
            return "wrong", f"its statement {path.name} differs from the warehouse"
    except StatementError as error:
        return "wrong", str(error)
    return standing_of(envelope, signer)


def standing_of(envelope: Envelope, signer: str) -> tuple[Standing, str]:
    """What the signatures of a statement come to."""
    if signer:
        return "signed", f"signed by {signer[:16]}"
    return (
        ("wrong", "its signature is no trusted key's")
        if envelope.signatures
        else ("unsigned", "unsigned")
    )
