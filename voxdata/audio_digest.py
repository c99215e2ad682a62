"""Digests of canonical audio.

A file that is cut short, damaged or another recording's is never taken for the recording.

The SHA-256 of a file's bytes shows every change and costs a tenth of decoding it. The head of a
FLAC holds the MD5 of its samples: together with the file's size it is compared whenever a piece is
read, which costs nothing, and shows a file that was cut or exchanged. Damage inside a piece shows
in the checksums of the FLAC's frames, which the decoder compares.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from voxdata.errors import AudioError, DropReason
from voxdata.machine import machine_error

REMEDY = "ingest its source again"
HEAD_BYTES = 42
"""The mark of a FLAC, and its first block, which every FLAC begins with."""

_MARK, _BLOCK_BYTES = b"fLaC", b"\x00\x00\x22"
_MD5 = slice(26, 42)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioDigest:
    """How the canonical audio of a recording is known again.

    Attributes:
        recording_id: Whose audio it is.
        size_bytes: The size of the FLAC.
        sha256: The SHA-256 of the FLAC's bytes, hex.
        samples_md5: The MD5 of the samples, as the head of the FLAC has it, hex.
    """

    recording_id: str
    size_bytes: int
    sha256: str
    samples_md5: str


def read_digest(path: Path, recording_id: str) -> AudioDigest:
    """The digest of a canonical file as it is now.

    Raises:
        AudioError: MISSING, or ALTERED when it is no FLAC.
        MachineError: The disk does not let it be read.
    """
    with open_audio(path) as file:
        try:
            md5 = _samples_md5(file)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise machine_error(path, error) from error
    if md5 is None:
        raise _altered(path, recording_id, "is no FLAC")
    return AudioDigest(
        recording_id=recording_id,
        size_bytes=size_bytes,
        sha256=sha256,
        samples_md5=md5,
    )


def open_audio(path: Path) -> BufferedReader:
    """Open a canonical file by ourselves: libsndfile does not say why it cannot.

    Raises:
        AudioError: MISSING.
        MachineError: It is there, and the system does not let us.
    """
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        message = f"{path}: the canonical audio is gone; {REMEDY}"
        raise AudioError(message, reason=DropReason.MISSING) from error
    except OSError as error:
        raise machine_error(path, error) from error


def check_head(file: BufferedReader, path: Path, expected: AudioDigest) -> None:
    """Compare the size and the head of an open file; its position does not change.

    Raises:
        AudioError: ALTERED.
        MachineError: The disk does not let it be read.
    """
    try:
        size_bytes = os.fstat(file.fileno()).st_size
        md5 = _samples_md5(file)
    except OSError as error:
        raise machine_error(path, error) from error

    wanted_bytes = expected.size_bytes
    change = ""
    if size_bytes < wanted_bytes:
        change = f"is cut short, to {size_bytes} of {wanted_bytes} bytes"
    elif md5 is None:
        change = "is no FLAC any more"
    elif md5 != expected.samples_md5:
        change = "holds other sound than was stored"
    elif size_bytes != wanted_bytes:
        change = f"has {size_bytes} bytes instead of {wanted_bytes}"
    if change:
        raise _altered(path, expected.recording_id, change)


def check_whole(path: Path, expected: AudioDigest) -> None:
    """Compare every byte of a file.

    Raises:
        AudioError: MISSING or ALTERED.
        MachineError: The disk does not let it be read.
    """
    with blaming(expected), open_audio(path) as file:
        check_head(file, path, expected)
        try:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise machine_error(path, error) from error
    if sha256 != expected.sha256:
        change = "was changed since it was stored (its SHA-256 is another)"
        raise _altered(path, expected.recording_id, change)


class AudioGuard:
    """Lets each of some recordings be read only after its file was compared whole, once.

    Args:
        digests: Recording id -> what its file has to be; files of other recordings are not
            compared.

    Attributes:
        refused: Recording id -> why its file was refused so far.
    """

    def __init__(self, digests: Mapping[str, AudioDigest]) -> None:
        self._digests = digests
        self._passed: set[Path] = set()
        self.refused: dict[str, AudioError] = {}

    def admit(self, path: Path, recording_id: str) -> AudioDigest | None:
        """The digest that a recording's file has to match; None when nothing is on record.

        Raises:
            AudioError: MISSING or ALTERED.
            MachineError: The disk does not let it be read.
        """
        expected = self._digests.get(recording_id)
        if recording_id in self.refused:
            raise self.refused[recording_id]
        if expected is not None and path not in self._passed:
            try:
                check_whole(path, expected)
            except AudioError as error:
                self.refuse(recording_id, error)
                raise
            self._passed.add(path)
        return expected

    def refuse(self, recording_id: str, error: AudioError) -> None:
        """Let a recording be read no more, since it does not decode."""
        self.refused[recording_id] = error


@contextmanager
def blaming(expected: AudioDigest | None) -> Iterator[None]:
    """Have an `AudioError` raised inside say whose audio it is about."""
    try:
        yield
    except AudioError as error:
        if expected is not None and not error.recording_id:
            message = f"recording {expected.recording_id}: {error}"
            raise AudioError(
                message, reason=error.reason, recording_id=expected.recording_id
            ) from error
        raise


def _samples_md5(file: BufferedReader) -> str | None:
    # Without moving the place: libsndfile goes on from there, behind the back of the buffer.
    head = os.pread(file.fileno(), HEAD_BYTES, 0)
    is_flac = (
        len(head) == HEAD_BYTES
        and head[:4] == _MARK
        and head[4] & 0x7F == 0
        and head[5:8] == _BLOCK_BYTES
    )
    return head[_MD5].hex() if is_flac else None


def _altered(path: Path, recording_id: str, what: str) -> AudioError:
    message = f"recording {recording_id}: its canonical audio {path} {what}; {REMEDY}"
    return AudioError(message, reason=DropReason.ALTERED, recording_id=recording_id)
