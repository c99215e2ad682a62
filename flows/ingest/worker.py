"""The part of ingestion that runs in a worker: one file in, canonical audio or a reason out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voxdata.canonicalise import Canonical, canonicalise
from voxdata.errors import AudioError, DropReason, ShortageError
from voxdata.machine import find_fault, memory_is_short
from voxdata.recording import Recording, canonical_file

NOT_AGAIN = "it is not tried again until the file or the decoder changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a file gives no recording."""

    reason: DropReason
    detail: str


Decode = Callable[[Path, Path, int], Canonical | Refused]
"""What a worker does with a file, the folder for its canonical audio and the longest duration."""


def audio_file_of(recording: Recording) -> str:
    """Where the canonical audio of a recording lies, relative to the audio folder."""
    return canonical_file(recording.recording_id)


def decode_file(path: Path, audio_dir: Path, max_duration_ms: int) -> Canonical | Refused:
    """Ingest one local file; what goes wrong with it is an answer, not an error.

    Raises:
        MachineError: This machine could not do it: a disk is full, too many files are open, memory
            is short.
    """
    return decode_to(path, lambda recording: audio_dir / audio_file_of(recording), max_duration_ms)


def decode_to(
    path: Path, target: Callable[[Recording], Path], max_duration_ms: int
) -> Canonical | Refused:
    """Decode one local file to where `target` says; otherwise as `decode_file`."""
    try:
        return canonicalise(path, target, max_duration_ms=max_duration_ms)
    except AudioError as error:
        return Refused(reason=error.reason, detail=str(error))
    except Exception as error:  # a decoder's own bug is that file's trouble only
        fault = find_fault(error, place=path)
        if isinstance(fault, ShortageError) and not memory_is_short():
            detail = f"{path}: it needs more memory than a worker is allowed"
            return Refused(reason=DropReason.OUT_OF_MEMORY, detail=detail)
        if fault is not None:
            raise fault from error
        detail = f"{path}: the decoder raised {type(error).__name__}: {error}; {NOT_AGAIN}"
        return Refused(reason=DropReason.CRASHED, detail=detail)


def decode_and_hash(
    decode: Decode, path: Path, audio_dir: Path, max_duration_ms: int
) -> tuple[Canonical | Refused, str]:
    """Ingest one local file, and say what its bytes are.

    So they are known again when a copy has lost its time of change.
    """
    found = decode(path, audio_dir, max_duration_ms)
    return found, content_of(path) if isinstance(found, Canonical) else ""


def content_of(path: Path) -> str:
    """SHA-256 of a file's bytes; "" when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
