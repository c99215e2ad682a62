"""Ed25519 keys and signatures.

This is the one place that knows the library, which it imports where there is a key or a signature.

A public key travels as the 64 hex characters of its 32 bytes, and is known by its digest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from voxdata.errors import StatementError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_private_pem() -> str:
    """A new private key, as PKCS#8 in PEM, which `openssl pkey` reads."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def read_private(pem: str, *, origin: str) -> Ed25519PrivateKey:
    """A private key from its PEM.

    Args:
        origin: Where it lies, for the message; never what it says.

    Raises:
        StatementError: It is no unencrypted Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        # Without the cause, which may quote the key.
        raise StatementError(
            f"{origin}: no Ed25519 private key in PEM; `voxdata receipts new-key FILE` makes one"
        ) from None
    return key


def read_public(pem: str, *, origin: str) -> str:
    """A public key from its PEM.

    Raises:
        StatementError: It is no Ed25519 key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise StatementError(f"{origin}: no Ed25519 public key in PEM")
    return key.public_bytes_raw().hex()


def public_of(private: Ed25519PrivateKey) -> str:
    """The public key of a private one."""
    return private.public_key().public_bytes_raw().hex()


def public_pem(public: str) -> str:
    """A public key in PEM, to be handed out."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(public: str) -> str:
    """What a public key is known by: the SHA-256 of its 32 bytes, 64 hex characters."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def signature_holds(public: str, signature: bytes, content: bytes) -> bool:
    """Whether the owner of a public key signed just this."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True
