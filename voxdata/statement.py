"""Signed statements: in-toto Statement v1 in a DSSE envelope.

A statement says something (the predicate) about things known by their digests (the subject). The
envelope keeps its exact bytes and the signatures over them, so that nobody need agree on how JSON
is spelled. What is signed: the "pre-authentication encoding" of type and bytes.

Source: github.com/in-toto/attestation, spec/v1; github.com/secure-systems-lab/dsse, protocol.md.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from voxdata.errors import StatementError
from voxdata.identity import canonical_json
from voxdata.signature import key_id, public_of, signature_holds

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
ROTATION = "urn:voxdata:key-rotation:1"
"""Predicate of the statement that a key follows another; signed by both."""

_ED25519_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is said, and about what.

    Attributes:
        subject: Name -> {algorithm: digest}.
        predicate_type: What kind of thing is said; a URI.
        predicate: What is said; JSON values only.
    """

    subject: Mapping[str, Mapping[str, str]]
    predicate_type: str
    predicate: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of an envelope.

    Attributes:
        key_id: The id of the key that is said to have made it; a hint, and no proof.
    """

    key_id: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The bytes of a statement, and who signed them.

    Attributes:
        signatures: None yet when the key lies elsewhere.
    """

    payload: bytes
    signatures: tuple[Signature, ...] = ()


def wrap_statement(statement: Statement) -> Envelope:
    """A statement in an envelope that nobody signed yet."""
    subject = [
        {"name": name, "digest": dict(digests)}
        for name, digests in sorted(statement.subject.items())
    ]
    content = {
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": statement.predicate_type,
        "predicate": dict(statement.predicate),
    }
    return Envelope(payload=canonical_json(content).encode())


def open_statement(envelope: Envelope) -> Statement:
    """What an envelope says, signed or not.

    Raises:
        StatementError: It holds no in-toto statement.
    """
    try:
        content = json.loads(envelope.payload)
        if content["_type"] != STATEMENT_TYPE:
            raise StatementError(f"the envelope holds {content['_type']!r}, not {STATEMENT_TYPE}")
        subject: dict[str, dict[str, str]] = {}
        for row in content["subject"]:
            name = str(row["name"])
            digests = row["digest"].items()
            subject[name] = {str(algorithm): str(value) for algorithm, value in digests}
        return Statement(
            subject=subject,
            predicate_type=str(content["predicateType"]),
            predicate=dict(content["predicate"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StatementError(f"the envelope holds no in-toto statement ({error!r})") from error


def encode_envelope(envelope: Envelope) -> dict[str, object]:
    """An envelope as JSON values."""
    signatures = [
        {"keyid": s.key_id, "sig": base64.b64encode(s.content).decode()}
        for s in envelope.signatures
    ]
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(envelope.payload).decode(),
        "signatures": signatures,
    }


def decode_envelope(row: object) -> Envelope:
    """The inverse of `encode_envelope`.

    Raises:
        StatementError: It is no envelope of a statement.
    """
    try:
        if not isinstance(row, dict) or row["payloadType"] != PAYLOAD_TYPE:
            raise StatementError("this is no DSSE envelope of an in-toto statement")
        payload = base64.b64decode(row["payload"], validate=True)
        signatures: list[Signature] = []
        for signature in row["signatures"]:
            signatures.append(
                Signature(
                    key_id=str(signature["keyid"]),
                    content=base64.b64decode(signature["sig"], validate=True),
                )
            )
        return Envelope(
            payload=payload,
            signatures=tuple(signatures),
        )
    except (KeyError, TypeError, binascii.Error) as error:
        raise StatementError(f"this is no DSSE envelope ({error!r})") from error


def sign_envelope(envelope: Envelope, key: Ed25519PrivateKey) -> Envelope:
    """Add the signature of a key, in the place of one that it gave before."""
    own_id = key_id(public_of(key))
    own = Signature(
        key_id=own_id,
        content=key.sign(signed_bytes(envelope)),
    )
    others = [signature for signature in envelope.signatures if signature.key_id != own_id]
    return replace(envelope, signatures=(*others, own))


def signed_bytes(envelope: Envelope) -> bytes:
    """What a signature is over: DSSE's pre-authentication encoding."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(envelope.payload), envelope.payload)


def find_signer(envelope: Envelope, trusted: Collection[str]) -> str:
    """The id of a trusted key that signed an envelope; "" when none did.

    Args:
        trusted: Public keys, 64 hex characters each.
    """
    content = signed_bytes(envelope)
    signatures = [s.content for s in envelope.signatures if len(s.content) == _ED25519_BYTES]
    for public in trusted:
        if any(signature_holds(public, signature, content) for signature in signatures):
            return key_id(public)
    return ""


def make_rotation(old: str, new: str) -> Envelope:
    """The statement that a public key follows another; it counts once both signed it."""
    statement = Statement(
        subject={"signing key": {"sha256": key_id(new)}},
        predicate_type=ROTATION,
        predicate={"old": old, "new": new},
    )
    return wrap_statement(statement)


def read_rotation(envelope: Envelope) -> tuple[str, str] | None:
    """(old key, new key) of a rotation that both signed; None of anything else."""
    statement = open_statement(envelope)
    if statement.predicate_type != ROTATION:
        return None
    old = str(statement.predicate.get("old", ""))
    new = str(statement.predicate.get("new", ""))
    is_signed = find_signer(envelope, [old]) and find_signer(envelope, [new])
    return (old, new) if is_signed else None


def follow_rotations(first: str, rotations: Iterable[Envelope]) -> tuple[str, ...]:
    """The keys that were in use one after the other, the last of them the one that signs now.

    Args:
        first: The first public key.
    """
    following = dict(_signed_rotations(rotations))
    chain: list[str] = []
    key: str | None = first
    while key is not None and key not in chain:
        chain.append(key)
        key = following.get(key)
    return tuple(chain)


def trusted_keys(known: str, rotations: Sequence[Envelope]) -> frozenset[str]:
    """A public key that somebody knows, those before it, and those after it.

    Not those after one before it: whoever steals a key that is no longer in use could name any of
    them.
    """
    steps = _signed_rotations(rotations)
    after = {known}
    before = {known}
    for _ in steps:
        after |= {new for old, new in steps if old in after}
        before |= {old for old, new in steps if new in before}
    return frozenset(after | before)


def _signed_rotations(rotations: Iterable[Envelope]) -> list[tuple[str, str]]:
    """(old key, new key) of those that both signed."""
    read = [read_rotation(rotation) for rotation in rotations]
    return [keys for keys in read if keys is not None]
