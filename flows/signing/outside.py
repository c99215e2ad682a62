"""Signing files by a key that is not in a workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxdata.durable import write_file
from voxdata.errors import StatementError
from voxdata.statement import (
    Envelope,
    decode_envelope,
    encode_envelope,
    open_statement,
    sign_envelope,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_file(path: Path, key: Ed25519PrivateKey) -> list[str]:
    """Sign a statement, or a receipt and the roots in it.

    Returns:
        What was signed, a line each: read it before you hand it out.

    Raises:
        StatementError: The file holds no statement.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StatementError(f"{path}: cannot be read as a statement ({error})") from error
    signed: list[str] = []

    def add(row: object) -> dict[str, object]:
        envelope = decode_envelope(row)
        signed.append(describe(envelope))
        return encode_envelope(sign_envelope(envelope, key))

    made: dict[str, Any]
    if isinstance(content, dict) and "receipt" in content:
        made = {
            **content,
            "receipt": add(content["receipt"]),
            "versions": [add(row) for row in content.get("versions", ())],
        }
    else:
        made = add(content)
    write_file(path, (json.dumps(made, indent=1) + "\n").encode())
    return signed


def describe(envelope: Envelope) -> str:
    """What an envelope says, in a line for who is to sign it."""
    statement = open_statement(envelope)
    about = ", ".join(
        f"{name} {next(iter(value.values()), '')[:16]}" for name, value in statement.subject.items()
    )
    return f"{statement.predicate_type.removeprefix('urn:voxdata:')}: {about}"
