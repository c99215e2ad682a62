"""The keys of a workspace: made when something is signed for the first time, exchanged on record.

They lie in `.voxdata/signing`: `first.pub` and a signed statement for each key that followed, which
together say whom to believe; and the private key in use, readable by its owner alone, unless that
is kept on another machine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flows.folders.secret_file import PRIVATE, read_or_make_secret
from flows.workspace import Workspace
from voxdata.durable import remove, write_file
from voxdata.errors import ConfigError, StatementError
from voxdata.signature import (
    key_id,
    make_private_pem,
    public_of,
    public_pem,
    read_private,
    read_public,
)
from voxdata.statement import (
    Envelope,
    decode_envelope,
    encode_envelope,
    find_signer,
    follow_rotations,
    make_rotation,
    sign_envelope,
    trusted_keys,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FIRST_PUBLIC, FIRST_PRIVATE = "first.pub", "first.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Whom a workspace believes, and with what it signs.

    Attributes:
        chain: Public keys, one after the other; the last is in use.
        rotations: The statements that say so.
        private: The private part of the key in use; None when it is kept elsewhere.
    """

    chain: tuple[str, ...]
    rotations: tuple[Envelope, ...] = ()
    private: Ed25519PrivateKey | None = field(default=None, repr=False)

    @property
    def current(self) -> str:
        """The public key in use."""
        return self.chain[-1]

    @property
    def trusted(self) -> frozenset[str]:
        """The public keys whose signatures count."""
        return trusted_keys(self.current, self.rotations)


def keys_folder(workspace: Workspace) -> Path:
    """Where the keys lie."""
    return workspace.state_dir / "signing"


def read_keys(workspace: Workspace) -> Keys | None:
    """The keys there are; None before anything was signed. Makes nothing.

    Raises:
        StatementError: A file is damaged.
    """
    folder = keys_folder(workspace)
    if not (folder / FIRST_PUBLIC).exists():
        return None
    first = read_public_file(folder / FIRST_PUBLIC)
    rotations = tuple(read_envelope(path) for path in sorted(folder.glob("rotation-*.json")))
    chain = follow_rotations(first, rotations)
    privates = (read_key_file(path) for path in sorted(folder.glob("*.pem")))
    private = next((key for key in privates if public_of(key) == chain[-1]), None)
    return Keys(chain=chain, rotations=rotations, private=private)


def make_keys(workspace: Workspace) -> Keys:
    """The keys of a workspace.

    The first one is made when there is none, and private keys that others followed are deleted.
    """
    folder = keys_folder(workspace)
    if not (folder / FIRST_PUBLIC).exists():
        pem = read_or_make_secret(folder / FIRST_PRIVATE, make_private_pem)
        public = public_of(read_private(pem, origin=str(folder / FIRST_PRIVATE)))
        write_file(folder / FIRST_PUBLIC, public_pem(public).encode())
    keys = read_keys(workspace)
    if keys is None:
        raise StatementError(f"{folder / FIRST_PUBLIC} vanished")
    for path in sorted(folder.glob("*.pem")):
        if public_of(read_key_file(path)) in keys.chain[:-1]:
            remove(path)  # another key followed, and this one has nothing to sign any more
    return keys


def read_key_file(path: Path) -> Ed25519PrivateKey:
    """A private key that only its owner can read.

    Raises:
        ConfigError: It is not there, or others can read it.
        StatementError: It is no such key.
    """
    try:
        open_to_others = path.stat().st_mode & 0o077
        pem = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path}: the key cannot be read ({getattr(error, 'strerror', None) or 'no text'})"
        ) from None
    if open_to_others:
        raise ConfigError(f"{path}: other accounts can read this key; run `chmod 600 {path}`")
    return read_private(pem, origin=str(path))


def read_public_file(path: Path) -> str:
    """A public key from its file.

    Raises:
        StatementError: There is none.
    """
    try:
        return read_public(path.read_text(encoding="utf-8"), origin=str(path))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise StatementError(f"{path}: the key cannot be read ({why})") from error


def write_key_pair(path: Path) -> str:
    """Make a private key at `path` and write its public key beside it.

    Returns:
        The public key.

    Raises:
        ConfigError: Something is there already.
    """
    public_path = path.with_name(path.name + ".pub")
    for place in (path, public_path):
        if place.exists():
            raise ConfigError(f"{place} is there already; name another file")
    public = public_of(read_private(read_or_make_secret(path, make_private_pem), origin=str(path)))
    write_file(public_path, public_pem(public).encode())
    return public


def trust_public_key(workspace: Workspace, path: Path) -> Keys:
    """Have a workspace believe a key that is kept elsewhere.

    At first it is believed alone, later as the one that follows.

    Returns:
        The keys; a key that follows counts once the rotation is signed by both.

    Raises:
        StatementError: The file holds no public key.
    """
    public = read_public_file(path)
    keys = read_keys(workspace)
    if keys is None:
        write_file(keys_folder(workspace) / FIRST_PUBLIC, public_pem(public).encode())
    elif public not in keys.chain:
        rotation = make_rotation(keys.current, public)
        if keys.private is not None:
            rotation = sign_envelope(rotation, keys.private)
        write_envelope(rotation_path(workspace, public), rotation)
    return make_keys(workspace)


def rotate_key(workspace: Workspace) -> Keys:
    """Let a new key follow the one in use, signed by both.

    The old private key is deleted, its signatures stay good.

    Raises:
        ConfigError: The private key is kept elsewhere.
    """
    keys = make_keys(workspace)
    if keys.private is None:
        raise ConfigError(
            "the key is kept elsewhere: make the next one there, "
            "then `voxdata receipts trust FILE.pub` here"
        )
    folder = keys_folder(workspace)
    pem = make_private_pem()
    new = read_private(pem, origin="the new key")
    public = public_of(new)
    # The key before the statement: a death between leaves a key that nobody uses.
    write_file(folder / f"{key_id(public)[:16]}.pem", pem.encode(), mode=PRIVATE)
    rotation = sign_envelope(sign_envelope(make_rotation(keys.current, public), keys.private), new)
    write_envelope(rotation_path(workspace, public), rotation)
    return make_keys(workspace)


def rotation_path(workspace: Workspace, public: str) -> Path:
    """Where the statement lies that a key follows another."""
    return keys_folder(workspace) / f"rotation-{key_id(public)[:16]}.json"


def read_envelope(path: Path) -> Envelope:
    """A statement on disk.

    Raises:
        StatementError: It is none.
    """
    try:
        return decode_envelope(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StatementError(f"{path}: cannot be read as a statement ({error})") from error
    except StatementError as error:
        raise StatementError(f"{path}: {error}") from error


def write_envelope(path: Path, envelope: Envelope) -> None:
    """Put a statement on disk, whole or not at all."""
    write_file(path, (json.dumps(encode_envelope(envelope), indent=1) + "\n").encode())


def signer_of(envelope: Envelope, keys: Keys | None) -> str:
    """The id of the trusted key that signed; "" when none did."""
    return find_signer(envelope, sorted(keys.trusted)) if keys is not None else ""
